// SPDX-License-Identifier: MIT
/* Draining, and the tick of the control thread. */
#include "daemon/relay.h"

#include <errno.h>
#include <string.h>

#include "admin/admin_door.h"
#include "admin/collect.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "daemon/budget.h"
#include "daemon/handover_bag.h"
#include "daemon/notify.h"
#include "daemon/version.h"
#include "serve/served_feed.h"
#include "serve/service.h"

static const double TICK_S = 0.1;

enum {
	COLLECT_EVERY_MS = 1000,
	TELL_EVERY_MS = 5000,
	TELL_DRAINING_EVERY_MS = 1000, /* also while it drains slowly */
	DRAIN_SIGN_MS = 10000, /* a relay that gives no sign for so long while it drains, hangs */
	END_MS = 20000,        /* and so long for its end, which waits for the disk */
};

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
	collect_rates(&relay->service, now_ms);
	relay->pinned_bytes = max_pinned ? collect_pinned(&relay->service, max_pinned) : 0;
}

/* The line of `systemctl status`, which says until when (monotonic) it drains at most. */
static void tell_draining(const struct service *service, uint64_t end_ms)
{
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
	uint64_t left_ms = u64_max(end_ms, now_ms) - now_ms;

	notify_status("draining: %llu subscribers left, for %llu s at most",
		      (unsigned long long)service->subscribers,
		      (unsigned long long)(left_ms + 999) / 1000);
}

static const char *config_remark(const struct relay *relay)
{
	if (relay->has_gone_back)
		return "the configuration before is in effect, see the journal; ";
	return relay->config_fault.text[0] ? "the last reload failed, see the journal; " : "";
}

void relay_tell_status(const struct relay *relay)
{
	const struct service *service = &relay->service;
	uint64_t in = 0, out = 0, gaps = 0;
	char in_text[32], out_text[32];
	struct list_node *node;
	size_t feeds = 0;

	list_for_each (&service->feeds, node) {
		const struct served_feed *served = served_feed_at(node);

		feeds++;
		in += served->rates.in_bytes;
		out += served->rates.out_bytes;
		gaps += served->report.metrics.gaps;
	}
	num_print_rate(in_text, sizeof(in_text), in);
	num_print_rate(out_text, sizeof(out_text), out);
	notify_status(
		"%s%zu feed%s, %llu subscriber%s, in %s, out %s, %llu skips", config_remark(relay),
		feeds, feeds == 1 ? "" : "s", (unsigned long long)service->subscribers,
		service->subscribers == 1 ? "" : "s", in_text, out_text, (unsigned long long)gaps);
}

static void tell_drain(struct relay *relay, uint64_t now_ms)
{
	relay->told_ms = now_ms;
	tell_draining(&relay->service, relay->drain_end_ms);
	notify_extend_timeout(DRAIN_SIGN_MS);
}

void relay_tell_ready(struct relay *relay)
{
	relay->is_ready_untold = !notify_ready();
}

static void tell(struct relay *relay, uint64_t now_ms)
{
	uint64_t since_ms = now_ms - relay->told_ms;

	if (relay->is_ready_untold)
		relay_tell_ready(relay);

	if (relay->service.is_draining && since_ms >= TELL_DRAINING_EVERY_MS) {
		tell_drain(relay, now_ms);
	} else if (relay->service.slow_drain_end_ms && since_ms >= TELL_DRAINING_EVERY_MS) {
		relay->told_ms = now_ms;
		tell_draining(&relay->service,
			      relay->service.slow_drain_end_ms + relay->config->relay.drain);
	} else if (!relay->service.is_draining && since_ms >= TELL_EVERY_MS) {
		relay->told_ms = now_ms;
		relay_tell_status(relay);
	}
}

/* Its time is over, or nobody is left to be let go. */
static void end_slow_drain(struct relay *relay, uint64_t now_ms)
{
	const struct service *service = &relay->service;

	if (!service->is_draining && service->slow_drain_end_ms &&
	    (service->subscribers == 0 || now_ms >= service->slow_drain_end_ms))
		relay_drain(relay);
}

/* All subscribers have gone, and what came last is in the histories. */
static bool is_drained(const struct relay *relay)
{
	return relay->service.subscribers == 0 && !service_is_recording(&relay->service);
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct relay *relay = container_of(watcher, struct relay, tick);
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;

	(void)events;
	collect(relay, now_ms);
	service_tick(&relay->service, now_ms);
	admin_tick(&relay->admin);
	tell(relay, now_ms);
	end_slow_drain(relay, now_ms);
	if (relay->service.is_draining && (is_drained(relay) || now_ms >= relay->drain_end_ms))
		ev_break(loop, EVBREAK_ALL);
}

bool relay_has_moved(struct relay *relay)
{
	bool has_moved = true;

	for (unsigned i = 0; i < relay->service.workers.count; i++) {
		uint64_t ticks = atomic_load(&relay->service.workers.list[i].ticks);

		has_moved = has_moved && ticks != relay->last_ticks[i];
		relay->last_ticks[i] = ticks;
	}
	return has_moved;
}

void relay_init(struct relay *relay, struct ev_loop *loop, uint64_t fd_limit,
		const struct admin_actions *actions, void *owner)
{
	*relay = (struct relay){
		.fd_limit = fd_limit, .crash = CRASH_RECORD_NONE, .kept_config.fd = -1};
	keeper_init(&relay->keeper, loop);
	relay->started_mono_ns = clock_mono_ns();
	relay->started_ns = relay->loaded_ns = clock_wall_ns();
	service_init(&relay->service, loop);
	admin_init(&relay->admin, &relay->service, actions, owner);
	ev_timer_init(&relay->tick, on_tick, TICK_S, TICK_S);
	ev_timer_start(loop, &relay->tick);
}

/* A crash ends all from now on. */
static void forget_crash(struct relay *relay)
{
	crash_record_set_done(&relay->crash);
	keeper_stop(&relay->keeper);
	keeper_init(&relay->keeper, relay->service.loop);
	relay->service.records = (struct feed_records){.parts = NULL};
	relay->service.listener_records = NULL;
	crash_record_close(&relay->crash);
}

void relay_survive_crash(struct relay *relay, const struct config *config)
{
	const struct crash_room room = {
		.fd_limit = u64_min(relay->fd_limit, RECORD_DESCRIPTORS_MAX),
		.workers =
			workers_wanted(config->relay.workers) + workers_wanted_for_history(config),
		.part_bytes = sizeof(struct part_record),
		.part_count = RECORD_PARTS_MAX,
		.subscriber_bytes = sizeof(struct subscriber_record),
	};
	int r;

	forget_crash(relay);
	if (config->relay.survive_crash == CONFIG_SURVIVE_CRASH_NO || !keeper_is_possible())
		return;
	r = crash_record_open(&relay->crash, &room);
	if (r == 0)
		r = keeper_start(&relay->keeper, &relay->crash);
	if (r == 0) {
		relay->service.records = crash_record_feeds(&relay->crash);
		relay->service.listener_records = crash_record_counts(&relay->crash);
		return;
	}
	forget_crash(relay);
	log_warn("keeper cannot be started: %s; a crash would end every connection", strerror(-r));
}

void relay_is_ready(struct relay *relay)
{
	crash_record_arm(&relay->crash, relay->service.workers.count, relay->is_after_crash);
}

void relay_describe(const struct relay *relay, struct admin_process *ret)
{
	*ret = (struct admin_process){
		.version = RELAY_VERSION,
		.config = relay->config,
		.budget = &relay->budget,
		.started_ns = relay->started_ns,
		.started_mono_ns = relay->started_mono_ns,
		.loaded_ns = relay->loaded_ns,
		.fd_limit = relay->fd_limit,
		.pinned_bytes = relay->pinned_bytes,
		.keeper_restarts = relay->keeper.restarts,
		.log_lost = log_lost(),
		.log_level = relay->log_level,
		.config_fault = relay->config_fault.text,
		.config_fallbacks = relay->kept_config.fallbacks,
		.survives_crash = relay->keeper.pid && crash_record_is_kept(&relay->crash),
	};
}

/* The three of a bag out of the store, or inherited over an exec. */
static struct handover_bag find_bag(struct relay *relay)
{
	struct handover_bag bag = handover_bag_inherited();
	struct handover_bag stored = {
		.state_fd = passed_fds_take(&relay->service.passed, HANDOVER_STATE_NAME),
		.in_fd = passed_fds_take(&relay->service.passed, HANDOVER_IN_NAME),
		.out_fd = passed_fds_take(&relay->service.passed, HANDOVER_OUT_NAME),
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
	relay->kept_config.fallbacks = relay->resumed->config.fallbacks;
	for (size_t i = 0; i < relay->resumed->socket_count; i++) {
		struct handed_socket *socket = &relay->resumed->sockets[i];

		if (socket->kind != HANDED_PASSED)
			continue;
		if (passed_fds_add(&relay->service.passed, socket->name, socket->fd) < 0)
			log_error("out of memory name=%s", socket->name);
		socket->fd = -1;
	}
}

void relay_drain(struct relay *relay)
{
	struct service *service = &relay->service;
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS, drain_ms = relay->config->relay.drain;

	if (service->is_draining) {
		log_info("ending at once subscribers=%llu",
			 (unsigned long long)service->subscribers);
		ev_break(service->loop, EVBREAK_ALL);
		return;
	}
	crash_record_set_done(&relay->crash);
	relay->drain_end_ms = now_ms + drain_ms;
	log_info("draining subscribers=%llu at_most_ms=%llu",
		 (unsigned long long)service->subscribers, (unsigned long long)drain_ms);
	notify_stopping();
	tell_drain(relay, now_ms);
	service_drain(service);
	if (is_drained(relay))
		ev_break(service->loop, EVBREAK_ALL);
}

int relay_drain_slowly(struct relay *relay, uint64_t spread_ms)
{
	struct service *service = &relay->service;

	if (service->is_draining)
		return -EBUSY;
	if (!spread_ms && !service->slow_drain_end_ms)
		return -EALREADY;
	if (spread_ms)
		log_info("slow drain begins subscribers=%llu over_ms=%llu",
			 (unsigned long long)service->subscribers, (unsigned long long)spread_ms);
	else
		log_info("slow drain taken back subscribers=%llu",
			 (unsigned long long)service->subscribers);
	service_drain_slowly(service, spread_ms);
	relay->told_ms = 0;
	return 0;
}

void relay_fini(struct relay *relay)
{
	notify_extend_timeout(END_MS);
	crash_record_set_done(&relay->crash);
	keeper_stop(&relay->keeper);
	ev_timer_stop(relay->service.loop, &relay->tick);
	admin_fini(&relay->admin);
	/* Before the feeds: what nobody has resumed may have quotas of theirs. */
	handover_close(&relay->resumed);
	service_fini(&relay->service);
	config_free(&relay->config);
	fd_close(&relay->kept_config.fd);
	crash_record_close(&relay->crash);
}
