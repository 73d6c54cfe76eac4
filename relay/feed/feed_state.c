// SPDX-License-Identifier: MIT
/* A feed described as it stands, that description in a stream, and what may be in one. */
#include "feed/feed_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"
#include "feed/feed.h"
#include "feed/number.h"
#include "packet/framing.h"

enum {
	NUMBER_BYTES = 8, /* in a stream */
};

/* ---- names ---- */

static const char *reason_at(size_t index)
{
	return close_reason_name((enum close_reason)index);
}

static const char *cause_at(size_t index)
{
	return slow_cause_name((enum slow_cause)index);
}

static const char *metric_at(size_t index)
{
	size_t count;

	return metrics_rows(&count)[index].name;
}

/* SIZE_MAX: no such name here. */
static size_t find_name(const char *name, size_t count, const char *(*name_at)(size_t index))
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(name_at(i), name) == 0)
			return i;
	}
	return SIZE_MAX;
}

void feed_state_transfer_counts(struct state_stream *stream, uint64_t *counts, size_t count,
				const char *(*name_at)(size_t index))
{
	size_t there = count;

	state_size(stream, &there, UINT16_MAX, "number of counters");
	for (size_t i = 0; i < there && !stream->fault; i++) {
		char name[STATE_NAME_BYTES] = "";
		uint64_t value = stream->is_reading ? 0 : counts[i];

		if (!stream->is_reading)
			(void)snprintf(name, sizeof(name), "%s", name_at(i));
		state_text(stream, name, sizeof(name), "name of a counter");
		state_u64(stream, &value, UINT64_MAX, "counter");
		if (!stream->is_reading || stream->fault)
			continue;
		if (find_name(name, count, name_at) != SIZE_MAX)
			counts[find_name(name, count, name_at)] = value;
	}
}

/* A value of a list that may grow, by its name. */
static void transfer_named(struct state_stream *stream, unsigned *value, size_t count,
			   const char *(*name_at)(size_t index), const char *what)
{
	char name[STATE_NAME_BYTES] = "";
	size_t found;

	if (!stream->is_reading)
		(void)snprintf(name, sizeof(name), "%s", name_at(*value));
	state_text(stream, name, sizeof(name), what);
	if (!stream->is_reading || stream->fault)
		return;
	found = find_name(name, count, name_at);
	if (found == SIZE_MAX)
		state_fail(stream, what);
	else
		*value = (unsigned)found;
}

void feed_state_transfer_reasons(struct state_stream *stream, uint64_t counts[CLOSE_REASON_COUNT])
{
	feed_state_transfer_counts(stream, counts, CLOSE_REASON_COUNT, reason_at);
}

/* ---- subscribers ---- */

static void transfer_notes(struct state_stream *stream, struct subscriber_snapshot *state)
{
	state_unsigned(stream, &state->note_bytes, NOTES_OWN_MAX, "length of notes");
	state_bytes(stream, &state->note, state->note_bytes, "notes");
	state_bool(stream, &state->has_from, "has a sequence to begin with");
	state_u64(stream, &state->from_seq, UINT64_MAX, "sequence to begin with");
}

static void transfer_input(struct state_stream *stream, struct subscriber_snapshot *state)
{
	state_bool(stream, &state->is_half_closed, "half-closed");
	state_bool(stream, &state->ends_with_fin, "ends with FIN");
	state_bool(stream, &state->has_input, "has input");
	state_u64(stream, &state->input_max_bytes, UINT64_MAX, "longest message of input");
	state_u64(stream, &state->input_bucket.per_second, NS_PER_S, "rate of input");
	state_u64(stream, &state->input_bucket.depth_ns, INT64_MAX, "depth of input");
	state_u64(stream, &state->input_bucket.full_ns, INT64_MAX, "level of input");
}

static void transfer_subscriber(struct state_stream *stream, struct subscriber_snapshot *state,
				const struct ring_state *ring)
{
	state_fd(stream, &state->fd, "socket of a subscriber");
	state_bool(stream, &state->is_joining, "joining");
	cursor_state_transfer(stream, &state->cursor, ring);
	state_u64(stream, &state->id, UINT64_MAX, "subscriber");
	state_u64(stream, &state->joined_ms, UINT64_MAX, "time of joining");
	state_u64(stream, &state->progress_ms, UINT64_MAX, "time of progress");
	state_u64(stream, &state->joined_messages, UINT64_MAX, "messages before joining");
	state_u64(stream, &state->skipped, UINT64_MAX, "messages skipped");
	state_u64(stream, &state->user_timeout_ms, UINT32_MAX, "user timeout");
	state_u64(stream, &state->delivered, UINT64_MAX, "messages delivered");
	state_unsigned(stream, &state->on_slow, ON_SLOW_WAIT, "on_slow");
	state_bool(stream, &state->must_skip, "must skip");
	transfer_named(stream, &state->slow_cause, SLOW_CAUSE_COUNT, cause_at, "cause");
	state_bool(stream, &state->is_ending, "ending");
	transfer_named(stream, &state->end_reason, CLOSE_REASON_COUNT, reason_at, "reason");
	state_u64(stream, &state->end_pos, ring->end_pos, "end of a subscriber");
	state_u64(stream, &state->until_ns, UINT64_MAX, "time of the end of a subscriber");
	state_bool(stream, &state->has_farewell, "has its last words");
	transfer_notes(stream, state);
	transfer_input(stream, state);
	state_text(stream, state->listener, sizeof(state->listener), "listener");
	state_u64(stream, &state->peer_key, UINT64_MAX, "address");
	if (stream->is_reading && state->fd < 0)
		state_fail(stream, "socket of a subscriber");
}

static void transfer_rendition(struct state_stream *stream, struct rendition_state *state)
{
	void *subscribers = state->subscribers;

	state_text(stream, state->format, sizeof(state->format), "format");
	ring_state_transfer(stream, &state->ring);
	if (!state_array(stream, &subscribers, &state->subscriber_count,
			 sizeof(*state->subscribers), (size_t)25 * NUMBER_BYTES, "subscribers"))
		return;
	state->subscribers = subscribers;
	for (size_t i = 0; i < state->subscriber_count; i++)
		transfer_subscriber(stream, &state->subscribers[i], &state->ring);
}

/* ---- the intake ---- */

static void transfer_intake(struct state_stream *stream, struct intake_state *state)
{
	uint8_t *head = state->head, *packet = state->packet;
	struct packet_header header;

	state_unsigned(stream, &state->framing, FRAMING_COUNT - 1, "framing");
	state_u64(stream, &state->fixed_bytes, UINT32_MAX, "size of a block");
	state_bool(stream, &state->is_in_sync, "in sync");
	state_size(stream, &state->rest_bytes, UINT32_MAX, "length of the rest");
	state_bytes(stream, &state->rest, state->rest_bytes, "rest");
	state_unsigned(stream, &state->head_bytes, sizeof(state->head), "packet header");
	state_bytes(stream, &head, sizeof(state->head), "packet header");
	state_bool(stream, &state->has_session, "session of the source");
	state_bool(stream, &state->has_packet, "packet to go on");
	state_bytes(stream, &packet, sizeof(state->packet), "packet to go on");
	state_u64(stream, &state->taken_bytes, UINT64_MAX, "bytes taken");
	if (!stream->is_reading || stream->fault)
		return;
	memcpy(state->head, head, sizeof(state->head));
	memcpy(state->packet, packet, sizeof(state->packet));
	if (state->has_packet ? packet_header_decode(state->packet, &header) < 0
			      : state->head_bytes == sizeof(state->head))
		state_fail(stream, "packet header");
}

/* ---- the feed ---- */

void feed_state_transfer(struct state_stream *stream, struct feed_state *state)
{
	void *renditions = state->renditions;
	size_t metric_count = sizeof(state->metrics) / sizeof(uint64_t);

	state_bool(stream, &state->is_awake, "awake");
	state_bool(stream, &state->is_source_up, "source up");
	state_u64(stream, &state->session, UINT32_MAX, "session");
	state_u64(stream, &state->next_seq, UINT64_MAX, "sequence");
	feed_state_transfer_counts(stream, (uint64_t *)&state->metrics, metric_count, metric_at);
	feed_state_transfer_counts(stream, state->closed, CLOSE_REASON_COUNT, reason_at);
	feed_state_transfer_counts(stream, state->source_ends, CLOSE_REASON_COUNT, reason_at);
	feed_state_transfer_counts(stream, state->skipped_by, SLOW_CAUSE_COUNT, cause_at);
	feed_state_transfer_counts(stream, state->closed_slow_by, SLOW_CAUSE_COUNT, cause_at);
	transfer_intake(stream, &state->intake);
	if (!state_array(stream, &renditions, &state->rendition_count, sizeof(*state->renditions),
			 (size_t)8 * NUMBER_BYTES, "renditions"))
		return;
	state->renditions = renditions;
	for (size_t i = 0; i < state->rendition_count; i++)
		transfer_rendition(stream, &state->renditions[i]);
}

void feed_state_close(struct feed_state *state)
{
	feed_state_close_subscribers(state);
	for (size_t i = 0; i < state->rendition_count; i++)
		ring_state_close(&state->renditions[i].ring);
	feed_state_free(state);
}

void feed_state_free(struct feed_state *state)
{
	for (size_t i = 0; i < state->rendition_count; i++) {
		ring_state_free(&state->renditions[i].ring);
		free(state->renditions[i].subscribers);
	}
	free(state->renditions);
	*state = (struct feed_state){0};
}

/* ---- as it stands ---- */

static void capture_subscriber(const struct subscriber *subscriber, struct subscriber_snapshot *ret)
{
	*ret = (struct subscriber_snapshot){
		.fd = subscriber->fd,
		.is_joining = subscriber->state == SUBSCRIBER_JOINING,
		.id = subscriber->id,
		.joined_ms = subscriber->joined_ms,
		.progress_ms = subscriber->progress_ms,
		.joined_messages = subscriber->joined_messages,
		.skipped = subscriber->skipped,
		.input_bucket = subscriber->input_bucket,
		.user_timeout_ms = subscriber->user_timeout_ms,
		.delivered = subscriber_delivered_messages(subscriber),
		.on_slow = subscriber->on_slow,
		.must_skip = subscriber->must_skip,
		.slow_cause = subscriber->slow_cause,
		.is_ending = subscriber_is_ending(subscriber),
		.end_reason = subscriber->end_reason,
		.end_pos = subscriber->end_pos,
		.until_ns = subscriber->until_ns,
		.note = notes_waiting(&subscriber->notes)
				? subscriber->notes.bytes + subscriber->notes.sent
				: NULL,
		.note_bytes = (unsigned)notes_waiting(&subscriber->notes),
		.has_from = subscriber->has_from,
		/* Who waits and has named a session is told of a gap: the session is not handed on. */
		.from_seq = subscriber->from_session ? 0 : subscriber->from_seq,
		.is_half_closed = list_is_linked(&subscriber->half_node),
		.ends_with_fin = subscriber->ends_with_fin,
		.has_farewell = subscriber->end == END_TOLD,
		.quota = subscriber->quota,
	};
	cursor_capture(&subscriber->cursor, &ret->cursor);
}

/* Who is in the middle of what it says gets what is in the ring, and its last words. */
static void capture_input(const struct subscriber *subscriber, struct subscriber_snapshot *ret)
{
	const struct subscriber_input *input = subscriber->input;

	ret->has_input = input != NULL;
	if (!input || ret->is_ending)
		return;
	if (input->may_go_on && input->may_go_on(subscriber->input_owner, &ret->input_max_bytes))
		return;
	ret->is_ending = true;
	ret->end_reason = CLOSE_HANDOVER;
	ret->end_pos = subscriber->rendition->ring.end_pos;
}

static size_t count_subscribers(const struct list *lists[], size_t list_count)
{
	size_t count = 0;

	for (size_t i = 0; i < list_count; i++)
		count += list_length(lists[i]);
	return count;
}

static int capture_rendition(const struct rendition *rendition, struct rendition_state *ret)
{
	const struct list *lists[] = {&rendition->joining, &rendition->idle, &rendition->ready,
				      &rendition->blocked};
	size_t room = count_subscribers(lists, ARRAY_LEN(lists)), held_count = 0;
	struct list_node *node;
	struct segment **held = calloc(room + 1, sizeof(struct segment *));
	int r;

	*ret = (struct rendition_state){
		.subscribers = calloc(room + 1, sizeof(*ret->subscribers)),
	};
	(void)snprintf(ret->format, sizeof(ret->format), "%s", encoder_name(rendition->encoder));
	if (!held || !ret->subscribers) {
		free(held);
		return -ENOMEM;
	}
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		list_for_each (lists[i], node) {
			const struct subscriber *subscriber =
				list_entry(node, struct subscriber, node);

			struct subscriber_snapshot *state =
				&ret->subscribers[ret->subscriber_count++];

			capture_subscriber(subscriber, state);
			capture_input(subscriber, state);
			if (subscriber->cursor.segment)
				held[held_count++] = subscriber->cursor.segment;
		}
	}
	r = ring_capture(&rendition->ring, held, held_count, &ret->ring);
	free(held);
	return r;
}

static int capture_intake(struct feed *feed, struct intake_state *ret)
{
	struct intake *intake = &feed->intake;
	const struct framing_scan *scan = &intake->scan;

	if (intake->rest_count) {
		int r = intake_rest_to_memory(intake);

		if (r < 0)
			return r;
	}
	*ret = (struct intake_state){
		.framing = scan->params.kind,
		.fixed_bytes = scan->params.fixed_bytes,
		.is_in_sync = scan->is_in_sync,
		.rest = intake->memory.bytes + intake->memory.start,
		.rest_bytes = intake_memory_bytes(intake),
		.head_bytes = (unsigned)intake->relay.head_bytes,
		.has_session = number_is_followed(&feed->publish),
		.has_packet = intake_relay_has_packet(&intake->relay),
		.taken_bytes = intake->taken_bytes,
	};
	memcpy(ret->head, intake->relay.head, sizeof(ret->head));
	packet_header_encode(&intake->relay.header, ret->packet);
	return 0;
}

int feed_capture(struct feed *feed, struct feed_state *ret)
{
	struct list_node *node;
	size_t room = 0;
	int r;

	*ret = (struct feed_state){
		.is_awake = feed->publish.is_awake,
		.is_source_up = feed->publish.sequence.is_source_up,
		.session = feed->publish.sequence.session,
		.next_seq = feed->publish.sequence.next_seq,
		.metrics = feed->metrics,
	};
	memcpy(ret->closed, feed->fanout.closed, sizeof(ret->closed));
	memcpy(ret->source_ends, feed->source_ends, sizeof(ret->source_ends));
	memcpy(ret->skipped_by, feed->fanout.skipped_by, sizeof(ret->skipped_by));
	memcpy(ret->closed_slow_by, feed->fanout.closed_slow_by, sizeof(ret->closed_slow_by));
	list_for_each (&feed->fanout.renditions, node)
		room++;
	ret->renditions = calloc(room + 1, sizeof(*ret->renditions));
	r = ret->renditions ? capture_intake(feed, &ret->intake) : -ENOMEM;
	list_for_each (&feed->fanout.renditions, node) {
		if (r == 0)
			r = capture_rendition(rendition_of(node),
					      &ret->renditions[ret->rendition_count++]);
	}
	if (r < 0)
		feed_state_free(ret);
	return r;
}
