// SPDX-License-Identifier: MIT
/* Formats, opened and given up in all workers at once. */
#include "serve/served_format.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "feed/feed.h"
#include "packet/encoder.h"
#include "serve/served_feed.h"
#include "serve/service.h"

/* One thing to be done in each worker. */
struct order {
	struct served_format *format;
	bool keeps_past;
};

static struct feed *feed_in(const struct served_format *format, const struct worker *worker)
{
	return format->feed->worker_feeds[worker->index].feed;
}

/* ---- in the workers ---- */

static void open_in(struct worker *worker, void *data)
{
	const struct order *order = data;
	struct served_format *format = order->format;

	struct rendition **rendition = &format->renditions[worker->index];
	struct feed *feed = feed_in(format, worker);

	*rendition = feed_open_rendition(feed, encoder_of(format->format));
	/* Before the feed begins, a hand-over brings each its own. */
	if (*rendition && format->feed->has_begun)
		feed_take_past(feed, *rendition);
}

static void close_in(struct worker *worker, void *data)
{
	const struct order *order = data;
	struct served_format *format = order->format;
	struct rendition **rendition = &format->renditions[worker->index];

	if (worker == format->feed->recording && format->refuse_reading)
		format->refuse_reading(format);
	if (*rendition)
		feed_close_rendition(rendition);
}

static void keep_past_in(struct worker *worker, void *data)
{
	const struct order *order = data;

	feed_keep_past(order->format->renditions[worker->index], order->keeps_past);
}

/* ---- open, and not ---- */

static void close_all(struct served_format *format)
{
	struct order order = {.format = format};

	workers_call(format->feed->workers, close_in, &order);
	list_remove(&format->node);
	free(format->renditions);
	format->renditions = NULL;
	format->keeps_past = false;
}

static int open_all(struct served_format *format)
{
	struct workers *workers = format->feed->workers;
	struct order order = {.format = format};

	format->renditions = calloc(workers->count, sizeof(struct rendition *));
	if (!format->renditions)
		return -ENOMEM;
	workers_call(workers, open_in, &order);
	for (unsigned i = 0; i < workers->count; i++) {
		if (format->renditions[i])
			continue;
		close_all(format);
		return -ENOMEM;
	}
	return 0;
}

/* Before the feed begins, a branch would ask a home that is not what it was before a hand-over. */
static void tell_keeps_past(struct served_format *format)
{
	bool keeps_past = format->offers[PAST_ASKED] || format->offers[PAST_ALWAYS];
	struct order order = {.format = format, .keeps_past = keeps_past};

	if (keeps_past == format->keeps_past || !format->feed->has_begun)
		return;
	format->keeps_past = keeps_past;
	workers_call(format->feed->workers, keep_past_in, &order);
}

/* Nobody reads it: it waits for somebody who comes back. */
static void wait_for_readers(struct served_format *format)
{
	bool waits = format->renditions && !format->readers && !format->offers[PAST_ALWAYS];

	if (!waits) {
		list_remove(&format->node);
	} else if (!list_is_linked(&format->node)) {
		format->unread_ms = clock_mono_ns() / NS_PER_MS;
		list_append(&format->feed->service->unread, &format->node);
	}
}

int served_format_open(struct served_format *format)
{
	int r = format->renditions ? 0 : open_all(format);

	if (r < 0)
		return r;
	tell_keeps_past(format);
	wait_for_readers(format);
	return 0;
}

/* ---- offers ---- */

bool served_format_is_offered(const struct served_format *format)
{
	return format->offers[PAST_NEVER] || format->offers[PAST_ASKED] ||
	       format->offers[PAST_ALWAYS];
}

static int settle(struct served_format *format)
{
	if (format->offers[PAST_ALWAYS])
		return served_format_open(format);
	if (!format->renditions)
		return 0;
	if (!served_format_is_offered(format)) {
		close_all(format);
		return 0;
	}
	tell_keeps_past(format);
	wait_for_readers(format);
	return 0;
}

/* What was offered before goes after what takes its place. */
static void replace(struct format_offer *offer, const struct format_offer *by)
{
	const struct format_offer before = *offer;

	*offer = *by;
	if (by->format)
		by->format->offers[by->past]++;
	if (!before.format)
		return;
	before.format->offers[before.past]--;
	if (before.format != by->format)
		(void)settle(before.format); /* opens nothing that is not open */
}

int format_offer_change(struct format_offer *offer, struct served_format *format,
			enum offered_past past)
{
	if (offer->format == format && offer->past == past)
		return 0;
	replace(offer, &(struct format_offer){.format = format, .past = past});
	return format ? settle(format) : 0;
}

void format_offer_end(struct format_offer *offer)
{
	replace(offer, &(struct format_offer){.format = NULL});
}

/* ---- readers ---- */

void served_format_enter(struct served_format *format)
{
	format->readers++;
	wait_for_readers(format);
}

void served_format_leave(struct served_format *format)
{
	format->readers--;
	wait_for_readers(format);
}

/* ---- the feed ---- */

void served_formats_init(struct served_feed *feed)
{
	for (int i = 0; i < FORMAT_COUNT; i++) {
		feed->formats[i] = (struct served_format){.feed = feed, .format = (enum format)i};
		list_node_init(&feed->formats[i].node);
		list_init(&feed->formats[i].reading);
	}
}

void served_formats_begin(struct served_feed *feed)
{
	feed->has_begun = true;
	for (int i = 0; i < FORMAT_COUNT; i++) {
		if (feed->formats[i].renditions)
			tell_keeps_past(&feed->formats[i]);
	}
}

/* Blocks are smaller than what malloc() maps by itself, so it would keep their memory. */
void served_formats_tick(struct service *service, uint64_t now_ms)
{
	struct list_node *node, *next;
	bool is_any_closed = false;

	list_for_each_safe (&service->unread, node, next) {
		struct served_format *format = list_entry(node, struct served_format, node);

		if (now_ms < format->unread_ms + format->feed->keep_past_ms)
			continue;
		close_all(format);
		is_any_closed = true;
	}
	if (is_any_closed)
		(void)malloc_trim(0);
}

struct served_format *served_format_find(struct served_feed *feed, const char *name)
{
	for (int i = 0; i < FORMAT_COUNT; i++) {
		if (strcmp(format_row((enum format)i)->name, name) == 0)
			return &feed->formats[i];
	}
	return NULL;
}
