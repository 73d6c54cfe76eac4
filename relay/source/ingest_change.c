// SPDX-License-Identifier: MIT
/* What a reload changes of an ingest whose publisher stays. */
#include "base/log.h"
#include "source/ingest.h"
#include "source/ingest_file.h"

void ingest_change(struct ingest *ingest, const struct ingest_params *params)
{
	ingest->params.sniff = params->sniff;
	ingest->params.takeover = params->takeover;
	ingest_set_pages(ingest, params->copies_pages);
	ingest->params.source_timeout_ms = params->source_timeout_ms;
	ingest->params.rate_bytes = params->rate_bytes;
	ingest->params.retry_max_ms = params->retry_max_ms;
	ingest->connector.pace.retry_max_ms = params->retry_max_ms;
	ingest->params.gathering = params->gathering;
	gathering_change(&ingest->gathering, &params->gathering);
	ingest_resume(ingest);
}

void ingest_set_access(struct ingest *ingest, struct access *access)
{
	access_fini(&ingest->access);
	ingest->access = *access;
	*access = (struct access){0};
}

void ingest_listen(struct ingest *ingest, const struct endpoint *endpoint,
		   struct listen_sockets *sockets)
{
	ingest->params.endpoints[0] = *endpoint;
	listener_open(&ingest->listener, endpoint, sockets);
}

void ingest_look_again(struct ingest *ingest)
{
	if (ingest->params.kind != INGEST_FIFO ||
	    (ingest->source.fd >= 0 && ingest_file_is_open(&ingest->params, ingest->source.fd)))
		return;
	ingest->is_open = true; /* also where it could not be opened when relay went on */
	if (ingest->feed->publish.sequence.is_source_up) {
		log_info("fifo made anew feed=%s path=%s, read when the present publisher ends",
			 ingest->feed->params.name, ingest->params.path);
		return;
	}
	log_info("fifo made anew feed=%s path=%s", ingest->feed->params.name, ingest->params.path);
	ingest_reopen_fifo(ingest);
}

const char *ingest_address(const struct ingest *ingest)
{
	return ingest->params.kind == INGEST_LISTEN ? listener_address(&ingest->listener) : "";
}
