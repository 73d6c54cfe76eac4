// SPDX-License-Identifier: MIT
/*
 * Applying a configuration: what it adds is opened (opening.h), then all changes over.  From there
 * on nothing can fail any more.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "continuity/sealed_memory.h"
#include "daemon/budget.h"
#include "daemon/opening.h"
#include "daemon/relay.h"
#include "serve/combination.h"
#include "serve/handover.h"
#include "serve/service.h"

/* ---- what is gone, and what stays ---- */

static bool stays(struct opening *opening, const struct served_feed *served)
{
	const struct config_feed *from = config_find_feed(opening->config, served->name);

	return from && !served_feed_find(&opening->feeds, served->name) &&
	       opening_staying_feed(opening, from);
}

static void close_old_feeds(struct opening *opening)
{
	struct service *service = &opening->relay->service;
	struct list_node *node, *next;

	list_for_each_safe (&service->feeds, node, next) {
		struct served_feed *served = served_feed_at(node);

		if (served->is_combination || stays(opening, served))
			continue;
		service_detach(service, served);
		served_feed_free(&served, CLOSE_REMOVED);
	}
}

/* They go with any of their members. */
static void close_old_combinations(struct opening *opening)
{
	struct service *service = &opening->relay->service;
	struct list_node *node, *next;

	list_for_each_safe (&service->combinations, node, next) {
		struct combination *combination = combination_at(node);
		size_t staying = 0;

		for (size_t i = 0; i < combination->members.count; i++)
			staying += stays(opening, combination->parents[i]);
		if (staying < combination->members.count)
			combination_free(&combination, CLOSE_REMOVED);
	}
}

static void close_old_listeners(struct opening *opening)
{
	struct list_node *node, *next;

	list_for_each_safe (&opening->relay->service.listeners, node, next) {
		struct served_listener *served = served_listener_at(node);

		if (!config_find_listener(opening->config, served->name))
			served_listener_free(&served);
	}
}

/* Changes the feeds that stay; makes those again that were closed but keep their ingest.  Returns
 * how many could not be; *err names the last of them. */
static int settle_feeds(struct relay *relay, const struct config *config, struct errmsg *err)
{
	int failed = 0;

	for (size_t i = 0; i < config->feed_count; i++) {
		const struct config_feed *from = &config->feeds[i];
		struct served_feed *served =
			served_feed_find(&relay->service.feeds, from->section.name);
		int r;

		if (served) {
			if (served->has_begun) /* else it has just been made so */
				served_feed_change(&relay->service, served, config, from);
			else
				served_feed_record(served, from);
			continue;
		}
		r = served_feed_new(&relay->service, config, from, NULL, &served, err);
		if (r == 0) {
			list_append(&relay->service.feeds, &served->node);
			r = served_feed_open(served, NULL, err);
		}
		if (r < 0) {
			log_error("%s", err->text);
			failed++;
		}
	}
	return failed;
}

static void settle_listeners(struct relay *relay, const struct config *config)
{
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *from = &config->listeners[i];
		struct served_listener *served =
			served_listener_find(&relay->service.listeners, from->section.name);

		if (!served)
			continue;
		if (served_listener_change(served, config, from) < 0) {
			log_error("out of memory listener=%s, closing it", served->name);
			served_listener_free(&served);
		}
	}
}

static void listen_all(struct opening *opening)
{
	struct service *service = &opening->relay->service;
	const struct config *config = opening->config;

	for (size_t i = 0; i < config->feed_count; i++) {
		struct new_sockets *new = &opening->of_feeds[i];
		struct served_feed *served =
			served_feed_find(&service->feeds, config->feeds[i].section.name);

		if (served && new->sockets.count > 0)
			served_feed_listen(served, &new->endpoint, &new->sockets);
	}
	for (size_t i = 0; i < config->listener_count; i++) {
		struct new_sockets *new = &opening->of_listeners[i];
		struct served_listener *served = served_listener_find(
			&service->listeners, config->listeners[i].section.name);

		if (served && new->sockets.count > 0)
			served_listener_open(served, &new->endpoint, &new->sockets);
	}
}

static void begin_feeds(struct relay *relay)
{
	struct list_node *node;

	list_for_each (&relay->service.feeds, node)
		served_feed_begin(served_feed_at(node));
}

static void set_limits(struct relay *relay, bool is_start)
{
	budget_reckon(relay->config, relay->service.workers.count, relay->fd_limit, &relay->budget);
	relay->service.max_subscribers = relay->budget.subscribers;
	if (!is_start)
		return;
	budget_probe(relay->config, relay->service.workers.count, &relay->budget);
	budget_log(&relay->budget);
}

/* Those that serve, beside so many for histories.  A subscriber that goes on needs the worker in
 * which its ring is. */
static unsigned count_workers(const struct relay *relay, const struct config *config,
			      unsigned history)
{
	unsigned wanted = workers_wanted(config->relay.workers);
	unsigned before = relay->resumed ? relay->resumed->workers : 0;

	if (before <= wanted + history)
		return wanted;
	log_warn("workers stay as many as before the hand-over workers=%u wanted=%u, fewer take "
		 "effect after stop and start",
		 before, wanted + history);
	return before - history;
}

static int start_workers(struct relay *relay, const struct config *config, struct errmsg *err)
{
	unsigned history = workers_wanted_for_history(config);

	return workers_start(&relay->service.workers, count_workers(relay, config, history),
			     history, &relay->service.control, err);
}

/* ---- the whole ---- */

/* For the next process, whatever will be in the file by then.  The region says which file it is: so
 * the one before is closed last. */
static void keep(struct relay *relay)
{
	const struct config *config = relay->config;
	int before = relay->kept_config.fd;
	int r = sealed_memory_copy("relay-config", config->source, config->source_bytes,
				   &relay->kept_config.fd);

	if (r < 0)
		log_warn("configuration not kept: %s; the next process could not go on with it",
			 strerror(-r));
	crash_record_set_listeners(&relay->crash, &relay->service, config, &relay->kept_config);
	fd_close(&before);
}

/* Nothing fails any more, but for want of memory.  Returns as relay_apply(). */
static int change_over(struct opening *opening, struct config *config, bool is_start)
{
	struct relay *relay = opening->relay;
	int r;

	close_old_combinations(opening);
	close_old_listeners(opening);
	close_old_feeds(opening);
	list_splice(&relay->service.feeds, &opening->feeds);
	list_splice(&relay->service.listeners, &opening->listeners);
	r = settle_feeds(relay, config, opening->err);
	settle_listeners(relay, config);
	service_settle_combinations(&relay->service);
	if (relay->resumed)
		handover_resume(&relay->service, &relay->resumed);
	listen_all(opening);
	begin_feeds(relay);
	admin_apply(&relay->admin, config, &opening->admin);
	config_free(&relay->config);
	relay->config = config;
	set_limits(relay, is_start);
	keep(relay);
	passed_fds_warn_unused(&relay->service.passed, config);
	relay_set_log_level(relay, config->relay.log_level);
	return r;
}

int relay_apply(struct relay *relay, struct config *config, bool is_kept, struct errmsg *err,
		struct errmsg *where)
{
	struct opening opening = {
		.relay = relay, .config = config, .is_kept = is_kept, .err = err, .where = where};
	bool is_start = relay->config == NULL;
	int r = 0;

	where->text[0] = '\0';
	list_init(&opening.feeds);
	list_init(&opening.listeners);
	if (is_start) {
		workers_stop(&relay->service.workers); /* of another try */
		r = start_workers(relay, config, err);
	}
	if (r == 0)
		r = opening_run(&opening);
	if (r < 0)
		opening_undo(&opening);
	else
		r = change_over(&opening, config, is_start);
	opening_fini(&opening);
	if (r < 0)
		config_free(&config);
	return r;
}
