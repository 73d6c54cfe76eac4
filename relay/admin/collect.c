// SPDX-License-Identifier: MIT
/* Collecting, one worker after the other. */
#include "admin/collect.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "fanout/pinned.h"
#include "history/recorder.h"
#include "serve/served_feed.h"
#include "serve/service.h"

static void ask_all(struct service *service, void (*call)(struct worker *worker, void *data),
		    void *data)
{
	for (unsigned i = 0; i < service->workers.count; i++)
		worker_call(&service->workers.list[i], call, data);
}

/* ---- reports ---- */

struct report_order {
	struct service *service;
	bool with_subscribers;
};

static void add_reports(struct worker *worker, void *data)
{
	const struct report_order *order = data;
	struct list_node *node;

	list_for_each (&order->service->feeds, node) {
		struct served_feed *served = served_feed_at(node);

		feed_report_add(&served->report, served->worker_feeds[worker->index].feed,
				order->with_subscribers);
		if (order->with_subscribers && worker == served->home && !served->is_combination)
			ingest_find_origin(&served->ingest, &served->origin);
	}
}

void collect_reports(struct service *service, bool with_subscribers)
{
	struct report_order order = {.service = service, .with_subscribers = with_subscribers};
	struct list_node *node;

	service_note_counts(service);
	list_for_each (&service->feeds, node) {
		struct served_feed *served = served_feed_at(node);

		served->report = (struct feed_report){0};
		memcpy(served->report.closed, served->refused, sizeof(served->refused));
	}
	ask_all(service, add_reports, &order);
}

void collect_rates(struct service *service, uint64_t now_ms)
{
	struct list_node *node;

	collect_reports(service, false);
	list_for_each (&service->feeds, node) {
		struct served_feed *served = served_feed_at(node);
		const struct metrics *metrics = &served->report.metrics;
		struct feed_rates *rates = &served->rates;
		uint64_t elapsed_ms = u64_max(now_ms - rates->last_ms, 1);

		rates->in_bytes = (metrics->in_bytes - rates->last_in) * 1000 / elapsed_ms;
		rates->out_bytes = (metrics->delivered_bytes - rates->last_out) * 1000 / elapsed_ms;
		rates->last_in = metrics->in_bytes;
		rates->last_out = metrics->delivered_bytes;
		rates->last_ms = now_ms;
	}
}

/* ---- pinned memory ---- */

struct worker_pinned {
	struct pinned pinned;
	size_t to_close; /* those that hold most here */
};

static void add_pinned(struct worker *worker, void *data)
{
	struct worker_pinned *own = data;
	struct list_node *node;

	/* Without memory for all of them, those that are there are what can be closed. */
	list_for_each (&worker->feeds, node) {
		if (pinned_add(&own->pinned,
			       &list_entry(node, struct worker_feed, node)->feed->fanout) < 0)
			break;
	}
	pinned_sort(&own->pinned);
}

static void close_pinned(struct worker *worker, void *data)
{
	struct worker_pinned *own = data;

	/* The list is of an earlier turn, and who is on it may have gone. */
	pinned_free(&own->pinned);
	add_pinned(worker, own);
	pinned_close_most(&own->pinned, own->to_close);
}

/* The worker whose next one in order holds most; NULL: there is none left. */
static struct worker_pinned *most_of(struct worker_pinned *each, unsigned count)
{
	struct worker_pinned *most = NULL;

	for (unsigned i = 0; i < count; i++) {
		struct worker_pinned *own = &each[i];

		if (own->to_close < own->pinned.count &&
		    (!most || own->pinned.list[own->to_close].bytes >
				      most->pinned.list[most->to_close].bytes))
			most = own;
	}
	return most;
}

uint64_t collect_pinned(struct service *service, uint64_t max_bytes)
{
	unsigned count = service->workers.count;
	struct worker_pinned *each = calloc(count, sizeof(*each));
	struct worker_pinned *most;
	uint64_t bytes = 0;

	if (!each)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		worker_call(&service->workers.list[i], add_pinned, &each[i]);
		bytes += each[i].pinned.bytes;
	}
	while (bytes > max_bytes && (most = most_of(each, count)))
		bytes -= most->pinned.list[most->to_close++].bytes;
	for (unsigned i = 0; i < count; i++) {
		if (each[i].to_close)
			worker_call(&service->workers.list[i], close_pinned, &each[i]);
		pinned_free(&each[i].pinned);
	}
	free(each);
	return bytes;
}

/* ---- subscribers ---- */

struct census_take {
	const struct service *service;
	const struct served_feed *feed; /* NULL: all */
	struct census *sum;             /* of all these; or one of each feed, in their order */
	bool is_each;
	int result;
};

/* Adds what this worker has of one feed, or of all (NULL). */
static int add_worker(const struct worker *worker, const struct service *service,
		      const struct served_feed *feed, struct census *sum)
{
	uint64_t now_ns = clock_mono_ns();
	struct census own;
	struct list_node *node;
	int r = census_init(&own, sum->order, sum->is_slow_only, sum->limit);

	if (r < 0) {
		census_fini(&own);
		return r;
	}
	list_for_each (&service->feeds, node) {
		const struct served_feed *served = served_feed_at(node);

		if (!feed || feed == served)
			census_add(&own, &served->worker_feeds[worker->index].feed->fanout, now_ns);
	}
	r = census_list(&own, now_ns);
	for (size_t i = 0; i < own.count; i++)
		own.rows[i].worker = worker->index;
	if (r == 0)
		r = census_merge(sum, &own);
	census_fini(&own);
	return r;
}

static void take_census(struct worker *worker, void *data)
{
	struct census_take *take = data;
	struct census *sum = take->sum;
	struct list_node *node;
	int r = 0;

	if (!take->is_each) {
		r = add_worker(worker, take->service, take->feed, sum);
	} else {
		list_for_each (&take->service->feeds, node) {
			if (r == 0)
				r = add_worker(worker, take->service, served_feed_at(node), sum++);
		}
	}
	if (r < 0)
		take->result = r;
}

int collect_census(struct service *service, const struct served_feed *feed, struct census *ret)
{
	struct census_take take = {.service = service, .feed = feed, .sum = ret};

	ask_all(service, take_census, &take);
	census_sort(ret);
	return take.result;
}

int collect_each_census(struct service *service, struct census *list, size_t count)
{
	struct census_take take = {.service = service, .sum = list, .is_each = true};

	ask_all(service, take_census, &take);
	for (size_t i = 0; i < count; i++)
		census_sort(&list[i]);
	return take.result;
}

struct kick_order {
	const struct served_feed *feed;
	uint64_t id;
	bool is_done;
};

static void kick(struct worker *worker, void *data)
{
	struct kick_order *order = data;
	struct subscriber *subscriber;

	if (order->is_done)
		return;
	subscriber = fanout_find_subscriber(&order->feed->worker_feeds[worker->index].feed->fanout,
					    order->id);
	if (!subscriber)
		return;
	subscriber_close(subscriber, CLOSE_KICKED);
	order->is_done = true;
}

bool collect_kick(struct service *service, const struct served_feed *feed, uint64_t id)
{
	struct kick_order order = {.feed = feed, .id = id};

	ask_all(service, kick, &order);
	return order.is_done;
}

/* ---- loop lag ---- */

static void copy_lag(struct worker *worker, void *data)
{
	struct loop_lag_counts *counts = data;

	*counts = worker->lag.counts;
}

void collect_loop_lag(struct service *service, unsigned index, struct loop_lag_counts *ret)
{
	worker_call(&service->workers.list[index], copy_lag, ret);
}

uint64_t collect_unrecorded(const struct served_feed *served, const struct recorder_report *report)
{
	const struct history_entry *end = &report->history.end;
	const struct feed_report *feed = &served->report;
	uint64_t recorded = end->session == feed->session ? end->sequence : 1;

	return feed->next_seq > recorded ? feed->next_seq - recorded : 0;
}
