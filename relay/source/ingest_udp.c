// SPDX-License-Identifier: MIT
/*
 * Taking datagrams.  With framing = none each is a message, so the kernel's losses are known in
 * messages, too, and subscribers are told of the gap.  With another framing they are pieces
 * of a stream.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "source/ingest.h"

enum {
	TAKE_AT_ONCE = 16, /* then others get their turn */
};

static bool has_more(const struct ingest *ingest)
{
	return ingest->datagrams && (ingest->given.count > 0 || datagrams_wait(ingest->datagrams));
}

/* One line a minute at most says it, with the sums. */
static void log_passed_over(struct ingest *ingest)
{
	const struct metrics *metrics = &ingest->feed->metrics;
	uint64_t suppressed;

	if (log_allow_each_minute(&ingest->datagrams_log, clock_mono_ns(), &suppressed))
		log_warn("datagrams missing feed=%s lost=%llu too_long=%llu denied=%llu "
			 "suppressed=%llu",
			 ingest->feed->params.name, (unsigned long long)metrics->datagrams_lost,
			 (unsigned long long)metrics->datagrams_too_long,
			 (unsigned long long)metrics->datagrams_denied,
			 (unsigned long long)suppressed);
}

static void count(struct ingest *ingest, const struct datagrams_news *news)
{
	struct metrics *metrics = &ingest->feed->metrics;

	if (!news->lost && !news->too_long && !news->denied)
		return;
	metrics->datagrams_lost += news->lost;
	metrics->datagrams_too_long += news->too_long;
	metrics->datagrams_denied += news->denied;
	log_passed_over(ingest);
	if (ingest->feed->params.framing.kind == FRAMING_NONE && news->lost + news->too_long)
		feed_miss_messages(ingest->feed, (uint64_t)news->lost + news->too_long);
}

static void note_publisher(struct ingest *ingest)
{
	char text[ENDPOINT_TEXT_BYTES];

	if (ingest->feed->publish.sequence.is_source_up)
		return;
	endpoint_print_address(text, sizeof(text), datagrams_sender(ingest->datagrams));
	log_info("publisher up feed=%s peer=udp:%s", ingest->feed->params.name,
		 text + strcspn(text, ":") + 1);
	feed_source_up(ingest->feed);
}

/* True when there is something to take. */
static bool next(struct ingest *ingest)
{
	struct datagrams_news news;
	int r;

	if (ingest->given.count)
		return true;
	r = datagrams_next(ingest->datagrams, ingest->source.fd, &ingest->access,
			   ingest->feed->params.framing.max_message, &ingest->given, &news);
	count(ingest, &news);
	if (r <= 0)
		return false;
	note_publisher(ingest);
	return true;
}

static void take(struct ingest *ingest)
{
	ingest->source.given = &ingest->given;
	for (unsigned n = 0; n < TAKE_AT_ONCE && ingest_may_read(ingest); n++) {
		if (!next(ingest))
			break;
		if (ingest_may_read(ingest))
			ingest_take_once(ingest);
	}
}

const struct ingest_way ingest_way_of_datagrams = {.take = take, .has_more = has_more};
