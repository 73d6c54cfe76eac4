// SPDX-License-Identifier: MIT
/* Lines of an ingest. */
#include "source/ingest_log.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "feed/feed.h"
#include "source/listener_log.h"

void ingest_log_refused(struct ingest *ingest, const struct endpoint_address *peer,
			enum close_reason reason)
{
	char text[ENDPOINT_TEXT_BYTES];
	uint64_t suppressed;

	if (!log_allow(&ingest->refused_log, clock_mono_ns(), &suppressed))
		return;
	endpoint_print_address(text, sizeof(text), peer);
	log_warn("publisher rejected feed=%s peer=%s reason=%s (%s) suppressed=%" PRIu64,
		 ingest->feed->params.name, text, close_reason_name(reason),
		 close_reason_text(reason), suppressed);
}

void ingest_log_sums(struct ingest *ingest, uint64_t now_ns)
{
	uint64_t suppressed;

	listener_log_sums(&ingest->listener, now_ns);
	if (log_sum_is_due(&ingest->refused_log, now_ns, &suppressed))
		log_warn("publisher rejected feed=%s, more of them suppressed=%" PRIu64,
			 ingest->feed->params.name, suppressed);
}

void ingest_log_connecting(void *owner, size_t index)
{
	const struct ingest *ingest = owner;
	char text[INGEST_ORIGIN_BYTES];

	(void)ingest_print_origin(text, sizeof(text), ingest, index);
	log_info("connecting address=%s feed=%s", text, ingest->feed->params.name);
}

void ingest_log_failed(void *owner, size_t index, const char *error, uint64_t suppressed)
{
	const struct ingest *ingest = owner;
	char text[INGEST_ORIGIN_BYTES];

	(void)ingest_print_origin(text, sizeof(text), ingest, index);
	log_warn("connect failed address=%s error=%s feed=%s suppressed=%" PRIu64, text, error,
		 ingest->feed->params.name, suppressed);
}

void ingest_log_more_failed(void *owner, size_t index, uint64_t suppressed)
{
	const struct ingest *ingest = owner;
	char text[INGEST_ORIGIN_BYTES];

	(void)ingest_print_origin(text, sizeof(text), ingest, index);
	log_warn("connect failed address=%s feed=%s, more of them suppressed=%" PRIu64, text,
		 ingest->feed->params.name, suppressed);
}
