// SPDX-License-Identifier: MIT
/* What is said on a connection that relay makes, before the stream comes. */
#include <stdio.h>
#include <string.h>

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
	};
	const struct pull_counts counts = {
		.requests = &metrics->source_requests,
		.refusals = &metrics->source_refusals,
		.out_of_range = &metrics->source_out_of_range,
	};

	pull_init(&ingest->pull, ingest->loop, &pull, &counts, &pull_events, ingest);
	ingest_pace_connect(ingest);
}
