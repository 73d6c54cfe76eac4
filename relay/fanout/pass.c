// SPDX-License-Identifier: MIT
/*
 * Passes: everybody who is ready is served, in turns of turn_budget.  Between two passes the next
 * packet may be taken, unless a subscriber with on_slow = wait holds a full ring.
 */
#include "base/clock.h"
#include "base/compiler.h"
#include "fanout/fanout_parts.h"

enum {
	CLOCK_CHECK_EVERY = 16 /* subscribers served between two looks at the clock */
};

/* Somebody who is ready, so that all renditions have their turn; NULL when the pass is over. */
static struct subscriber *next_ready(struct fanout *fanout)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node) {
		struct list_node *first = list_first(&rendition_of(node)->ready);

		if (first)
			return list_entry(first, struct subscriber, node);
	}
	return NULL;
}

static void serve_in_turn(struct subscriber *subscriber)
{
	struct rendition *rendition = subscriber->rendition;

	subscriber_serve(subscriber);
	if (subscriber->state == SUBSCRIBER_READY) { /* had its share: the others first */
		list_remove(&subscriber->node);
		list_append(&rendition->ready, &subscriber->node);
	}
}

/* The order rotates, so that nobody is always last. */
static void end_pass(struct fanout *fanout)
{
	struct list_node *node;

	fanout->pass.is_running = false;
	ev_idle_stop(fanout->loop, &fanout->turn_watcher);
	list_for_each (&fanout->renditions, node)
		list_rotate(&rendition_of(node)->idle);
}

/* Starts a pass over everybody who is ready, or goes on with it, for one turn. */
static void run_turn(struct fanout *fanout)
{
	uint64_t start_ns = clock_mono_ns();
	uint64_t now_ns = start_ns;
	struct subscriber *subscriber;
	unsigned served = 0;

	fanout->metrics->turns++;
	fanout->pass.is_running = true;
	while ((subscriber = next_ready(fanout))) {
		serve_in_turn(subscriber);
		if (++served % CLOCK_CHECK_EVERY)
			continue;
		now_ns = clock_mono_ns();
		if (now_ns - start_ns > fanout->params->turn_budget_ns)
			break;
	}
	fanout->pass.spent_ns += clock_mono_ns() - start_ns;
	if (subscriber)
		fanout_continue_pass(fanout);
	else
		end_pass(fanout);
	fanout_check_wait(fanout);
}

static void on_next_turn(struct ev_loop *loop, ev_idle *watcher, int events)
{
	struct fanout *fanout = container_of(watcher, struct fanout, turn_watcher);

	(void)loop;
	(void)events;
	run_turn(fanout);
	if (!fanout->pass.is_running)
		fanout->events.on_ready(fanout->events.owner);
}

void fanout_serve(struct fanout *fanout, uint64_t start_ns)
{
	fanout->pass.spent_ns += clock_mono_ns() - start_ns;
	if (next_ready(fanout))
		run_turn(fanout);
	if (!fanout_must_wait(fanout))
		return;
	fanout->is_waiting = true;
	fanout->metrics->wait_pauses++;
	fanout_check_wait(fanout);
}

void fanout_serve_ready(struct fanout *fanout)
{
	if (!fanout->pass.is_running && next_ready(fanout))
		run_turn(fanout);
}

void fanout_init_pass(struct fanout *fanout)
{
	ev_idle_init(&fanout->turn_watcher, on_next_turn);
	/* Idle watchers run when nothing of their priority is pending: above the others, that is in
	 * every round of the loop, and the others have theirs in the same round. */
	ev_set_priority(&fanout->turn_watcher, EV_MAXPRI);
}
