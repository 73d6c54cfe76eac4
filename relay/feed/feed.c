// SPDX-License-Identifier: MIT
/*
 * A feed's life: its renditions, its passes, its source coming and going, and what time brings.
 * Taking bytes in is intake*.c, putting them into rings publish.c, one subscriber's fate
 * subscriber.c.
 */
#include "feed/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "feed/publish.h"
#include "pipe/pipe_io.h"

enum {
	PIPE_SLOT_BYTES = 4096,
	HEADER_ARENA_BYTES = 256 * 1024,
	HALF_CLOSED_MS = 1000,  /* between two looks at half-closed subscribers */
	PIPE_RETRY_MS = 30000,  /* somebody may have raised the limit */
	CLOCK_CHECK_EVERY = 16, /* subscribers served between two looks at the clock */
};

static struct rendition *rendition_of(struct list_node *node)
{
	return list_entry(node, struct rendition, node);
}

static struct subscriber *first_of(struct list *list)
{
	struct list_node *node = list_first(list);

	return node ? list_entry(node, struct subscriber, node) : NULL;
}

/* ---- passes ---- */

/* Somebody who is ready, so that all renditions have their turn; NULL when the pass is over. */
static struct subscriber *next_ready(struct feed *feed)
{
	struct list_node *node;

	list_for_each (&feed->renditions, node) {
		struct subscriber *subscriber = first_of(&rendition_of(node)->ready);

		if (subscriber)
			return subscriber;
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
	feed->must_tell_ready = !feed->pass.is_running;
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
	return !feed->pass.is_running && !feed->is_waiting && !feed->is_draining;
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
	feed->pass.spent_ns = clock_mono_ns() - start_ns;
	if (next_ready(feed))
		feed_run_pass(feed);
	if (must_wait(feed)) {
		feed->is_waiting = true;
		feed->metrics.wait_pauses++;
		feed_check_wait(feed);
	}
	return result;
}

/* ---- the source ---- */

void feed_set_sequence(struct feed *feed, uint32_t session, uint64_t next_seq)
{
	struct list_node *node;

	feed->session = session;
	feed->next_seq = next_seq;
	list_for_each (&feed->renditions, node)
		ring_set_sequence(&rendition_of(node)->ring, next_seq);
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
	if (!feed->pass.is_running && next_ready(feed))
		feed_run_pass(feed);
}

void feed_source_up(struct feed *feed)
{
	feed->is_source_up = true;
	feed->metrics.source_connects++;
	tell(feed, PACKET_SOURCE_UP);
}

void feed_source_down(struct feed *feed, enum close_reason reason)
{
	bool in_message = !intake_is_empty(&feed->intake);
	uint64_t rest = intake_reset(feed);
	struct list_node *node;

	feed->is_source_up = false;
	feed->metrics.source_losses++;
	feed->source_ends[reason]++;
	if (in_message) {
		feed->metrics.partial_messages++;
		feed->metrics.partial_bytes += rest;
		log_warn("unfinished message not published feed=%s bytes=%llu", feed->params.name,
			 (unsigned long long)rest);
	}
	tell(feed, PACKET_SOURCE_DOWN);
	if (!feed->params.close_on_source_loss || feed->is_draining)
		return;
	list_for_each (&feed->renditions, node)
		feed_close_subscribers(rendition_of(node), CLOSE_SOURCE_LOST);
}

/* ---- pipes ---- */

void feed_note_refusal(struct feed *feed, enum refusal refusal)
{
	static const char *const calls[] = {"splice from the publisher", "tee",
					    "splice to a subscriber", "vmsplice"};

	feed->metrics.refused_calls++;
	if (!feed->refused[refusal])
		log_warn("%s is refused by the kernel or a sandbox feed=%s; going on without it",
			 calls[refusal], feed->params.name);
	feed->refused[refusal] = true;
	if (refusal == REFUSAL_TEE || refusal == REFUSAL_SPLICE_OUT) {
		feed->choice.can[ENGINE_SPLICE] = false;
		feed->choice.can[ENGINE_COMPACT] = false;
	}
}

static void open_copy_pipe(struct feed *feed)
{
	int r = pipe_pool_get(&feed->pool, &feed->copy_pipe);

	feed->has_pipes = r == 0;
	feed->pipe_retry_ms = clock_mono_ns() / NS_PER_MS + PIPE_RETRY_MS;
	if (r == -EDQUOT)
		log_warn("no pipe of %u slots feed=%s: the pipe pages of this user are used up; "
			 "raise "
			 "fs.pipe-user-pages-soft; copying instead",
			 feed->pool.slots, feed->params.name);
	else if (r < 0)
		log_warn("no pipe feed=%s: %s; copying instead", feed->params.name, strerror(-r));
}

void feed_renew_copy_pipe(struct feed *feed)
{
	pipe_pool_put_drained(&feed->pool, &feed->copy_pipe);
	open_copy_pipe(feed);
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
	if (!feed->has_pipes && now_ms >= feed->pipe_retry_ms)
		open_copy_pipe(feed);
	if (feed->params.heartbeat_ms && !feed->is_draining &&
	    now_ms - feed->last_packet_ms >= feed->params.heartbeat_ms) {
		feed->metrics.heartbeats++;
		tell(feed, PACKET_HEARTBEAT);
	}
}

static void free_closed(struct feed *feed)
{
	struct list_node *node;

	while ((node = list_first(&feed->reap))) {
		list_remove(node);
		free(list_entry(node, struct subscriber, node));
	}
}

/* The end of a turn of the loop, before it waits again. */
static void on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	struct feed *feed = container_of(watcher, struct feed, turn_end);

	(void)loop;
	(void)events;
	free_closed(feed);
	if (feed->must_tell_ready && feed_can_take(feed) && feed->events.on_ready)
		feed->events.on_ready(feed->events.owner);
	feed->must_tell_ready = false;
}

/* ---- renditions ---- */

struct rendition *feed_open_rendition(struct feed *feed, const struct encoder *encoder)
{
	const struct ring_params ring = {
		.max_bytes = feed->params.ring_bytes,
		.max_pipes = size_max(8, 2 * feed->params.ring_bytes / feed->params.segment_bytes),
	};
	const struct packet probe = {.type = PACKET_DATA};
	uint8_t header[ENCODER_HEADER_MAX];
	struct rendition *rendition;
	struct list_node *node;

	list_for_each (&feed->renditions, node) {
		rendition = rendition_of(node);
		if (rendition->encoder == encoder) {
			rendition->listeners++;
			return rendition;
		}
	}
	rendition = calloc(1, sizeof(*rendition));
	if (!rendition)
		return NULL;
	rendition->feed = feed;
	rendition->encoder = encoder;
	rendition->listeners = 1;
	ring_init(&rendition->ring, &ring);
	rendition->ring.next_seq = feed->next_seq;
	list_init(&rendition->idle);
	list_init(&rendition->ready);
	list_init(&rendition->blocked);
	/* A format without header comes last: it can have the ingest pipe itself. */
	if (encoder->header(&probe, header))
		list_prepend(&feed->renditions, &rendition->node);
	else
		list_append(&feed->renditions, &rendition->node);
	return rendition;
}

void feed_close_subscribers(struct rendition *rendition, enum close_reason reason)
{
	struct list *const lists[] = {&rendition->idle, &rendition->ready, &rendition->blocked};
	struct subscriber *subscriber;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		while ((subscriber = first_of(lists[i])))
			subscriber_close(subscriber, reason);
	}
}

static void free_rendition(struct rendition *rendition, enum close_reason reason)
{
	feed_close_subscribers(rendition, reason);
	ring_fini(&rendition->ring);
	list_remove(&rendition->node);
	free(rendition);
}

void feed_close_rendition(struct rendition **rendition)
{
	struct feed *feed = (*rendition)->feed;

	if (--(*rendition)->listeners == 0) {
		/* The closed subscribers refer to it: free them before. */
		feed_close_subscribers(*rendition, CLOSE_REMOVED);
		free_closed(feed);
		free_rendition(*rendition, CLOSE_REMOVED);
	}
	*rendition = NULL;
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
	list_init(&feed->half_closed);
	list_init(&feed->reap);
	feed->copy_pipe = PIPE_NONE;
	/* Changes with every start, and is never 0. */
	feed->session = (uint32_t)(clock_wall_ns() / NS_PER_MS) | 1u;
	feed->next_seq = 1;
	feed->last_packet_ms = clock_mono_ns() / NS_PER_MS;
	engine_choice_init(&feed->choice, params->is_auto ? NULL : &params->engine,
			   params->ring_bytes);
	intake_init(&feed->intake, &params->framing);
	r = gift_arena_init(&feed->header_arena, HEADER_ARENA_BYTES);
	if (r == 0)
		r = pipe_pool_init(&feed->pool, (unsigned)(params->segment_bytes / PIPE_SLOT_BYTES),
				   UINT16_MAX, INTAKE_PIPES_MAX);
	if (r < 0) {
		gift_arena_fini(&feed->header_arena);
		free(feed);
		return r;
	}
	open_copy_pipe(feed);
	ev_idle_init(&feed->turn_watcher, on_next_turn);
	/* Idle watchers run when nothing of their priority is pending: above the others, that is in
	 * every round of the loop, and the others have theirs in the same round. */
	ev_set_priority(&feed->turn_watcher, EV_MAXPRI);
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
	list_for_each (&feed->renditions, node)
		feed_close_subscribers(rendition_of(node), reason);
	ev_ref(feed->loop);
	free_closed(feed);
	ev_prepare_stop(feed->loop, &feed->turn_end);
	ev_idle_stop(feed->loop, &feed->turn_watcher);
	while ((node = list_first(&feed->renditions)))
		free_rendition(rendition_of(node), reason);
	intake_fini(feed);
	gift_arena_fini(&feed->header_arena);
	if (pipe_is_open(&feed->copy_pipe))
		pipe_pool_put_drained(&feed->pool, &feed->copy_pipe);
	pipe_pool_fini(&feed->pool);
	free(feed);
}

void feed_change(struct feed *feed, const struct feed_params *params)
{
	size_t segment_bytes = feed->params.segment_bytes;
	struct framing_params framing = feed->params.framing;
	struct list_node *node;

	if (params->is_auto != feed->params.is_auto || params->engine != feed->params.engine)
		engine_choice_init(&feed->choice, params->is_auto ? NULL : &params->engine,
				   params->ring_bytes);
	framing.max_message = params->framing.max_message;
	feed->params = *params;
	feed->params.segment_bytes = segment_bytes;
	feed->params.framing = framing;
	intake_change(&feed->intake, &framing);
	list_for_each (&feed->renditions, node)
		rendition_of(node)->ring.params.max_bytes = params->ring_bytes;
}

uint64_t feed_subscriber_count(const struct feed *feed)
{
	return feed->metrics.subscribers;
}

static void drain_list(struct list *list)
{
	struct list_node *node, *next;

	list_for_each_safe (list, node, next)
		subscriber_drain(list_entry(node, struct subscriber, node));
}

void feed_drain(struct feed *feed)
{
	struct list_node *node;

	if (feed->is_draining)
		return;
	feed->is_draining = true;
	tell(feed, PACKET_END);
	list_for_each (&feed->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		drain_list(&rendition->blocked);
		drain_list(&rendition->ready);
		drain_list(&rendition->idle);
	}
}

static size_t list_length(const struct list *list)
{
	struct list_node *node;
	size_t length = 0;

	list_for_each (list, node)
		length++;
	return length;
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

void feed_read_metrics(const struct feed *feed, struct metrics *ret)
{
	struct list_node *node;

	*ret = feed->metrics;
	ret->source_up = feed->is_source_up;
	ret->pipes_open = feed->pool.open_count;
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
