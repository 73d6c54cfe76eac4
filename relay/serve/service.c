// SPDX-License-Identifier: MIT
/* All feeds and all listeners. */
#include "serve/service.h"

#include "base/clock.h"
#include "history/recorder.h"
#include "serve/combination.h"
#include "serve/arrival.h"
#include "serve/served_feed.h"
#include "serve/served_listener.h"
#include "source/listener_log.h"

void service_init(struct service *service, struct ev_loop *loop)
{
	*service = (struct service){.loop = loop};
	list_init(&service->feeds);
	list_init(&service->combinations);
	list_init(&service->listeners);
	list_init(&service->unread);
	list_init(&service->waiting);
	inbox_open(&service->control, loop);
	passed_fds_collect(&service->passed);
}

void service_detach(struct service *service, struct served_feed *feed)
{
	struct list_node *node;

	list_for_each (&service->listeners, node)
		served_listener_detach(served_listener_at(node), feed);
	arrivals_send_away(service, feed);
}

void service_settle_combinations(struct service *service)
{
	struct list_node *node, *next;

	list_for_each_safe (&service->combinations, node, next) {
		struct combination *combination = combination_at(node);

		if (!combination_change(combination))
			combination_free(&combination, CLOSE_REMOVED);
	}
}

void service_free_all(struct list *feeds, struct list *listeners, enum close_reason reason)
{
	struct served_listener *listener;
	struct served_feed *feed;
	struct list_node *node;

	while ((node = list_first(listeners))) {
		listener = served_listener_at(node);
		served_listener_free(&listener);
	}
	/* Each waits for the disk: all of them at the same time. */
	list_for_each (feeds, node) {
		feed = served_feed_at(node);
		arrivals_send_away(feed->service, feed);
		served_feed_end(feed, reason);
		if (feed->recorder)
			recorder_order_end(feed->recorder, &feed->next);
	}
	while ((node = list_first(feeds))) {
		feed = served_feed_at(node);
		served_feed_free(&feed, reason);
	}
}

void service_drain(struct service *service)
{
	struct list_node *node;

	service->is_draining = true;
	list_for_each (&service->listeners, node)
		served_listener_stop(served_listener_at(node));
	list_for_each (&service->feeds, node) {
		if (!served_feed_at(node)->is_combination) /* it drains with its members */
			served_feed_drain(served_feed_at(node));
	}
	inbox_run(&service->control);
}

static void take_bodies(struct worker *worker, void *data)
{
	struct list_node *node;

	(void)data;
	list_for_each (&worker->feeds, node) {
		struct ingest *ingest = list_entry(node, struct worker_feed, node)->ingest;

		if (ingest)
			ingest_take_bodies(ingest);
	}
}

void service_take_bodies(struct service *service)
{
	workers_call(&service->workers, take_bodies, NULL);
}

bool service_is_recording(const struct service *service)
{
	struct list_node *node;

	list_for_each (&service->feeds, node) {
		struct recorder *recorder = served_feed_at(node)->recorder;

		if (recorder && recorder_is_recording(recorder))
			return true;
	}
	return false;
}

struct slow_drain {
	uint64_t begin_ms, spread_ms;
	unsigned workers;
};

/* Numbers that follow one another, spread evenly over 0 to below 1 (by the golden ratio; Knuth,
 * TAOCP 3, 6.4). */
static double phase_of(uint32_t number)
{
	return number * 2654435769u / 4294967296.0;
}

static void drain_slowly(struct worker *worker, void *data)
{
	const struct slow_drain *drain = data;
	uint32_t number = worker->index;
	struct list_node *node;

	list_for_each (&worker->feeds, node) {
		fanout_drain_slowly(&list_entry(node, struct worker_feed, node)->feed->fanout,
				    drain->begin_ms, drain->spread_ms, phase_of(number));
		number += drain->workers;
	}
}

void service_drain_slowly(struct service *service, uint64_t spread_ms)
{
	struct slow_drain drain = {
		.begin_ms = clock_mono_ns() / NS_PER_MS,
		.spread_ms = spread_ms,
		.workers = service->workers.count,
	};

	service->slow_drain_end_ms = spread_ms ? drain.begin_ms + spread_ms : 0;
	workers_call(&service->workers, drain_slowly, &drain);
}

void service_note_counts(const struct service *service)
{
	struct list_node *node;

	list_for_each (&service->listeners, node)
		served_listener_note(served_listener_at(node));
}

void service_tick(struct service *service, uint64_t now_ms)
{
	struct list_node *node;

	service_note_counts(service);
	list_for_each (&service->listeners, node) {
		struct served_listener *served = served_listener_at(node);

		admission_tick(&served->admission, served->http ? "request" : "subscriber",
			       now_ms * NS_PER_MS);
		proxied_peers_tick(&served->proxied, now_ms);
		listener_log_sums(&served->listener, now_ms * NS_PER_MS);
	}
	served_formats_tick(service, now_ms);
	combinations_tick(service);
	arrivals_try_again(service);
}

void service_fini(struct service *service)
{
	combinations_free(service, CLOSE_DRAIN);
	service_free_all(&service->feeds, &service->listeners, CLOSE_DRAIN);
	workers_stop(&service->workers);
	inbox_close(&service->control);
	passed_fds_close(&service->passed);
}
