// SPDX-License-Identifier: MIT
/* What is said on a connection that relay makes, before the stream comes. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "feed/number.h"
#include "source/ingest.h"

/* ---- where it is ---- */

/* "": the connection is the stream. */
static const char *url_of(const struct ingest *ingest, size_t index)
{
	const char *url = ingest->params.path;

	if (!ingest->params.has_urls)
		return "";
	for (; index > 0; index--)
		url += strlen(url) + 1;
	return url;
}

const char *ingest_print_origin(char *buf, size_t size, const struct ingest *ingest, size_t index)
{
	const char *url = url_of(ingest, index);

	if (*url)
		(void)snprintf(buf, size, "%s", url);
	else
		endpoint_print(buf, size, &ingest->params.endpoints[index]);
	return buf;
}

/* ---- the request ---- */

/* With numbers of its own from an earlier run, too: a parent that does not have them says so. */
static void find_place(const struct ingest *ingest, struct pull_place *ret)
{
	const struct publish *publish = &ingest->feed->publish;
	const struct sequence *sequence = &publish->sequence;

	*ret = (struct pull_place){
		.is_known = ingest->params.is_framed &&
			    (number_is_followed(publish) || sequence->next_seq > SEQUENCE_FIRST),
		.session = sequence->session,
		.sequence = sequence->next_seq,
	};
}

bool ingest_ask(void *owner, int fd, size_t index)
{
	struct ingest *ingest = owner;
	const char *url = url_of(ingest, index);
	struct pull_place place;
	struct errmsg err;

	if (!*url)
		return false;
	find_place(ingest, &place);
	if (pull_ask(&ingest->pull, fd, url, &place, &err) < 0)
		connector_refused(&ingest->connector, err.text);
	return true;
}

void ingest_ask_no_more(void *owner, bool has_failed)
{
	struct ingest *ingest = owner;

	pull_cancel(&ingest->pull, has_failed);
}

static void on_stream(void *owner)
{
	struct ingest *ingest = owner;

	connector_opened(&ingest->connector);
}

static void log_elsewhere(const struct ingest *ingest)
{
	const struct pull_place *asked = &ingest->pull.asked, *instead = &ingest->pull.instead;

	log_warn("place not found upstream feed=%s asked=%u-%llu instead=%u-%llu",
		 ingest->feed->params.name, asked->session, (unsigned long long)asked->sequence,
		 instead->session, (unsigned long long)instead->sequence);
}

static void on_refused(void *owner, const char *why, bool again)
{
	struct ingest *ingest = owner;

	if (again) {
		log_elsewhere(ingest);
		connector_reopen(&ingest->connector);
	} else {
		connector_refused(&ingest->connector, why);
	}
}

static const struct pull_events pull_events = {
	.on_stream = on_stream,
	.on_refused = on_refused,
};

/* ---- what a caster is told behind its answer ---- */

enum {
	POSITION_MS = 10000, /* as rovers do; casters ask for 5 s to a minute */
};

/* While a better publisher waits for the end of a message, connector.current is that one. */
static bool is_read_from_caster(const struct ingest *ingest)
{
	return ingest->params.kind == INGEST_CONNECT && ingest->source.fd >= 0 &&
	       ingest->better_fd < 0 &&
	       pull_url_is_ntrip(url_of(ingest, ingest->connector.current));
}

/* One that reads nothing has no room in the end, and is told no more. */
void ingest_tell_position(struct ingest *ingest, uint64_t now)
{
	char text[GGA_BYTES + 2];
	size_t bytes;

	if (!ingest->params.position.is_known || now < ingest->position_ms ||
	    !is_read_from_caster(ingest))
		return;
	ingest->position_ms = now + POSITION_MS;
	bytes = gga_print(&ingest->params.position, clock_wall_ns(), text);
	memcpy(text + bytes, "\r\n", 2);
	if (send(ingest->source.fd, text, bytes + 2, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		ingest->feed->metrics.source_positions++;
}

/* ---- how it is asked ---- */

/* An origin that does not answer is silent, too. */
void ingest_pace_connect(struct ingest *ingest)
{
	const struct ingest_params *params = &ingest->params;
	struct connector_pace *pace = &ingest->connector.pace;

	pace->retry_max_ms = params->retry_max_ms;
	pace->connect_timeout_ms = CONNECTOR_TIMEOUT_MS;
	if (params->has_urls && params->source_timeout_ms)
		pace->connect_timeout_ms =
			(uint32_t)u64_min(CONNECTOR_TIMEOUT_MS, params->source_timeout_ms);
}

void ingest_init_asking(struct ingest *ingest)
{
	const struct ingest_params *params = &ingest->params;
	struct metrics *metrics = &ingest->feed->metrics;
	const struct pull_params pull = {
		.is_framed = params->is_framed,
		.token_file = params->token_file,
		.position = &params->position,
	};
	const struct pull_counts counts = {
		.requests = &metrics->source_requests,
		.refusals = &metrics->source_refusals,
		.out_of_range = &metrics->source_out_of_range,
	};

	pull_init(&ingest->pull, ingest->loop, &pull, &counts, &pull_events, ingest);
	ingest_pace_connect(ingest);
}
