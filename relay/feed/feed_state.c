// SPDX-License-Identifier: MIT
/* A feed described as it stands, that description in a stream, and what may be in one. */
#include "feed/feed_state.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"
#include "feed/feed.h"
#include "feed/feed_kept.h"
#include "feed/number.h"
#include "packet/framing.h"
#include "ring/ring_kept.h"

enum {
	NUMBER_BYTES = 8, /* in a stream */
};

#define KEPT_TABLE intake_kept_table
#define KEPT_OF    struct intake_state
#define KEPT_DEF   "feed/intake_kept.def"
#include "continuity/kept_table.def"

#define KEPT_TABLE feed_kept_table
#define KEPT_OF    struct feed_state
#define KEPT_DEF   "feed/feed_kept.def"
#include "continuity/kept_table.def"

static const char *metric_at(size_t index)
{
	size_t count;

	return metrics_rows(&count)[index].name;
}

const struct kept_names kept_metrics = {metric_at, sizeof(struct metrics) / sizeof(uint64_t)};

/* ---- subscribers ---- */

static void transfer_subscriber(struct state_stream *stream, struct subscriber_snapshot *state)
{
	kept_transfer(stream, &subscriber_kept_table, &state->kept);
	if (!state->is_replaying)
		kept_transfer(stream, &cursor_kept_table, &state->cursor);
	state_bytes(stream, &state->note, state->note_bytes, "notes");
	if (stream->is_reading && state->fd < 0)
		state_fail(stream, "socket of a subscriber");
}

static void transfer_rendition(struct state_stream *stream, struct rendition_state *state)
{
	void *subscribers = state->subscribers;
	unsigned ring_fd = (unsigned)state->ring_fd;

	state_text(stream, state->format, sizeof(state->format), "format");
	if (state->record)
		ring_record_add_fds(state->record, stream);
	state_unsigned(stream, &ring_fd, INT_MAX, "ring");
	state->ring_fd = (int)ring_fd;
	if (!state_array(stream, &subscribers, &state->subscriber_count,
			 sizeof(*state->subscribers), (size_t)25 * NUMBER_BYTES, "subscribers"))
		return;
	state->subscribers = subscribers;
	for (size_t i = 0; i < state->subscriber_count; i++)
		transfer_subscriber(stream, &state->subscribers[i]);
}

/* ---- the intake ---- */

static void transfer_intake(struct state_stream *stream, struct intake_state *state)
{
	struct packet_header header;

	kept_transfer(stream, &intake_kept_table, state);
	state_bytes(stream, &state->rest, state->rest_bytes, "rest");
	if (!stream->is_reading || stream->fault)
		return;
	if (state->has_packet ? packet_header_decode(state->packet, &header) < 0
			      : state->head_bytes == sizeof(state->head))
		state_fail(stream, "packet header");
}

/* ---- the feed ---- */

void feed_state_transfer(struct state_stream *stream, struct feed_state *state)
{
	void *renditions = state->renditions;

	kept_transfer(stream, &feed_kept_table, state);
	kept_transfer_counts(stream, (uint64_t *)&state->counts.metrics, &kept_metrics);
	kept_transfer_counts(stream, state->counts.closed, &kept_close_reasons);
	kept_transfer_counts(stream, state->counts.source_ends, &kept_close_reasons);
	kept_transfer_counts(stream, state->counts.skipped_by, &kept_slow_causes);
	kept_transfer_counts(stream, state->counts.closed_slow_by, &kept_slow_causes);
	transfer_intake(stream, &state->intake);
	if (!state_array(stream, &renditions, &state->rendition_count, sizeof(*state->renditions),
			 (size_t)3 * NUMBER_BYTES, "renditions"))
		return;
	state->renditions = renditions;
	for (size_t i = 0; i < state->rendition_count; i++)
		transfer_rendition(stream, &state->renditions[i]);
}

void feed_state_read_rings(struct feed_state *state, struct kept_fds *fds)
{
	for (size_t i = 0; i < state->rendition_count; i++) {
		struct rendition_state *rendition = &state->renditions[i];

		rendition->is_unread = ring_record_read(kept_fds_look(fds, rendition->ring_fd), fds,
							&rendition->ring, &rendition->map) < 0;
	}
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
		ring_record_close(&state->renditions[i].map);
		free(state->renditions[i].subscribers);
	}
	free(state->renditions);
	*state = (struct feed_state){0};
}

/* ---- as it stands ---- */

static void capture_subscriber(const struct subscriber *subscriber, struct subscriber_snapshot *ret)
{
	const struct notes *notes = &subscriber->notes;
	const struct subscriber_input *input = subscriber->input;
	uint64_t max_bytes;

	*ret = (struct subscriber_snapshot){
		.note = notes_waiting(notes) ? notes->bytes + notes->sent : NULL,
		.quota = subscriber->quota,
	};
	subscriber_capture(subscriber, &ret->kept);
	cursor_capture(&subscriber->cursor, &ret->cursor);
	if (!input || ret->is_ending ||
	    (input->may_go_on && input->may_go_on(subscriber->input_owner, &max_bytes)))
		return;
	/* Who is in the middle of what it says gets what is in the ring, and its last words. */
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

static int capture_rendition(const struct rendition *rendition, struct feed_state *feed,
			     struct rendition_state *ret)
{
	const struct list *lists[] = RENDITION_LISTS(rendition);
	size_t room = count_subscribers(lists, ARRAY_LEN(lists));
	const struct ring_record *record = rendition->ring_record;
	struct list_node *node;

	*ret = (struct rendition_state){
		.record = record,
		.ring_fd = record ? ring_record_fd(record) : 0, /* which is never there */
		.subscribers = calloc(room + 1, sizeof(*ret->subscribers)),
	};
	if (!ret->subscribers)
		return -ENOMEM;
	(void)snprintf(ret->format, sizeof(ret->format), "%s", encoder_name(rendition->encoder));
	feed->is_partial |= !record || !ring_record_is_whole(&rendition->ring);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		list_for_each (lists[i], node) {
			const struct subscriber *subscriber =
				list_entry(node, struct subscriber, node);

			capture_subscriber(subscriber, &ret->subscribers[ret->subscriber_count++]);
			feed->is_partial |= !ring_record_has(subscriber->cursor.segment);
		}
	}
	return 0;
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
	};
	feed_capture_counts(&feed->fanout, feed->source_ends, &ret->counts);
	list_for_each (&feed->fanout.renditions, node)
		room++;
	ret->renditions = calloc(room + 1, sizeof(*ret->renditions));
	r = ret->renditions ? capture_intake(feed, &ret->intake) : -ENOMEM;
	list_for_each (&feed->fanout.renditions, node) {
		if (r == 0)
			r = capture_rendition(rendition_of(node), ret,
					      &ret->renditions[ret->rendition_count++]);
	}
	if (r < 0)
		feed_state_free(ret);
	return r;
}
