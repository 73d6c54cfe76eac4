// SPDX-License-Identifier: MIT
/*
 * Applying configurations, accepting subscribers, and the tick that drives what depends on time.
 */
#include "daemon/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "daemon/admit.h"
#include "daemon/budget.h"
#include "daemon/notify.h"
#include "daemon/params.h"
#include "daemon/status.h"
#include "feed/pinned.h"

static const double TICK_S = 0.1;

static struct served_feed *feed_at(struct list_node *node)
{
	return list_entry(node, struct served_feed, node);
}

static struct served_listener *listener_at(struct list_node *node)
{
	return list_entry(node, struct served_listener, node);
}

static struct served_feed *find_feed(const struct list *feeds, const char *name)
{
	struct list_node *node;

	list_for_each (feeds, node) {
		if (strcmp(feed_at(node)->feed->params.name, name) == 0)
			return feed_at(node);
	}
	return NULL;
}

static struct served_listener *find_listener(const struct list *listeners, const char *name)
{
	struct list_node *node;

	list_for_each (listeners, node) {
		if (strcmp(listener_at(node)->name, name) == 0)
			return listener_at(node);
	}
	return NULL;
}

uint64_t relay_subscriber_count(const struct relay *relay)
{
	struct list_node *node;
	uint64_t count = 0;

	list_for_each (&relay->feeds, node)
		count += feed_subscriber_count(feed_at(node)->feed);
	return count;
}

/* ---- making and unmaking ---- */

static void on_feed_ready(void *owner)
{
	struct served_feed *served = owner;

	ingest_resume(&served->ingest);
}

static void free_feed(struct served_feed *served, enum close_reason reason)
{
	ingest_close(&served->ingest, reason);
	feed_free(&served->feed, reason);
	list_remove(&served->node);
	free(served);
}

/* Makes the feed and opens its ingest. */
static int make_feed(struct relay *relay, const struct config *config,
		     const struct config_feed *from, struct served_feed **ret, struct errmsg *err)
{
	struct served_feed *served = calloc(1, sizeof(*served));
	struct ingest_params *ingest_params = calloc(1, sizeof(*ingest_params));
	const struct feed_events events = {.owner = served, .on_ready = on_feed_ready};
	struct access publishers = {0};
	struct feed_params params;
	int r = -ENOMEM;

	if (!served || !ingest_params) {
		errmsg_set(err, "feed %s: out of memory", from->section.name);
		goto fail;
	}
	list_node_init(&served->node);
	r = params_of_ingest(from, ingest_params, err);
	if (r < 0)
		goto fail;
	r = params_of_publishers(from, &publishers, err);
	if (r < 0)
		goto fail;
	params_of_feed(config, from, &params);
	r = feed_new(relay->loop, &params, &events, &served->feed);
	if (r < 0) {
		errmsg_errno(err, r, "feed %s", from->section.name);
		goto fail;
	}
	ingest_init(&served->ingest, relay->loop, served->feed, ingest_params);
	ingest_set_access(&served->ingest, &publishers);
	free(ingest_params);
	*ret = served;
	return 0;
fail:
	access_fini(&publishers);
	free(ingest_params);
	free(served);
	return r;
}

static int open_feed(struct served_feed *served, struct errmsg *err)
{
	struct errmsg why;
	int r = ingest_open(&served->ingest, &why);

	if (r < 0) {
		errmsg_set(err, "feed %s: %s", served->feed->params.name, why.text);
		return r;
	}
	if (*ingest_address(&served->ingest))
		log_info("listening feed=%s address=%s", served->feed->params.name,
			 ingest_address(&served->ingest));
	return 0;
}

static void free_listener(struct served_listener *served)
{
	listener_close(&served->listener);
	if (served->rendition)
		feed_close_rendition(&served->rendition);
	access_fini(&served->access);
	peer_count_drop(&served->peers);
	list_remove(&served->node);
	free(served);
}

static int make_listener(struct relay *relay, const struct config_listener *from,
			 struct served_listener **ret, struct errmsg *err)
{
	struct served_listener *served = calloc(1, sizeof(*served));
	struct peer_count *peers = peer_count_new();
	struct endpoint endpoint;
	struct errmsg why;
	int r = -ENOMEM;

	if (!served || !peers) {
		errmsg_set(err, "listener %s: out of memory", from->section.name);
		free(served);
		peer_count_drop(&peers);
		return r;
	}
	list_node_init(&served->node);
	served->relay = relay;
	served->peers = peers;
	(void)snprintf(served->name, sizeof(served->name), "%s", from->section.name);
	listener_init(&served->listener, relay->loop, admit_subscriber, served);
	r = params_of_subscribers(from, &served->access, &why);
	if (r == 0)
		r = endpoint_parse(from->listen, &endpoint, &why);
	if (r == 0)
		r = listener_open(&served->listener, &endpoint, &why);
	if (r < 0) {
		errmsg_set(err, "listener %s: %s", from->section.name, why.text);
		access_fini(&served->access);
		peer_count_drop(&served->peers);
		free(served);
		return r;
	}
	log_info("listening listener=%s address=%s", served->name,
		 listener_address(&served->listener));
	*ret = served;
	return 0;
}

/* ---- what a new configuration changes ---- */

static bool must_remake_feed(const struct config_feed *old, const struct config_feed *new)
{
	const struct config_option *differing[CONFIG_SECTION_OPTIONS];
	size_t count = config_differs_feed(old, new, differing);

	for (size_t i = 0; i < count; i++) {
		if (!differing[i]->is_reloadable)
			return true;
	}
	return false;
}

static bool is_same_ingest(const struct config_feed *old, const struct config_feed *new)
{
	return old && strcmp(old->ingest.text, new->ingest.text) == 0;
}

static const struct config_feed *old_feed(const struct relay *relay, const char *name)
{
	return relay->config ? config_find_feed(relay->config, name) : NULL;
}

static const struct config_listener *old_listener(const struct relay *relay, const char *name)
{
	return relay->config ? config_find_listener(relay->config, name) : NULL;
}

/* Opens the feeds that are new, or whose ingest is elsewhere now. */
static int open_new_feeds(struct relay *relay, const struct config *config, struct list *made,
			  struct errmsg *err)
{
	for (size_t i = 0; i < config->feed_count; i++) {
		const struct config_feed *from = &config->feeds[i];
		struct served_feed *served;
		int r;

		if (is_same_ingest(old_feed(relay, from->section.name), from))
			continue;
		r = make_feed(relay, config, from, &served, err);
		if (r < 0)
			return r;
		list_append(made, &served->node);
		r = open_feed(served, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_new_listeners(struct relay *relay, const struct config *config, struct list *made,
			      struct errmsg *err)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *from = &config->listeners[i];
		const struct config_listener *old = old_listener(relay, from->section.name);
		struct served_listener *served;
		int r;

		if (old && strcmp(old->listen, from->listen) == 0)
			continue;
		r = make_listener(relay, from, &served, err);
		if (r < 0)
			return r;
		list_append(made, &served->node);
	}
	return 0;
}

/* The feed's listeners must give up its renditions before it goes. */
static void detach_listeners(struct relay *relay, const struct feed *feed)
{
	struct list_node *node;

	list_for_each (&relay->listeners, node) {
		struct served_listener *served = listener_at(node);

		if (served->rendition && served->rendition->feed == feed)
			feed_close_rendition(&served->rendition);
	}
}

static void close_old_feeds(struct relay *relay, const struct config *config,
			    const struct list *made)
{
	struct list_node *node, *next;

	list_for_each_safe (&relay->feeds, node, next) {
		struct served_feed *served = feed_at(node);
		const char *name = served->feed->params.name;
		const struct config_feed *from = config_find_feed(config, name);

		if (from && !find_feed(made, name) &&
		    !must_remake_feed(old_feed(relay, name), from))
			continue;
		detach_listeners(relay, served->feed);
		free_feed(served, CLOSE_REMOVED);
	}
}

static void close_old_listeners(struct relay *relay, const struct config *config,
				const struct list *made)
{
	struct list_node *node, *next;

	list_for_each_safe (&relay->listeners, node, next) {
		struct served_listener *served = listener_at(node);

		if (!config_find_listener(config, served->name) ||
		    find_listener(made, served->name))
			free_listener(served);
	}
}

static void change_publishers(struct served_feed *served, const struct config_feed *from)
{
	struct access publishers;
	struct errmsg err;

	if (params_of_publishers(from, &publishers, &err) < 0)
		log_error("%s feed=%s, who may publish has not changed", err.text,
			  from->section.name);
	else
		ingest_set_access(&served->ingest, &publishers);
}

/* Changes the feeds that stay; makes those again that were closed but keep their ingest address. */
static void settle_feeds(struct relay *relay, const struct config *config)
{
	for (size_t i = 0; i < config->feed_count; i++) {
		const struct config_feed *from = &config->feeds[i];
		struct served_feed *served = find_feed(&relay->feeds, from->section.name);
		struct ingest_params *ingest_params;
		struct feed_params params;
		struct errmsg err;

		if (!served) {
			if (make_feed(relay, config, from, &served, &err) < 0) {
				log_error("%s", err.text);
				continue;
			}
			list_append(&relay->feeds, &served->node);
			if (open_feed(served, &err) < 0)
				log_error("%s", err.text);
			continue;
		}
		params_of_feed(config, from, &params);
		feed_change(served->feed, &params);
		ingest_params = &served->ingest.params;
		ingest_params->takeover = from->takeover == CONFIG_TAKEOVER_REPLACE;
		ingest_params->source_timeout_ms = from->source_timeout;
		ingest_params->rate_bytes = from->rate;
		change_publishers(served, from);
	}
}

static void change_admission(struct served_listener *served, const struct config_listener *from)
{
	struct access access;
	struct errmsg err;

	served->max_per_ip = from->max_per_ip;
	listener_set_rate(&served->listener, from->accept_rate);
	if (params_of_subscribers(from, &access, &err) < 0) {
		log_error("%s listener=%s, who may subscribe has not changed", err.text,
			  served->name);
		return;
	}
	access_fini(&served->access);
	served->access = access;
}

static void settle_listeners(struct relay *relay, const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *from = &config->listeners[i];
		struct served_listener *served =
			find_listener(&relay->listeners, from->section.name);
		struct served_feed *feed = find_feed(&relay->feeds, from->feed);
		const struct encoder *encoder = params_encoder(from);

		if (!served || !feed)
			continue;
		params_of_subscriber(from, &served->subscriber_params);
		params_of_sockets(from, &served->sockopt_params);
		change_admission(served, from);
		if (served->rendition && served->rendition->feed == feed->feed &&
		    served->rendition->encoder == encoder)
			continue;
		if (served->rendition)
			feed_close_rendition(&served->rendition);
		served->rendition = feed_open_rendition(feed->feed, encoder);
		if (!served->rendition) {
			log_error("out of memory listener=%s, closing it", served->name);
			free_listener(served);
		}
	}
}

static void undo(struct list *feeds, struct list *listeners)
{
	struct list_node *node;

	while ((node = list_first(listeners)))
		free_listener(listener_at(node));
	while ((node = list_first(feeds)))
		free_feed(feed_at(node), CLOSE_REMOVED);
}

static void set_limits(struct relay *relay, bool is_start)
{
	struct budget budget;

	budget_reckon(relay->config, relay->fd_limit, &budget);
	relay->max_subscribers = budget.subscribers;
	if (!is_start)
		return;
	budget_probe(relay->config, &budget);
	budget_log(&budget);
}

int relay_apply(struct relay *relay, struct config *config, struct errmsg *err)
{
	struct list feeds, listeners;
	bool is_start;
	int r;

	list_init(&feeds);
	list_init(&listeners);
	r = open_new_feeds(relay, config, &feeds, err);
	if (r == 0)
		r = open_new_listeners(relay, config, &listeners, err);
	if (r < 0) {
		undo(&feeds, &listeners);
		config_free(&config);
		return r;
	}
	close_old_listeners(relay, config, &listeners);
	close_old_feeds(relay, config, &feeds);
	list_splice(&relay->feeds, &feeds);
	list_splice(&relay->listeners, &listeners);
	settle_feeds(relay, config);
	settle_listeners(relay, config);
	is_start = relay->config == NULL;
	config_free(&relay->config);
	relay->config = config;
	set_limits(relay, is_start);
	log_set_level(config->relay.log_level);
	return 0;
}

/* ---- time ---- */

static void update_rates(struct served_feed *served, uint64_t now_ms)
{
	struct feed_rates *rates = &served->rates;
	const struct metrics *metrics = &served->feed->metrics;
	uint64_t elapsed = now_ms - rates->last_ms;

	if (elapsed < 1000)
		return;
	rates->in_bytes = (metrics->in_bytes - rates->last_in) * 1000 / elapsed;
	rates->out_bytes = (metrics->delivered_bytes - rates->last_out) * 1000 / elapsed;
	rates->last_in = metrics->in_bytes;
	rates->last_out = metrics->delivered_bytes;
	rates->last_ms = now_ms;
}

/* Once a second: max_pinned. */
static void check_pinned(struct relay *relay, uint64_t now_ms)
{
	uint64_t max_bytes = relay->config->relay.max_pinned;
	struct pinned pinned = {0};
	struct list_node *node;

	if (now_ms - relay->pinned_ms < 1000)
		return;
	relay->pinned_ms = now_ms;
	relay->pinned_bytes = 0;
	if (!max_bytes)
		return;
	list_for_each (&relay->feeds, node) {
		/* Without memory for all of them, those that are there are closed. */
		if (pinned_add(&pinned, feed_at(node)->feed) < 0)
			break;
	}
	pinned_close_most(&pinned, max_bytes);
	relay->pinned_bytes = pinned.bytes;
	pinned_free(&pinned);
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct relay *relay = container_of(watcher, struct relay, tick);
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
	struct list_node *node;

	(void)events;
	list_for_each (&relay->feeds, node) {
		struct served_feed *served = feed_at(node);

		feed_tick(served->feed, now_ms);
		ingest_tick(&served->ingest, now_ms);
		update_rates(served, now_ms);
	}
	check_pinned(relay, now_ms);
	status_notify(relay, now_ms);
	if (relay->is_draining &&
	    (relay_subscriber_count(relay) == 0 || now_ms >= relay->drain_end_ms))
		ev_break(loop, EVBREAK_ALL);
}

void relay_init(struct relay *relay, struct ev_loop *loop, uint64_t fd_limit)
{
	*relay = (struct relay){.loop = loop, .fd_limit = fd_limit};
	list_init(&relay->feeds);
	list_init(&relay->listeners);
	ev_timer_init(&relay->tick, on_tick, TICK_S, TICK_S);
	ev_timer_start(loop, &relay->tick);
}

void relay_drain(struct relay *relay)
{
	uint64_t drain_ms = relay->config->relay.drain;
	struct list_node *node;

	if (relay->is_draining) {
		log_info("ending at once subscribers=%llu",
			 (unsigned long long)relay_subscriber_count(relay));
		ev_break(relay->loop, EVBREAK_ALL);
		return;
	}
	relay->is_draining = true;
	relay->drain_end_ms = clock_mono_ns() / NS_PER_MS + drain_ms;
	log_info("draining subscribers=%llu at_most_ms=%llu",
		 (unsigned long long)relay_subscriber_count(relay), (unsigned long long)drain_ms);
	notify_stopping();
	notify_extend_timeout(drain_ms + 5000);
	list_for_each (&relay->listeners, node)
		listener_close(&listener_at(node)->listener);
	list_for_each (&relay->feeds, node) {
		ingest_close(&feed_at(node)->ingest, CLOSE_DRAIN);
		feed_drain(feed_at(node)->feed);
	}
	if (relay_subscriber_count(relay) == 0)
		ev_break(relay->loop, EVBREAK_ALL);
}

void relay_fini(struct relay *relay)
{
	struct list_node *node;

	ev_timer_stop(relay->loop, &relay->tick);
	list_for_each (&relay->feeds, node)
		detach_listeners(relay, feed_at(node)->feed);
	while ((node = list_first(&relay->listeners)))
		free_listener(listener_at(node));
	while ((node = list_first(&relay->feeds)))
		free_feed(feed_at(node), CLOSE_DRAIN);
	config_free(&relay->config);
}
