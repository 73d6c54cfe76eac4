// SPDX-License-Identifier: MIT
/* What time brings to a fan-out: limits, closed windows, half-closed subscribers, a slow drain, and
 * the end of each turn. */
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "fanout/fanout_parts.h"
#include "fanout/slow_cause.h"
#include "fanout/subscriber_kept.h"
#include "net/sockopt.h"

enum {
	HALF_CLOSED_MS = 1000, /* between two looks at half-closed subscribers */
	WINDOWS_MS = 2000,     /* between two looks at closed windows */
	PROBES_LOST = 2,       /* one alone may have been lost on the way, or be on its way */
};

static void check_limits(struct rendition *rendition, uint64_t now_ms)
{
	struct list_node *node, *next;

	list_for_each_safe (&rendition->blocked, node, next)
		subscriber_check_limits(list_entry(node, struct subscriber, node), now_ms);
}

/* Who was to come back does not. */
static void check_kept(struct rendition *rendition, uint64_t now_ms)
{
	uint64_t timeout_ms = rendition->fanout->params->stall_timeout_ms;

	if (rendition->kept_from != UINT64_MAX && timeout_ms &&
	    now_ms >= rendition->kept_ms + timeout_ms)
		rendition_release(rendition);
}

/* A peer that has closed altogether looks like a half-closed one until its kernel answers with a
 * reset: at once over a unix socket, to the next bytes or keepalive probe over TCP. */
static void check_half_closed(struct fanout *fanout, uint64_t now_ms)
{
	struct list_node *node, *next;

	if (now_ms < fanout->half_closed_ms)
		return;
	fanout->half_closed_ms = now_ms + HALF_CLOSED_MS;
	list_for_each_safe (&fanout->half_closed, node, next)
		subscriber_check_half_closed(list_entry(node, struct subscriber, half_node));
}

static void check_until(struct fanout *fanout, uint64_t now_ms)
{
	struct list_node *node, *next;

	list_for_each_safe (&fanout->until, node, next) {
		struct subscriber *subscriber = list_entry(node, struct subscriber, until_node);

		if (now_ms > subscriber->until_ns / NS_PER_MS && !subscriber->replay)
			subscriber_end_by_time(subscriber);
	}
}

static void excuse_all(const struct list *list, uint64_t now_ms, uint64_t late_ms)
{
	struct list_node *node;

	list_for_each (list, node)
		subscriber_excuse(list_entry(node, struct subscriber, node), now_ms, late_ms);
}

/* Near is what makes no difference to max_lag.  Where there are too many, the oldest one goes. */
static void note_pause(struct fanout *fanout, uint64_t end_ms, uint64_t ms)
{
	struct fanout_pause *pauses = fanout->pauses;
	struct fanout_pause *last = fanout->pause_count ? &pauses[fanout->pause_count - 1] : NULL;

	if (last && end_ms - last->first_ms < 2 * fanout->params->max_lag_ms / FANOUT_PAUSES) {
		last->end_ms = end_ms;
		last->ms += ms;
		return;
	}
	if (fanout->pause_count == FANOUT_PAUSES) {
		memmove(pauses, pauses + 1, (FANOUT_PAUSES - 1) * sizeof(*pauses));
		fanout->pause_count--;
	}
	pauses[fanout->pause_count++] =
		(struct fanout_pause){.first_ms = end_ms, .end_ms = end_ms, .ms = ms};
}

void fanout_excuse(struct fanout *fanout, uint64_t now_ms, uint64_t late_ms)
{
	struct list_node *node;

	note_pause(fanout, now_ms, late_ms);
	list_for_each (&fanout->renditions, node) {
		const struct rendition *rendition = rendition_of(node);
		const struct list *lists[] = RENDITION_LISTS(rendition);

		for (size_t i = 0; i < ARRAY_LEN(lists); i++)
			excuse_all(lists[i], now_ms, late_ms);
	}
}

/* ---- closed windows ----
 *
 * A subscriber that does not read, but whose kernel is there: its receive window is closed.  Linux
 * ends such a connection, too, when TCP_USER_TIMEOUT is over (see net/sockopt.h), and calls it a
 * timeout of the network.  So while a window is closed, the kernel does not count: the subscriber
 * lives for as long as stall_timeout lets it, and relay looks by itself whether the kernel's probes
 * of the window are answered.  They come after 0.2 s, 0.4 s and so on, at last every two minutes
 * (tcp_probe_timer() of Linux): so in a long pause, a dead network is found after four minutes at
 * most.
 */

static void stop_user_timeout(struct subscriber *subscriber)
{
	uint32_t timeout_ms = sockopt_user_timeout(subscriber->fd);

	if (!timeout_ms)
		return;
	subscriber->user_timeout_ms = timeout_ms;
	subscriber->unanswered_ms = 0;
	subscriber_record_note_input(subscriber);
	sockopt_set_user_timeout(subscriber->fd, 0);
}

static void start_user_timeout(struct subscriber *subscriber)
{
	sockopt_set_user_timeout(subscriber->fd, subscriber->user_timeout_ms);
	subscriber->user_timeout_ms = 0;
	subscriber_record_note_input(subscriber);
}

static void check_probes(struct subscriber *subscriber, unsigned unanswered, uint64_t now_ms)
{
	if (!unanswered)
		subscriber->unanswered_ms = 0;
	else if (!subscriber->unanswered_ms)
		subscriber->unanswered_ms = now_ms;
	else if (unanswered >= PROBES_LOST &&
		 now_ms - subscriber->unanswered_ms >= subscriber->user_timeout_ms)
		subscriber_close(subscriber, CLOSE_NETWORK);
}

static void check_window(struct subscriber *subscriber, uint64_t now_ms)
{
	struct slow_signs signs;

	if (!subscriber->user_timeout_ms && !slow_signs_has_unsent(subscriber->fd))
		return;
	slow_cause_read(subscriber->fd, &signs);
	if (!slow_signs_is_window_shut(&signs)) {
		if (subscriber->user_timeout_ms)
			start_user_timeout(subscriber);
		return;
	}
	if (!subscriber->user_timeout_ms)
		stop_user_timeout(subscriber);
	if (subscriber->user_timeout_ms)
		check_probes(subscriber, signs.window_probes, now_ms);
}

static void check_windows_of(const struct list *list, uint64_t now_ms)
{
	struct list_node *node, *next;

	list_for_each_safe (list, node, next)
		check_window(list_entry(node, struct subscriber, node), now_ms);
}

/* Of those who have read all that relay has, too: it may wait in the kernel. */
static void check_windows(struct fanout *fanout, uint64_t now_ms)
{
	struct list_node *node;

	if (now_ms < fanout->windows_ms)
		return;
	fanout->windows_ms = now_ms + WINDOWS_MS;
	list_for_each (&fanout->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		check_windows_of(&rendition->idle, now_ms);
		check_windows_of(&rendition->resting, now_ms);
		check_windows_of(&rendition->ready, now_ms);
		check_windows_of(&rendition->blocked, now_ms);
	}
}

/* ---- a slow drain ---- */

/* Is it one of those who are to go, and has not been told yet?  One that still joins is not: it
 * does not know its place, and will in a moment. */
static bool is_to_go(const struct subscriber *subscriber, const struct fanout_drain *drain)
{
	return subscriber->joined_ms <= drain->begin_ms && !subscriber->is_relays_own &&
	       (subscriber->end == END_NONE ||
		(subscriber->end == END_READS_OUT && subscriber->end_reason == CLOSE_UNTIL));
}

static uint64_t count_to_go(const struct list *list, const struct fanout_drain *drain)
{
	struct list_node *node;
	uint64_t count = 0;

	list_for_each (list, node)
		count += is_to_go(list_entry(node, struct subscriber, node), drain);
	return count;
}

static void let_go(struct fanout_drain *drain, const struct list *list, uint64_t due)
{
	struct list_node *node, *next;

	list_for_each_safe (list, node, next) {
		struct subscriber *subscriber = list_entry(node, struct subscriber, node);

		if (drain->let_go >= due)
			return;
		if (!is_to_go(subscriber, drain))
			continue;
		drain->let_go++;
		subscriber_finish(subscriber, CLOSE_MOVED);
	}
}

uint64_t fanout_left_to_drain(const struct fanout *fanout)
{
	const struct fanout_drain *drain = &fanout->drain;
	struct list_node *node;
	uint64_t count = 0;

	if (!drain->spread_ms)
		return 0;
	list_for_each (&fanout->renditions, node) {
		const struct rendition *rendition = rendition_of(node);
		const struct list *lists[] = RENDITION_LISTS(rendition);

		for (size_t i = 0; i < ARRAY_LEN(lists); i++)
			count += count_to_go(lists[i], drain);
	}
	return count;
}

void fanout_drain_slowly(struct fanout *fanout, uint64_t begin_ms, uint64_t spread_ms, double phase)
{
	fanout->drain =
		(struct fanout_drain){.spread_ms = spread_ms, .begin_ms = begin_ms, .phase = phase};
	fanout->drain.total = fanout_left_to_drain(fanout);
}

/* Who has gone by itself makes the last ones go a little earlier. */
static void drain_slowly(struct fanout *fanout, uint64_t now_ms)
{
	struct fanout_drain *drain = &fanout->drain;
	uint64_t since_ms = now_ms - u64_min(drain->begin_ms, now_ms);
	uint64_t due = drain->total;
	struct list_node *node;

	if (drain->let_go == drain->total)
		return;
	if (since_ms < drain->spread_ms)
		due = (uint64_t)((double)drain->total * (double)since_ms /
					 (double)drain->spread_ms +
				 drain->phase);
	if (drain->let_go >= due)
		return;
	list_for_each (&fanout->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		let_go(drain, &rendition->blocked, due);
		let_go(drain, &rendition->ready, due);
		let_go(drain, &rendition->idle, due);
		let_go(drain, &rendition->resting, due);
	}
}

void fanout_drain_rest(struct fanout *fanout)
{
	drain_slowly(fanout, UINT64_MAX);
}

/* ---- the disk ---- */

void fanout_wait_for_disk(struct fanout *fanout)
{
	struct list_node *node;

	fanout->waits_for_disk = true;
	list_for_each (&fanout->renditions, node)
		rendition_of(node)->held_from = 0;
}

void fanout_note_on_disk(struct fanout *fanout, const struct fanout_disk *on_disk)
{
	struct list_node *node;

	fanout->on_disk = *on_disk;
	list_for_each (&fanout->renditions, node) {
		if (rendition_update_held(rendition_of(node)))
			subscriber_wake_all(rendition_of(node));
	}
	fanout_serve_ready(fanout);
	fanout_check_wait(fanout);
}

/* ---- the tick ---- */

void fanout_tick(struct fanout *fanout, uint64_t now_ms)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node) {
		check_limits(rendition_of(node), now_ms);
		check_kept(rendition_of(node), now_ms);
	}
	if (fanout->waits_for_disk) /* a new format may have a past */
		fanout_note_on_disk(fanout, &fanout->on_disk);
	check_until(fanout, now_ms);
	fanout_check_replays(fanout, now_ms);
	check_windows(fanout, now_ms);
	check_half_closed(fanout, now_ms);
	drain_slowly(fanout, now_ms);
}

void fanout_free_closed(struct fanout *fanout)
{
	struct list_node *node;

	while ((node = list_first(&fanout->reap))) {
		list_remove(node);
		subscriber_free(list_entry(node, struct subscriber, node));
	}
}

static void on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct fanout *fanout = container_of(watcher, struct fanout, turn_end);

	(void)events;
	ev_prepare_stop(loop, watcher);
	fanout_free_closed(fanout);
	fanout->events.on_turn_end(fanout->events.owner);
}

void fanout_init_turn_end(struct fanout *fanout)
{
	ev_prepare_init(&fanout->turn_end, on_turn_end);
}
