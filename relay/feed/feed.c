// SPDX-License-Identifier: MIT
/*
 * A feed's life: its source coming and going, what time brings, and its end.
 * Passes are pass.c, renditions rendition.c, taking bytes in is intake*.c, putting them into rings
 * publish.c, one subscriber's fate subscriber.c.
 */
#include "feed/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "feed/feed_kept.h"
#include "feed/publish.h"
#include "pipe/pipe_io.h"

enum {
	HALF_CLOSED_MS = 1000, /* between two looks at half-closed subscribers */
};

/* ---- the source ---- */

void feed_set_sequence(struct feed *feed, uint32_t session, uint64_t next_seq)
{
	struct list_node *node;

	feed_record_begin_sequence(feed);
	feed->session = session;
	feed->next_seq = next_seq;
	list_for_each (&feed->renditions, node)
		ring_set_sequence(&rendition_of(node)->ring, next_seq);
	feed_record_end_sequence(feed);
	crossing_send_sequence(feed);
}

static void tell(struct feed *feed, enum packet_type type)
{
	const struct packet packet = {
		.type = type,
		.session = feed->session,
		.first_seq = feed->next_seq,
		.time_ns = clock_wall_ns(),
		.starts_message = true,
	};

	publish_news(feed, &packet);
	feed_serve_ready(feed);
}

void feed_source_up(struct feed *feed)
{
	crossing_answer(feed); /* whoever asked before is told of it */
	feed->is_source_up = true;
	feed_record_note_state(feed);
	feed->metrics.source_connects++;
	tell(feed, PACKET_SOURCE_UP);
}

void feed_source_down(struct feed *feed, enum close_reason reason)
{
	bool in_message = !intake_is_empty(&feed->intake);
	uint64_t rest = intake_reset(feed);

	crossing_answer(feed);
	feed->is_source_up = false;
	feed_record_note_state(feed);
	feed->metrics.source_losses++;
	feed->source_ends[reason]++;
	if (in_message) {
		feed->metrics.partial_messages++;
		feed->metrics.partial_bytes += rest;
		log_warn("unfinished message not published feed=%s bytes=%llu", feed->params.name,
			 (unsigned long long)rest);
	}
	tell(feed, PACKET_SOURCE_DOWN);
	feed_close_for_lost_source(feed);
}

static void finish_list(struct list *list, enum close_reason reason)
{
	struct list_node *node, *next;

	list_for_each_safe (list, node, next)
		subscriber_finish(list_entry(node, struct subscriber, node), reason);
}

/* Everybody gets what is in the rings, and is closed then. */
static void finish_all(struct feed *feed, enum close_reason reason)
{
	struct list_node *node;

	list_for_each (&feed->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		finish_list(&rendition->blocked, reason);
		finish_list(&rendition->ready, reason);
		finish_list(&rendition->idle, reason);
		finish_list(&rendition->joining, reason);
	}
}

void feed_close_for_lost_source(struct feed *feed)
{
	if (feed->params.close_on_source_loss && !feed->is_draining)
		finish_all(feed, CLOSE_SOURCE_LOST);
}

/* ---- pipes ---- */

static void on_refused(void *owner, enum refusal refusal, bool is_first)
{
	static const char *const calls[] = {"splice from the publisher", "tee",
					    "splice to a subscriber", "vmsplice"};
	struct feed *feed = owner;

	if (is_first)
		log_warn("%s is refused by the kernel or a sandbox feed=%s; going on without it",
			 calls[refusal], feed->params.name);
	if (refusal == REFUSAL_TEE || refusal == REFUSAL_SPLICE_OUT) {
		feed->choice.can[ENGINE_SPLICE] = false;
		feed->choice.can[ENGINE_COMPACT] = false;
	}
}

static void on_no_pipe(void *owner, int error)
{
	const struct feed *feed = owner;

	if (error == -EDQUOT)
		log_warn("no pipe of %u slots feed=%s: the pipe pages of this user are used up; "
			 "raise fs.pipe-user-pages-soft; copying instead",
			 feed->pipes.pool.slots, feed->params.name);
	else
		log_warn("no pipe feed=%s: %s; copying instead", feed->params.name,
			 strerror(-error));
}

static int init_pipes(struct feed *feed)
{
	const struct pipe_set_params params = {
		.segment_bytes = feed->params.segment_bytes,
		.max_idle = INTAKE_PIPES_MAX,
		.gift_headers = feed->params.gift_headers,
	};
	const struct pipe_set_events events = {
		.owner = feed,
		.on_refused = on_refused,
		.on_no_pipe = on_no_pipe,
	};

	return pipe_set_init(&feed->pipes, &params, &events, &feed->metrics);
}

/* ---- time ---- */

static void check_limits(struct rendition *rendition, uint64_t now_ms, uint64_t wall_ns)
{
	struct list_node *node, *next;

	list_for_each_safe (&rendition->blocked, node, next)
		subscriber_check_limits(list_entry(node, struct subscriber, node), now_ms, wall_ns);
}

/* A peer that has closed altogether looks like a half-closed one until its kernel answers with a
 * reset: at once over a unix socket, to the next bytes or keepalive probe over TCP. */
static void check_half_closed(struct feed *feed, uint64_t now_ms)
{
	struct list_node *node, *next;

	if (now_ms < feed->half_closed_ms)
		return;
	feed->half_closed_ms = now_ms + HALF_CLOSED_MS;
	list_for_each_safe (&feed->half_closed, node, next)
		subscriber_check_half_closed(list_entry(node, struct subscriber, half_node));
}

void feed_tick(struct feed *feed, uint64_t now_ms)
{
	uint64_t wall_ns = clock_wall_ns();
	struct list_node *node;

	list_for_each (&feed->renditions, node)
		check_limits(rendition_of(node), now_ms, wall_ns);
	check_half_closed(feed, now_ms);
	if (feed->from)
		crossing_tick_branch(feed, now_ms);
	else
		crossing_tick_home(feed);
	if (crossing_is_awake(feed))
		pipe_set_tick(&feed->pipes, now_ms);
	if (feed->params.heartbeat_ms && !feed->is_draining && !feed->from &&
	    now_ms - feed->last_packet_ms >= feed->params.heartbeat_ms) {
		feed->metrics.heartbeats++;
		tell(feed, PACKET_HEARTBEAT);
	}
}

void feed_free_closed(struct feed *feed)
{
	struct list_node *node;

	while ((node = list_first(&feed->reap))) {
		list_remove(node);
		subscriber_free(list_entry(node, struct subscriber, node));
	}
}

/* The end of a turn of the loop, before it waits again. */
static void on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct feed *feed = container_of(watcher, struct feed, turn_end);

	(void)loop;
	(void)events;
	feed_free_closed(feed);
	if (!feed->must_tell_ready || !feed_can_take(feed))
		return;
	feed->must_tell_ready = false;
	if (feed->from)
		crossing_take(feed);
	else if (feed->events.on_ready)
		feed->events.on_ready(feed->events.owner);
}

/* ---- life ---- */

int feed_new(struct ev_loop *loop, const struct feed_params *params,
	     const struct feed_events *events, struct feed **ret)
{
	struct feed *feed = calloc(1, sizeof(*feed));
	int r;

	if (!feed)
		return -ENOMEM;
	feed->params = *params;
	feed->events = *events;
	feed->loop = loop;
	list_node_init(&feed->node);
	list_init(&feed->renditions);
	list_init(&feed->crossings);
	list_init(&feed->half_closed);
	list_init(&feed->reap);
	/* Changes with every start, and is never 0. */
	feed->session = (uint32_t)(clock_wall_ns() / NS_PER_MS) | 1u;
	feed->next_seq = 1;
	feed->last_packet_ms = clock_mono_ns() / NS_PER_MS;
	engine_choice_init(&feed->choice, params->is_auto ? NULL : &params->engine,
			   params->ring_bytes);
	intake_init(&feed->intake, &params->framing);
	r = init_pipes(feed);
	if (r < 0) {
		free(feed);
		return r;
	}
	if (!params->is_branch)
		pipe_set_open(&feed->pipes);
	feed_init_pass(feed);
	ev_prepare_init(&feed->turn_end, on_turn_end);
	ev_prepare_start(loop, &feed->turn_end);
	ev_unref(loop); /* housekeeping does not keep the loop alive */
	*ret = feed;
	return 0;
}

void feed_free(struct feed **feed_ptr, enum close_reason reason)
{
	struct feed *feed = *feed_ptr;
	struct list_node *node;

	*feed_ptr = NULL;
	if (!feed)
		return;
	feed->is_draining = true;
	feed_close_all(feed, reason);
	ev_ref(feed->loop);
	feed_free_closed(feed);
	ev_prepare_stop(feed->loop, &feed->turn_end);
	ev_idle_stop(feed->loop, &feed->turn_watcher);
	while ((node = list_first(&feed->renditions)))
		feed_free_rendition(rendition_of(node), reason);
	feed_record_close(feed);
	intake_fini(feed);
	pipe_set_fini(&feed->pipes);
	free(feed);
}

void feed_change(struct feed *feed, const struct feed_params *params)
{
	size_t segment_bytes = feed->params.segment_bytes;
	struct framing_params framing = feed->params.framing;
	bool is_branch = feed->params.is_branch;
	struct list_node *node;

	if (params->is_auto != feed->params.is_auto || params->engine != feed->params.engine)
		engine_choice_init(&feed->choice, params->is_auto ? NULL : &params->engine,
				   params->ring_bytes);
	framing.max_message = params->framing.max_message;
	feed->params = *params;
	feed->params.segment_bytes = segment_bytes;
	feed->params.framing = framing;
	feed->params.is_branch = is_branch;
	feed->pipes.params.gift_headers = params->gift_headers;
	intake_change(&feed->intake, &framing);
	list_for_each (&feed->renditions, node)
		rendition_of(node)->ring.params.max_bytes = params->ring_bytes;
}

uint64_t feed_subscriber_count(const struct feed *feed)
{
	return feed->metrics.subscribers + crossing_subscriber_count(feed);
}

void feed_count_subscriber(struct feed *feed, int change)
{
	feed->metrics.subscribers += (uint64_t)change;
	if (feed->from)
		atomic_store(&feed->from->subscribers, feed->metrics.subscribers);
}

void feed_keep_history(struct feed *feed, bool keeps_history)
{
	feed->keeps_history = keeps_history;
	if (keeps_history)
		crossing_wake(feed);
}

/* ---- branches ---- */

void feed_wake(struct feed *feed)
{
	struct list_node *node, *at;

	feed_record_note_state(feed);
	pipe_set_open(&feed->pipes);
	list_for_each (&feed->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		while ((at = list_first(&rendition->joining)))
			subscriber_begin(list_entry(at, struct subscriber, node));
	}
}

bool feed_sleep(struct feed *feed)
{
	struct list_node *node;

	if (feed->metrics.subscribers || feed->keeps_history)
		return false;
	feed_free_closed(feed);
	list_for_each (&feed->renditions, node)
		ring_clear(&rendition_of(node)->ring);
	pipe_set_sleep(&feed->pipes);
	return true;
}

void feed_catch_up(struct feed *feed)
{
	uint64_t before;

	if (!feed->from)
		return;
	do {
		before = feed->next_seq;
		crossing_take(feed);
	} while (feed->next_seq != before);
}

/* ---- the end ---- */

void feed_drain(struct feed *feed)
{
	if (feed->is_draining)
		return;
	feed->is_draining = true;
	crossing_send_drain(feed);
	tell(feed, PACKET_END);
	finish_all(feed, CLOSE_DRAIN);
}

static uint64_t delivered_by(const struct list *list)
{
	struct list_node *node;
	uint64_t messages = 0;

	list_for_each (list, node)
		messages +=
			subscriber_delivered_messages(list_entry(node, struct subscriber, node));
	return messages;
}

static struct subscriber *find_in(const struct list *list, uint64_t id)
{
	struct list_node *node;

	list_for_each (list, node) {
		struct subscriber *subscriber = list_entry(node, struct subscriber, node);

		if (subscriber->id == id)
			return subscriber;
	}
	return NULL;
}

struct subscriber *feed_find_subscriber(const struct feed *feed, uint64_t id)
{
	struct subscriber *found = NULL;
	struct list_node *node;

	list_for_each (&feed->renditions, node) {
		const struct rendition *rendition = rendition_of(node);
		const struct list *lists[] = {&rendition->joining, &rendition->idle,
					      &rendition->ready, &rendition->blocked};

		for (size_t i = 0; i < ARRAY_LEN(lists) && !found; i++)
			found = find_in(lists[i], id);
	}
	return found;
}

void feed_read_metrics(const struct feed *feed, struct metrics *ret)
{
	struct list_node *node;

	*ret = feed->metrics;
	ret->source_up = !feed->from && feed->is_source_up;
	ret->pipes_open = feed->pipes.pool.open_count + crossing_pipe_count(feed);
	list_for_each (&feed->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		ret->ring_bytes += rendition->ring.end_pos - rendition->ring.start_pos;
		ret->ring_pipes += rendition->ring.pipe_count;
		ret->pipes_to_blocks += rendition->ring.blocks_made;
		ret->subscribers_blocked += list_length(&rendition->blocked);
		ret->delivered_messages += delivered_by(&rendition->idle) +
					   delivered_by(&rendition->ready) +
					   delivered_by(&rendition->blocked);
	}
}
