// SPDX-License-Identifier: MIT
/*
 * Passes: a packet comes in, and everybody at the live edge is served, in turns of turn_budget.
 * Between two passes the next packet may be taken, unless a subscriber with on_slow = wait holds a
 * full ring.
 */
#include "base/clock.h"
#include "base/compiler.h"
#include "feed/feed.h"

enum {
	CLOCK_CHECK_EVERY = 16
}; /* subscribers served between two looks at the clock */

/* Somebody who is ready, so that all renditions have their turn; NULL when the pass is over. */
static struct subscriber *next_ready(struct feed *feed)
{
	struct list_node *node;

	list_for_each (&feed->renditions, node) {
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
static void end_pass(struct feed *feed)
{
	struct list_node *node;

	feed->pass.is_running = false;
	ev_idle_stop(feed->loop, &feed->turn_watcher);
	list_for_each (&feed->renditions, node)
		list_rotate(&rendition_of(node)->idle);
}

void feed_run_pass(struct feed *feed)
{
	uint64_t start_ns = clock_mono_ns();
	uint64_t now_ns = start_ns;
	struct subscriber *subscriber;
	unsigned served = 0;

	feed->metrics.turns++;
	feed->pass.is_running = true;
	while ((subscriber = next_ready(feed))) {
		serve_in_turn(subscriber);
		if (++served % CLOCK_CHECK_EVERY)
			continue;
		now_ns = clock_mono_ns();
		if (now_ns - start_ns > feed->params.turn_budget_ns)
			break;
	}
	feed->pass.spent_ns += clock_mono_ns() - start_ns;
	if (subscriber)
		feed_continue_pass(feed);
	else
		end_pass(feed);
}

void feed_continue_pass(struct feed *feed)
{
	feed->pass.is_running = true;
	ev_idle_start(feed->loop, &feed->turn_watcher);
}

static void on_next_turn(struct ev_loop *loop, ev_idle *watcher, int events)
{
	struct feed *feed = container_of(watcher, struct feed, turn_watcher);

	(void)loop;
	(void)events;
	feed_run_pass(feed);
	feed->must_tell_ready = feed->must_tell_ready || !feed->pass.is_running;
}

/* ---- waiting for slow subscribers ---- */

static uint64_t index_needed(const struct subscriber *subscriber)
{
	return subscriber->cursor.segment ? subscriber->cursor.segment->index
					  : subscriber->cursor.next_index;
}

static uint64_t oldest_index_needed(struct list *list, uint64_t oldest)
{
	struct list_node *node;

	list_for_each (list, node) {
		const struct subscriber *subscriber = list_entry(node, struct subscriber, node);

		if (subscriber->on_slow == ON_SLOW_WAIT)
			oldest = u64_min(oldest, index_needed(subscriber));
	}
	return oldest;
}

void feed_trim(struct rendition *rendition)
{
	uint64_t keep = UINT64_MAX;

	if (ring_is_over_full(&rendition->ring)) {
		keep = oldest_index_needed(&rendition->blocked, keep);
		keep = oldest_index_needed(&rendition->ready, keep);
	}
	ring_trim(&rendition->ring, keep);
}

static bool must_wait(struct feed *feed)
{
	struct list_node *node;

	list_for_each (&feed->renditions, node) {
		if (ring_is_over_full(&rendition_of(node)->ring))
			return true;
	}
	return false;
}

void feed_check_wait(struct feed *feed)
{
	struct list_node *node;

	if (!feed->is_waiting)
		return;
	list_for_each (&feed->renditions, node)
		feed_trim(rendition_of(node));
	if (must_wait(feed))
		return;
	feed->is_waiting = false;
	/* Told before the loop waits again, since this may be in the middle of a walk over
	 * subscribers. */
	feed->must_tell_ready = true;
}

/* ---- taking in ---- */

bool feed_can_take(const struct feed *feed)
{
	return !feed->pass.is_running && !feed->is_waiting && !feed->is_held && !feed->is_draining;
}

/* What the packet before has cost until now, to whom it belongs. */
static void report_pass(struct feed *feed)
{
	struct feed_pass *pass = &feed->pass;

	if (pass->is_measured)
		engine_report(&feed->choice, pass->size_class, pass->engine, pass->delivered_bytes,
			      pass->spent_ns);
	*pass = (struct feed_pass){.is_running = pass->is_running};
}

enum intake_result feed_take(struct feed *feed, const struct source *source, int *ret_err)
{
	uint64_t start_ns = clock_mono_ns();
	uint64_t packets = feed->metrics.in_packets;
	enum intake_result result;

	report_pass(feed);
	result = intake_take(feed, source, ret_err);
	feed->pass.is_measured = feed->metrics.in_packets == packets + 1;
	feed_serve_packet(feed, start_ns);
	return result;
}

void feed_serve_packet(struct feed *feed, uint64_t start_ns)
{
	feed->pass.spent_ns += clock_mono_ns() - start_ns;
	if (next_ready(feed))
		feed_run_pass(feed);
	if (must_wait(feed)) {
		feed->is_waiting = true;
		feed->metrics.wait_pauses++;
		feed_check_wait(feed);
	}
	feed->is_held = crossing_must_hold(feed);
	feed->metrics.crossing_holds += feed->is_held;
}

void feed_check_hold(struct feed *feed)
{
	if (!feed->is_held)
		return;
	feed->is_held = crossing_must_hold(feed);
	/* Told before the loop waits again. */
	feed->must_tell_ready = feed->must_tell_ready || !feed->is_held;
}

void feed_serve_ready(struct feed *feed)
{
	if (!feed->pass.is_running && next_ready(feed))
		feed_run_pass(feed);
}

void feed_init_pass(struct feed *feed)
{
	ev_idle_init(&feed->turn_watcher, on_next_turn);
	/* Idle watchers run when nothing of their priority is pending: above the others, that is in
	 * every round of the loop, and the others have theirs in the same round. */
	ev_set_priority(&feed->turn_watcher, EV_MAXPRI);
}
