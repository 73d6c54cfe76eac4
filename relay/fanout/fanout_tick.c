// SPDX-License-Identifier: MIT
/* What time brings to a fan-out: limits, half-closed subscribers, and the end of each turn. */
#include "base/clock.h"
#include "base/compiler.h"
#include "fanout/fanout_parts.h"

enum {
	HALF_CLOSED_MS = 1000, /* between two looks at half-closed subscribers */
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

void fanout_tick(struct fanout *fanout, uint64_t now_ms)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node)
		check_limits(rendition_of(node), now_ms);
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

/* Before the loop waits again. */
static void on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct fanout *fanout = container_of(watcher, struct fanout, turn_end);

	(void)loop;
	(void)events;
	fanout_free_closed(fanout);
	fanout->events.on_turn_end(fanout->events.owner);
}

void fanout_init_turn_end(struct fanout *fanout)
{
	ev_prepare_init(&fanout->turn_end, on_turn_end);
	ev_prepare_start(fanout->loop, &fanout->turn_end);
	ev_unref(fanout->loop); /* housekeeping does not keep the loop alive */
}
