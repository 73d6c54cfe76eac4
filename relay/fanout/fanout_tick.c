// SPDX-License-Identifier: MIT
/* What time brings to a fan-out: limits, closed windows, half-closed subscribers, and the end of each
 * turn. */
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

void fanout_excuse(struct fanout *fanout, uint64_t now_ms, uint64_t late_ms)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		excuse_all(&rendition->joining, now_ms, late_ms);
		excuse_all(&rendition->idle, now_ms, late_ms);
		excuse_all(&rendition->ready, now_ms, late_ms);
		excuse_all(&rendition->blocked, now_ms, late_ms);
		ring_move_arrivals(&rendition->ring, late_ms * NS_PER_MS, now_ms * NS_PER_MS);
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
		check_windows_of(&rendition->ready, now_ms);
		check_windows_of(&rendition->blocked, now_ms);
	}
}

/* ---- the tick ---- */

void fanout_tick(struct fanout *fanout, uint64_t now_ms)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node)
		check_limits(rendition_of(node), now_ms);
	check_until(fanout, now_ms);
	fanout_check_replays(fanout);
	check_windows(fanout, now_ms);
	check_half_closed(fanout, now_ms);
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
