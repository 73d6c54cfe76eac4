// SPDX-License-Identifier: MIT
/* Combinations: made and freed in the workers of their members. */
#include "serve/combination.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "feed/crossing.h"
#include "serve/arrival.h"
#include "serve/http_listener.h"
#include "serve/served_listener.h"
#include "serve/service.h"

_Static_assert((int)PACKET_FEED_BYTES >= (int)CONFIG_NAME_BYTES, "a packet has room for a name");
_Static_assert((int)FEED_NAME_BYTES >= STREAM_FEED_BYTES,
	       "a feed has room for the names asked for");

/* ---- what it takes over from its members ---- */

static const struct feed_params *params_of(const struct served_feed *feed)
{
	return &feed->worker_feeds[feed->home->index].feed->params;
}

/* 0 is no limit at all. */
static uint64_t wider(uint64_t a, uint64_t b)
{
	return a && b ? u64_max(a, b) : 0;
}

static uint64_t narrower(uint64_t a, uint64_t b)
{
	return a && b ? u64_min(a, b) : u64_max(a, b);
}

/* The widest limit of any member, and the shortest heartbeat. */
static void widen(struct feed_params *params, const struct feed_params *other)
{
	struct fanout_params *fanout = &params->fanout;

	params->segment_bytes = size_max(params->segment_bytes, other->segment_bytes);
	params->ring_bytes = size_max(params->ring_bytes, other->ring_bytes);
	params->gift_headers = params->gift_headers && other->gift_headers;
	fanout->heartbeat_ms = narrower(fanout->heartbeat_ms, other->fanout.heartbeat_ms);
	fanout->max_lag_bytes = wider(fanout->max_lag_bytes, other->fanout.max_lag_bytes);
	fanout->max_lag_ms = wider(fanout->max_lag_ms, other->fanout.max_lag_ms);
	fanout->stall_timeout_ms = wider(fanout->stall_timeout_ms, other->fanout.stall_timeout_ms);
	fanout->grace_ms = u64_max(fanout->grace_ms, other->fanout.grace_ms);
}

static void find_params(const struct combination *combination, struct feed_params *ret)
{
	*ret = *params_of(combination->parents[0]);
	for (size_t i = 1; i < combination->members.count; i++)
		widen(ret, params_of(combination->parents[i]));
	ret->framing = (struct framing_params){.kind = FRAMING_NONE};
	ret->close_on_source_loss = false;
	ret->is_combination = true;
	ret->name[0] = '\0';
	for (size_t i = 0, at = 0; i < combination->members.count; i++)
		at += (size_t)snprintf(ret->name + at, sizeof(ret->name) - at, "%s%s", i ? "+" : "",
				       combination->parents[i]->name);
}

static void take_over(struct combination *combination)
{
	struct served_feed *feed = combination->feed;

	feed->keep_past_ms = feed->max_subscribers = 0;
	for (size_t i = 0; i < combination->members.count; i++) {
		const struct served_feed *parent = combination->parents[i];

		feed->keep_past_ms = u64_max(feed->keep_past_ms, parent->keep_past_ms);
		feed->max_subscribers = narrower(feed->max_subscribers, parent->max_subscribers);
	}
}

/* ---- in the workers ---- */

struct order {
	struct combination *combination;
	size_t member; /* of which the home is meant */
	struct feed_params params;
	enum close_reason reason;
};

static struct crossing *crossing_of(const struct order *order)
{
	return order->combination->members.list[order->member].crossing;
}

static void attach_members(struct worker *worker, void *data)
{
	const struct order *order = data;

	(void)worker;
	members_attach(&order->combination->members);
}

static void detach_members(struct worker *worker, void *data)
{
	const struct order *order = data;

	(void)worker;
	members_detach(&order->combination->members);
}

static void attach_home(struct worker *worker, void *data)
{
	(void)worker;
	crossing_attach_home(crossing_of(data));
}

static void detach_home(struct worker *worker, void *data)
{
	(void)worker;
	crossing_detach_home(crossing_of(data));
}

static void change_in(struct worker *worker, void *data)
{
	const struct order *order = data;

	feed_change(order->combination->feed->worker_feeds[worker->index].feed, &order->params);
}

static void close_in(struct worker *worker, void *data)
{
	const struct order *order = data;
	struct feed *feed = order->combination->feed->worker_feeds[worker->index].feed;

	fanout_close_all(&feed->fanout, order->reason);
}

/* All that was posted to it before has been run. */
static void pass_by(struct worker *worker, void *data)
{
	(void)worker;
	(void)data;
}

/* ---- making ---- */

/* From the home of a member to that of the combination. */
static int make_crossing(struct combination *combination, size_t i)
{
	struct served_feed *parent = combination->parents[i], *feed = combination->feed;

	return crossing_new(&parent->worker_feeds[parent->home->index].feed->publish.crossings,
			    &parent->home->inbox, feed->worker_feeds[feed->home->index].feed,
			    &feed->home->inbox, &combination->members.list[i].crossing);
}

static int make_crossings(struct combination *combination)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < combination->members.count; i++)
		r = make_crossing(combination, i);
	return r;
}

/* True: each member sends from now on. */
static bool connect_members(struct combination *combination)
{
	struct order order = {.combination = combination};
	bool is_open = true;

	worker_call(combination->feed->home, attach_members, &order);
	for (; order.member < combination->members.count; order.member++) {
		worker_call(combination->parents[order.member]->home, attach_home, &order);
		is_open = is_open && crossing_of(&order)->is_open;
	}
	return is_open;
}

/* At one listener at least. */
static bool is_offered(const struct combination *combination, enum format format)
{
	struct list_node *node;

	list_for_each (&combination->feed->service->listeners, node) {
		const struct http_listener *http = served_listener_at(node)->http;

		if (http && http_listener_offers_several(http, combination->parents,
							 combination->members.count, format))
			return true;
	}
	return false;
}

static int offer_formats(struct combination *combination)
{
	int r = 0;

	for (int i = 0; r == 0 && i < FORMAT_COUNT; i++) {
		struct served_format *format = &combination->feed->formats[i];
		bool has = is_offered(combination, (enum format)i);

		r = format_offer_change(&combination->offers[i], has ? format : NULL, PAST_ASKED);
	}
	return r;
}

static bool offers_any(const struct combination *combination)
{
	for (int i = 0; i < FORMAT_COUNT; i++) {
		if (combination->offers[i].format)
			return true;
	}
	return false;
}

static int make(struct service *service, struct combination *combination)
{
	struct feed_params params;
	int r;

	find_params(combination, &params);
	r = served_feed_new_combined(service, &params, &combination->feed);
	if (r < 0)
		return r;
	combination->feed->is_combination = true;
	served_formats_begin(combination->feed);
	list_append(&service->feeds, &combination->feed->node);
	combination->members.feed =
		combination->feed->worker_feeds[combination->feed->home->index].feed;
	take_over(combination);
	r = make_crossings(combination);
	if (r == 0)
		r = connect_members(combination) ? offer_formats(combination) : -ENOMEM;
	return r;
}

/* ---- freeing ---- */

static void disconnect_members(struct combination *combination)
{
	struct order order = {.combination = combination};
	struct members *members = &combination->members;

	for (; order.member < members->count; order.member++) {
		if (crossing_of(&order) && list_is_linked(&crossing_of(&order)->node))
			worker_call(combination->parents[order.member]->home, detach_home, &order);
	}
	worker_call(combination->feed->home, detach_members, &order);
	for (size_t i = 0; i < members->count; i++) {
		worker_call(combination->parents[i]->home, pass_by, NULL);
		crossing_free(&members->list[i].crossing);
	}
}

void combination_free(struct combination **combination_ptr, enum close_reason reason)
{
	struct combination *combination = *combination_ptr;
	struct order order = {.combination = combination, .reason = reason};

	*combination_ptr = NULL;
	if (combination->feed) {
		arrivals_send_away(combination->feed->service, combination->feed);
		disconnect_members(combination);
		workers_call(combination->feed->workers, close_in, &order);
		for (size_t i = 0; i < FORMAT_COUNT; i++)
			format_offer_end(&combination->offers[i]);
		served_feed_free(&combination->feed, reason);
	}
	list_remove(&combination->node);
	free(combination);
}

void combinations_free(struct service *service, enum close_reason reason)
{
	struct list_node *node, *next;

	list_for_each_safe (&service->combinations, node, next) {
		struct combination *combination = combination_at(node);

		combination_free(&combination, reason);
	}
}

static int capture_farewells(const struct served_feed *feed, struct farewells *ret)
{
	uint64_t refused[CLOSE_REASON_COUNT] = {0}; /* its counters go with it */
	int r = arrivals_capture_farewells(feed, refused, ret);

	for (unsigned i = 0; r == 0 && i < feed->workers->count; i++)
		r = fanout_capture_farewells(&feed->worker_feeds[i].feed->fanout, CLOSE_HANDOVER,
					     ret);
	return r;
}

int combinations_capture_farewells(const struct service *service, struct farewells *ret)
{
	struct list_node *node;
	int r = 0;

	list_for_each (&service->combinations, node) {
		if (r == 0)
			r = capture_farewells(combination_at(node)->feed, ret);
	}
	return r;
}

static bool is_open(const struct served_feed *feed)
{
	for (int i = 0; i < FORMAT_COUNT; i++) {
		if (feed->formats[i].renditions)
			return true;
	}
	return false;
}

void combinations_tick(struct service *service)
{
	struct list_node *node, *next;

	list_for_each_safe (&service->combinations, node, next) {
		struct combination *combination = combination_at(node);

		if (combination->feed->subscribers || is_open(combination->feed))
			continue;
		log_debug("combination given up feed=%s", combination->feed->name);
		combination_free(&combination, CLOSE_REMOVED);
	}
}

/* ---- asked for ---- */

static struct combination *find(const struct service *service, struct served_feed *const feeds[],
				size_t count)
{
	struct list_node *node;

	list_for_each (&service->combinations, node) {
		struct combination *combination = combination_at(node);

		if (combination->members.count == count &&
		    memcmp(combination->parents, feeds, count * sizeof(feeds[0])) == 0)
			return combination;
	}
	return NULL;
}

static uint64_t count_of(const struct service *service, const char *listener)
{
	struct list_node *node;
	uint64_t count = 0;

	list_for_each (&service->combinations, node)
		count += strcmp(combination_at(node)->listener, listener) == 0;
	return count;
}

static struct combination *new_combination(struct service *service, const char *listener,
					   struct served_feed *const feeds[], size_t count)
{
	struct combination *combination = calloc(1, sizeof(*combination));

	if (!combination)
		return NULL;
	(void)snprintf(combination->listener, sizeof(combination->listener), "%s", listener);
	combination->members.count = count;
	for (size_t i = 0; i < count; i++) {
		struct member *member = &combination->members.list[i];

		combination->parents[i] = feeds[i];
		member->framing = framing_published(&params_of(feeds[i])->framing);
		member->from = (struct packet_feed){feeds[i]->name, &member->framing};
	}
	list_append(&service->combinations, &combination->node);
	if (make(service, combination) < 0) {
		combination_free(&combination, CLOSE_NO_MEMORY);
		return NULL;
	}
	log_debug("combination made feed=%s listener=%s", combination->feed->name, listener);
	return combination;
}

int combination_get(struct service *service, const char *listener, uint64_t max,
		    struct served_feed *const feeds[], size_t count, struct combination **ret)
{
	*ret = find(service, feeds, count);
	if (*ret)
		return 0;
	if (count_of(service, listener) >= max)
		return -EUSERS;
	*ret = new_combination(service, listener, feeds, count);
	return *ret ? 0 : -ENOMEM;
}

bool combination_change(struct combination *combination)
{
	struct order order = {.combination = combination};

	if (offer_formats(combination) < 0 || !offers_any(combination))
		return false;
	find_params(combination, &order.params);
	take_over(combination);
	workers_call(combination->feed->workers, change_in, &order);
	return true;
}
