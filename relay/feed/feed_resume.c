// SPDX-License-Identifier: MIT
/*
 * A feed made again of its state: see feed_state.h.
 *
 * A rendition comes back whole or not at all: either its ring is exactly as it was and every
 * subscriber stands where it stood, or all of them are closed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "fanout/rendition.h"
#include "fanout/subscriber_resume.h"
#include "feed/crossing_branch.h"
#include "feed/feed.h"
#include "feed/feed_kept.h"
#include "feed/feed_state.h"
#include "feed/number.h"
#include "feed/publish.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"

/* By reset: what was begun will not be finished. */
static void close_subscriber(struct subscriber_snapshot *state)
{
	if (state->fd < 0)
		return;
	sockopt_set_reset_on_close(state->fd);
	peer_socket_close(&state->fd);
	if (state->replay)
		state->replay->free(state->replay_owner);
	state->replay = NULL;
	if (state->quota.on_closed)
		state->quota.on_closed(state->quota.owner);
	if (state->input)
		state->input->free(state->input_owner);
	state->input = NULL;
}

void feed_state_close_subscribers(struct feed_state *state)
{
	for (size_t i = 0; i < state->rendition_count; i++) {
		struct rendition_state *rendition = &state->renditions[i];

		for (size_t j = 0; j < rendition->subscriber_count; j++)
			close_subscriber(&rendition->subscribers[j]);
	}
}

static void refuse_one(struct feed *feed, struct subscriber_snapshot *subscriber,
		       enum close_reason reason)
{
	feed->fanout.closed[reason]++;
	feed->metrics.delivered_messages += subscriber->delivered;
	close_subscriber(subscriber);
}

/* Why a subscriber whose place cannot be made again is closed. */
static enum close_reason reason_of_loss(const struct feed_state *state)
{
	return state->is_after_crash ? CLOSE_CRASH : CLOSE_HANDOVER;
}

static void log_refused(const struct feed *feed, const struct rendition_state *state, size_t count,
			enum close_reason reason)
{
	if (count)
		log_warn("subscribers not resumed feed=%s format=%s count=%zu reason=%s (%s)",
			 feed->params.name, state->format, count, close_reason_name(reason),
			 close_reason_text(reason));
}

static void refuse(struct feed *feed, struct rendition_state *state, enum close_reason reason)
{
	log_refused(feed, state, state->subscriber_count, reason);
	for (size_t i = 0; i < state->subscriber_count; i++)
		refuse_one(feed, &state->subscribers[i], reason);
}

static struct rendition *find_rendition(const struct feed *feed, const char *format)
{
	struct list_node *node;

	list_for_each (&feed->fanout.renditions, node) {
		if (strcmp(encoder_name(rendition_of(node)->encoder), format) == 0)
			return rendition_of(node);
	}
	return NULL;
}

/* Is a part of what it was to get not in its ring any more? */
static bool is_behind(const struct rendition *rendition,
		      const struct subscriber_snapshot *subscriber,
		      const struct ring_restored *restored)
{
	struct cursor cursor;
	bool is_behind;

	cursor_restore(&cursor, &subscriber->cursor, restored);
	is_behind = cursor_is_behind(&cursor, &rendition->ring);
	cursor_leave(&cursor);
	return is_behind;
}

/* After a crash a ring may lack its newest messages (`missing`), and all up to a segment of which
 * nothing was known: only who may skip, and has a place already, can do without. */
static bool can_resume(const struct rendition *rendition, const struct feed_state *part,
		       const struct ring_state *ring, const struct subscriber_snapshot *subscriber,
		       const struct ring_restored *restored, uint64_t missing)
{
	if (subscriber->has_input && !subscriber->input && !subscriber->is_ending)
		return false;
	if (subscriber->is_replaying && !subscriber->replay)
		return false;
	if (!subscriber->is_replaying && cursor_state_fault(&subscriber->cursor, ring))
		return false;
	if (subscriber->end_pos > ring->end_pos)
		return false;
	if (!part->is_after_crash || subscriber->is_joining || subscriber->on_slow == ON_SLOW_SKIP)
		return true;
	return missing == 0 &&
	       (subscriber->is_replaying || !is_behind(rendition, subscriber, restored));
}

static void resume_subscribers(struct feed *feed, struct rendition *rendition,
			       const struct feed_state *part, struct rendition_state *state,
			       const struct ring_restored *restored, uint64_t missing)
{
	enum close_reason reason = reason_of_loss(part);
	size_t refused = 0;

	for (size_t i = 0; i < state->subscriber_count; i++) {
		struct subscriber_snapshot *subscriber = &state->subscribers[i];

		if (can_resume(rendition, part, &state->ring, subscriber, restored, missing)) {
			subscriber_resume(rendition, subscriber, restored);
			continue;
		}
		refuse_one(feed, subscriber, reason);
		refused++;
	}
	log_refused(feed, state, refused, reason);
}

/* What another ring of the feed has, and this one not. */
static uint64_t missing_in(const struct feed *feed, const struct feed_state *state,
			   const struct ring_state *ring)
{
	if (!state->is_after_crash || !state->is_awake ||
	    ring->next_seq >= feed->publish.sequence.next_seq)
		return 0;
	return feed->publish.sequence.next_seq - ring->next_seq;
}

/* Who is told of what is missing, or cannot be told, but may miss it. */
static void count_missing(struct feed *feed, const struct rendition *rendition, uint64_t missing)
{
	uint64_t subscribers = list_length(&rendition->ready);

	feed->metrics.gaps += subscribers;
	feed->metrics.skipped_messages += subscribers * missing;
	feed->fanout.skipped_by[CAUSE_RELAY] += subscribers;
	log_warn("messages missing after a crash feed=%s format=%s subscribers=%llu missing=%llu",
		 feed->params.name, encoder_name(rendition->encoder),
		 (unsigned long long)subscribers, (unsigned long long)missing);
}

static void restore_rendition(struct feed *feed, const struct feed_state *part,
			      struct rendition_state *state)
{
	struct rendition *rendition = find_rendition(feed, state->format);
	uint64_t missing = missing_in(feed, part, &state->ring);
	struct ring_restored restored;
	int r;

	if (!rendition) {
		refuse(feed, state, part->is_after_crash ? CLOSE_CRASH : CLOSE_REMOVED);
		return;
	}
	ring_record_adopt(rendition->ring.record, &state->ring, &state->map);
	r = state->is_unread ? -EBADMSG
			     : ring_restore(&rendition->ring, &state->ring, &feed->pipes.pool,
					    feed->pipes.copy_pipe.slots, &restored);
	ring_record_close(&state->map);
	if (r < 0) {
		log_error("ring not resumed feed=%s format=%s: %s", feed->params.name,
			  state->format, strerror(-r));
		refuse(feed, state, reason_of_loss(part));
		return;
	}
	resume_subscribers(feed, rendition, part, state, &restored, missing);
	ring_restored_drop(&restored);
	if (missing) {
		count_missing(feed, rendition, missing);
		publish_missing(rendition, feed->publish.sequence.session,
				feed->publish.sequence.next_seq);
	}
	ring_set_sequence(&rendition->ring, feed->publish.sequence.session,
			  feed->publish.sequence.next_seq);
	rendition_trim(rendition);
}

/* All that is known of an unfinished message is known by the rest.  Where that is none, messages
 * are looked for anew. */
static void restore_scan(struct framing_scan *scan, const struct intake_state *state)
{
	const struct framing_params params = scan->params;
	struct framing_walk walk;

	scan->is_in_sync = state->is_in_sync;
	framing_walk(scan, state->rest, state->rest_bytes, state->rest_bytes, &walk);
	if (walk.fault != FRAMING_OK || walk.messages)
		framing_scan_init(scan, &params);
}

static int restore_intake(struct feed *feed, const struct intake_state *state)
{
	struct intake *intake = &feed->intake;
	struct intake_memory *memory = &intake->memory;

	if (state->rest_bytes) {
		memory->bytes = malloc(state->rest_bytes);
		if (!memory->bytes)
			return -ENOMEM;
		memcpy(memory->bytes, state->rest, state->rest_bytes);
		memory->room = memory->end = state->rest_bytes;
	}
	restore_scan(&intake->scan, state);
	intake->relay.head_bytes = state->head_bytes;
	memcpy(intake->relay.head, state->head, sizeof(intake->relay.head));
	return state->has_packet ? packet_header_decode(state->packet, &intake->relay.header) : 0;
}

static void restore_counters(struct feed *feed, const struct feed_state *state)
{
	const struct part_counts *counts = &state->counts;

	feed->metrics = counts->metrics;
	feed->metrics.subscribers = 0; /* each one counts itself */
	memcpy(feed->fanout.closed, counts->closed, sizeof(feed->fanout.closed));
	memcpy(feed->source_ends, counts->source_ends, sizeof(feed->source_ends));
	memcpy(feed->fanout.skipped_by, counts->skipped_by, sizeof(feed->fanout.skipped_by));
	memcpy(feed->fanout.closed_slow_by, counts->closed_slow_by,
	       sizeof(feed->fanout.closed_slow_by));
}

/* The source of before has gone, with the rest of its message. */
static void lose_source(struct feed *feed, const struct feed_state *state, enum close_reason reason)
{
	uint64_t rest = state->intake.rest_bytes + state->intake.head_bytes;

	feed->metrics.partial_bytes += rest;
	feed->metrics.partial_messages += rest > 0;
	feed_source_down(feed, state->is_after_crash ? CLOSE_CRASH : reason);
}

int feed_restore(struct feed *feed, struct crossing *crossing, struct feed_state *state,
		 enum close_reason source_end)
{
	uint64_t source_direct = feed->metrics.source_direct;
	const struct sequence sequence = {
		.session = (uint32_t)state->session,
		.next_seq = state->next_seq,
		.is_source_up = state->is_source_up,
	};
	/* It came when the ingest was opened.  It must not go on in the other one's message. */
	bool has_new_source = feed->publish.sequence.is_source_up;
	bool is_lost = source_end != CLOSE_REASON_COUNT || has_new_source;
	int r = 0;

	restore_counters(feed, state);
	feed->metrics.source_direct = source_direct;
	publish_resume(&feed->publish, &sequence);
	feed->intake.taken_bytes = state->intake.taken_bytes;
	if (crossing && state->is_awake)
		crossing_wake_resumed(crossing);
	for (size_t i = 0; i < state->rendition_count; i++)
		restore_rendition(feed, state, &state->renditions[i]);
	if (!is_lost)
		r = restore_intake(feed, &state->intake);
	/* A source that has the same session goes on in it, and repeats or misses what it does. */
	number_resume(&feed->publish, state->intake.has_session || state->is_after_crash);
	feed_serve_packet(feed, clock_mono_ns());
	if (!crossing && state->is_source_up && is_lost)
		lose_source(feed, state, has_new_source ? CLOSE_TAKEN_OVER : source_end);
	if (!crossing && has_new_source)
		feed_source_up(feed);
	/* Before another crash. */
	feed_record_note_counts(&feed->fanout, feed->source_ends, 0);
	return r;
}
