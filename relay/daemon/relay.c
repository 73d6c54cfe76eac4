// SPDX-License-Identifier: MIT
/* Applying configurations, draining, and the tick of the control thread. */
#include "daemon/relay.h"

#include <string.h>

#include "admin/collect.h"
#include "admin/status.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "daemon/budget.h"
#include "daemon/handover_bag.h"
#include "daemon/notify.h"
#include "serve/http_listener.h"

static const double TICK_S = 0.1;

enum {
	COLLECT_EVERY_MS = 1000,
	TELL_EVERY_MS = 5000,
	TELL_DRAINING_EVERY_MS = 1000,
	DRAIN_SIGN_MS = 10000, /* a relay that gives no sign for so long while it drains, hangs */
};

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
		if (strcmp(feed_at(node)->name, name) == 0)
			return feed_at(node);
	}
	return NULL;
}

struct served_feed *relay_find_feed(const struct relay *relay, const char *name)
{
	return find_feed(&relay->feeds, name);
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

struct served_listener *relay_find_listener(const struct relay *relay, const char *name)
{
	return find_listener(&relay->listeners, name);
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
		r = served_feed_new(relay, config, from, &served, err);
		if (r < 0)
			return r;
		list_append(made, &served->node);
		r = served_feed_open(served, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What listeners read from elsewhere, whether they are new or not. */
static int check_listeners(const struct config *config, struct errmsg *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->listener_count; i++)
		r = http_listener_check(&config->listeners[i], err);
	return r;
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
		r = served_listener_new(relay, from, &served, err);
		if (r < 0)
			return r;
		list_append(made, &served->node);
	}
	return 0;
}

/* The feed's listeners must give up its formats before it goes. */
static void detach_listeners(struct relay *relay, const struct served_feed *feed)
{
	struct list_node *node;

	list_for_each (&relay->listeners, node)
		served_listener_detach(listener_at(node), feed);
}

static void close_old_feeds(struct relay *relay, const struct config *config,
			    const struct list *made)
{
	struct list_node *node, *next;

	list_for_each_safe (&relay->feeds, node, next) {
		struct served_feed *served = feed_at(node);
		const char *name = served->name;
		const struct config_feed *from = config_find_feed(config, name);

		if (from && !find_feed(made, name) &&
		    !must_remake_feed(old_feed(relay, name), from))
			continue;
		detach_listeners(relay, served);
		served_feed_free(&served, CLOSE_REMOVED);
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
			served_listener_free(&served);
	}
}

/* Changes the feeds that stay; makes those again that were closed but keep their ingest address.
 * Returns how many could not be; *err names the last of them. */
static int settle_feeds(struct relay *relay, const struct config *config, struct errmsg *err)
{
	int failed = 0;

	for (size_t i = 0; i < config->feed_count; i++) {
		const struct config_feed *from = &config->feeds[i];
		struct served_feed *served = find_feed(&relay->feeds, from->section.name);
		int r;

		if (served) {
			served_feed_change(served, config, from);
			continue;
		}
		r = served_feed_new(relay, config, from, &served, err);
		if (r == 0) {
			list_append(&relay->feeds, &served->node);
			r = served_feed_open(served, err);
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
			find_listener(&relay->listeners, from->section.name);

		if (!served)
			continue;
		if (served_listener_change(served, config, from) < 0) {
			log_error("out of memory listener=%s, closing it", served->name);
			served_listener_free(&served);
		}
	}
}

/* A branch of a feed has a past only where somebody may ask for it.  With that, all is in place. */
static void begin_feeds(struct relay *relay)
{
	struct list_node *node, *at;

	list_for_each (&relay->feeds, node) {
		bool keeps_history = false;

		list_for_each (&relay->listeners, at) {
			keeps_history = keeps_history || served_listener_keeps_history(
								 listener_at(at), feed_at(node));
		}
		served_feed_keep_history(feed_at(node), keeps_history);
		served_feed_begin(feed_at(node));
	}
}

static void free_all(struct list *feeds, struct list *listeners, enum close_reason reason)
{
	struct served_listener *listener;
	struct served_feed *feed;
	struct list_node *node;

	while ((node = list_first(listeners))) {
		listener = listener_at(node);
		served_listener_free(&listener);
	}
	while ((node = list_first(feeds))) {
		feed = feed_at(node);
		served_feed_free(&feed, reason);
	}
}

static void set_limits(struct relay *relay, bool is_start)
{
	struct budget before = relay->budget;

	budget_reckon(relay->config, relay->workers.count, relay->fd_limit, &relay->budget);
	relay->max_subscribers = relay->budget.subscribers;
	if (is_start) {
		budget_probe(relay->config, relay->workers.count, &relay->budget);
		budget_log(&relay->budget);
		return;
	}
	relay->budget.pipes_wanted = before.pipes_wanted;
	relay->budget.pipes = before.pipes;
	relay->budget.tcp_bytes = before.tcp_bytes;
	relay->budget.stalled_bytes = before.stalled_bytes;
}

/* A subscriber that goes on needs the worker in which its ring is. */
static unsigned count_workers(const struct relay *relay, const struct config *config)
{
	unsigned wanted = workers_wanted(config->relay.workers);
	unsigned before = relay->resumed ? relay->resumed->workers : 0;

	if (before <= wanted)
		return wanted;
	log_warn("workers stay as many as before the hand-over workers=%u wanted=%u, fewer take "
		 "effect after stop and start",
		 before, wanted);
	return before;
}

int relay_apply(struct relay *relay, struct config *config, struct errmsg *err)
{
	struct admin_change admin = {0};
	struct list feeds, listeners;
	bool is_start = relay->config == NULL;
	int r = 0;

	list_init(&feeds);
	list_init(&listeners);
	if (is_start)
		r = workers_start(&relay->workers, count_workers(relay, config), &relay->control,
				  err);
	if (r == 0)
		r = check_listeners(config, err);
	if (r == 0)
		r = open_new_feeds(relay, config, &feeds, err);
	if (r == 0)
		r = open_new_listeners(relay, config, &listeners, err);
	if (r == 0)
		r = admin_open_new(&relay->admin, config, &admin, err);
	if (r < 0) {
		admin_undo(&admin);
		free_all(&feeds, &listeners, CLOSE_REMOVED);
		config_free(&config);
		return r;
	}
	close_old_listeners(relay, config, &listeners);
	close_old_feeds(relay, config, &feeds);
	list_splice(&relay->feeds, &feeds);
	list_splice(&relay->listeners, &listeners);
	r = settle_feeds(relay, config, err);
	settle_listeners(relay, config);
	if (relay->resumed)
		handover_resume(relay);
	begin_feeds(relay);
	admin_apply(&relay->admin, config, &admin);
	config_free(&relay->config);
	relay->config = config;
	set_limits(relay, is_start);
	crash_record_set_listeners(&relay->crash, relay);
	passed_fds_warn_unused(&relay->passed, config);
	relay_set_log_level(relay, config->relay.log_level);
	return r;
}

void relay_set_log_level(struct relay *relay, enum log_level level)
{
	relay->log_level = level;
	log_set_level(level);
}

/* ---- time ---- */

/* Once a second. */
static void collect(struct relay *relay, uint64_t now_ms)
{
	uint64_t max_pinned = relay->config->relay.max_pinned;

	if (now_ms - relay->collected_ms < COLLECT_EVERY_MS)
		return;
	relay->collected_ms = now_ms;
	collect_rates(relay, now_ms);
	relay->pinned_bytes = max_pinned ? collect_pinned(relay, max_pinned) : 0;
}

static void tell(struct relay *relay, uint64_t now_ms)
{
	if (now_ms - relay->told_ms < (relay->is_draining ? TELL_DRAINING_EVERY_MS : TELL_EVERY_MS))
		return;
	relay->told_ms = now_ms;
	status_notify(relay);
	if (relay->is_draining)
		notify_extend_timeout(DRAIN_SIGN_MS);
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct relay *relay = container_of(watcher, struct relay, tick);
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;

	(void)events;
	collect(relay, now_ms);
	tell(relay, now_ms);
	if (relay->is_draining && (relay->subscribers == 0 || now_ms >= relay->drain_end_ms))
		ev_break(loop, EVBREAK_ALL);
}

bool relay_has_moved(struct relay *relay)
{
	bool has_moved = true;

	for (unsigned i = 0; i < relay->workers.count; i++) {
		uint64_t ticks = atomic_load(&relay->workers.list[i].ticks);

		has_moved = has_moved && ticks != relay->last_ticks[i];
		relay->last_ticks[i] = ticks;
	}
	return has_moved;
}

void relay_init(struct relay *relay, struct ev_loop *loop, uint64_t fd_limit,
		const struct config_source *source)
{
	*relay = (struct relay){
		.loop = loop, .fd_limit = fd_limit, .source = *source, .crash = CRASH_RECORD_NONE};
	keeper_init(&relay->keeper, loop);
	relay->started_mono_ns = clock_mono_ns();
	relay->started_ns = relay->loaded_ns = clock_wall_ns();
	admin_init(&relay->admin, relay, loop);
	list_init(&relay->feeds);
	list_init(&relay->listeners);
	inbox_open(&relay->control, loop);
	passed_fds_collect(&relay->passed);
	ev_timer_init(&relay->tick, on_tick, TICK_S, TICK_S);
	ev_timer_start(loop, &relay->tick);
}

void relay_survive_crash(struct relay *relay, const struct config *config)
{
	const struct crash_room room = {
		.fd_limit = u64_min(relay->fd_limit, RECORD_DESCRIPTORS_MAX),
		.workers = workers_wanted(config->relay.workers),
		.part_bytes = sizeof(struct part_record),
		.part_count = RECORD_PARTS_MAX,
		.subscriber_bytes = sizeof(struct subscriber_record),
		.input_bytes = sizeof(struct input_record),
	};
	int r;

	if (config->relay.survive_crash == CONFIG_SURVIVE_CRASH_NO || !keeper_is_possible())
		return;
	r = crash_record_open(&relay->crash, &room);
	if (r == 0)
		r = keeper_start(&relay->keeper, &relay->crash);
	if (r == 0) {
		relay->records = crash_record_feeds(&relay->crash);
		return;
	}
	keeper_init(&relay->keeper, relay->loop);
	crash_record_close(&relay->crash);
	log_warn("keeper cannot be started: %s; a crash would end every connection", strerror(-r));
}

void relay_is_ready(struct relay *relay)
{
	crash_record_arm(&relay->crash, relay->workers.count, relay->is_after_crash);
}

bool relay_survives_crash(const struct relay *relay)
{
	return relay->keeper.pid && crash_record_is_kept(&relay->crash);
}

/* The three of a bag out of the store, or inherited over an exec. */
static struct handover_bag find_bag(struct relay *relay)
{
	struct handover_bag bag = handover_bag_inherited();
	struct handover_bag stored = {
		.state_fd = passed_fds_take(&relay->passed, HANDOVER_STATE_NAME),
		.in_fd = passed_fds_take(&relay->passed, HANDOVER_IN_NAME),
		.out_fd = passed_fds_take(&relay->passed, HANDOVER_OUT_NAME),
	};

	if (stored.state_fd >= 0 || stored.in_fd >= 0 || stored.out_fd >= 0)
		notify_unstore();
	if (bag.out_fd >= 0) {
		handover_bag_close(&stored);
		return bag;
	}
	return stored;
}

void relay_take_over(struct relay *relay)
{
	struct handover_bag bag = find_bag(relay);
	struct errmsg err;

	if (bag.state_fd < 0 && bag.out_fd < 0)
		return;
	if (handover_unpack(&bag, &relay->resumed, &err) < 0) {
		log_error("nothing resumed: %s; all connections of the process before are closed",
			  err.text);
		return;
	}
	relay->is_after_crash = relay->resumed->is_after_crash;
	for (size_t i = 0; i < relay->resumed->socket_count; i++) {
		struct handed_socket *socket = &relay->resumed->sockets[i];

		if (socket->kind != HANDED_PASSED)
			continue;
		if (passed_fds_add(&relay->passed, socket->name, socket->fd) < 0)
			log_error("out of memory name=%s", socket->name);
		socket->fd = -1;
	}
}

void relay_drain(struct relay *relay)
{
	uint64_t drain_ms = relay->config->relay.drain;
	struct list_node *node;

	if (relay->is_draining) {
		log_info("ending at once subscribers=%llu", (unsigned long long)relay->subscribers);
		ev_break(relay->loop, EVBREAK_ALL);
		return;
	}
	relay->is_draining = true;
	crash_record_set_done(&relay->crash);
	relay->drain_end_ms = clock_mono_ns() / NS_PER_MS + drain_ms;
	log_info("draining subscribers=%llu at_most_ms=%llu",
		 (unsigned long long)relay->subscribers, (unsigned long long)drain_ms);
	notify_stopping();
	relay->told_ms = 0;
	tell(relay, clock_mono_ns() / NS_PER_MS);
	list_for_each (&relay->listeners, node)
		listener_close(&listener_at(node)->listener);
	list_for_each (&relay->feeds, node)
		served_feed_drain(feed_at(node));
	inbox_run(&relay->control);
	if (relay->subscribers == 0)
		ev_break(relay->loop, EVBREAK_ALL);
}

void relay_fini(struct relay *relay)
{
	struct list_node *node;

	crash_record_set_done(&relay->crash);
	keeper_stop(&relay->keeper);
	ev_timer_stop(relay->loop, &relay->tick);
	admin_fini(&relay->admin);
	list_for_each (&relay->feeds, node)
		detach_listeners(relay, feed_at(node));
	free_all(&relay->feeds, &relay->listeners, CLOSE_DRAIN);
	workers_stop(&relay->workers);
	handover_close(&relay->resumed);
	inbox_close(&relay->control);
	passed_fds_close(&relay->passed);
	config_free(&relay->config);
	crash_record_close(&relay->crash);
}
