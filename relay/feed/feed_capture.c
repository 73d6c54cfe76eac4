// SPDX-License-Identifier: MIT
/* A feed described as it stands: see feed_state.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"
#include "feed/feed.h"
#include "feed/feed_state.h"

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
		.input_left = subscriber->input_left,
		.delivered = subscriber_delivered_messages(subscriber),
		.on_slow = subscriber->on_slow,
		.must_skip = subscriber->must_skip,
		.slow_cause = subscriber->slow_cause,
		.is_ending = subscriber_is_ending(subscriber),
		.end_reason = subscriber->end_reason,
		.end_pos = subscriber->end_pos,
		.note = notes_waiting(&subscriber->notes)
				? subscriber->notes.bytes + subscriber->notes.sent
				: NULL,
		.note_bytes = (unsigned)notes_waiting(&subscriber->notes),
		.has_from = subscriber->has_from,
		.from_seq = subscriber->from_seq,
		.is_half_closed = list_is_linked(&subscriber->half_node),
		.ends_with_fin = subscriber->ends_with_fin,
		.has_farewell = subscriber->end == END_TOLD,
		.quota = subscriber->quota,
	};
	cursor_capture(&subscriber->cursor, &ret->cursor);
}

/* `room`: the rendition's, for those that are still to come. */
static void capture_input(const struct subscriber *subscriber, struct subscriber_snapshot *ret,
			  uint8_t **room)
{
	const struct subscriber_input *input = subscriber->input;

	if (!input)
		return;
	ret->has_input = true;
	(void)snprintf(ret->input_name, sizeof(ret->input_name), "%s", input->name);
	ret->input_state = *room;
	if (input->capture)
		ret->input_bytes = (unsigned)input->capture(subscriber->input_owner, *room);
	*room += ret->input_bytes;
}

static void count_subscribers(const struct list *lists[], size_t list_count, size_t *ret_count,
			      size_t *ret_inputs)
{
	struct list_node *node;

	*ret_count = *ret_inputs = 0;
	for (size_t i = 0; i < list_count; i++) {
		list_for_each (lists[i], node) {
			++*ret_count;
			*ret_inputs += list_entry(node, struct subscriber, node)->input != NULL;
		}
	}
}

static int capture_rendition(const struct rendition *rendition, struct rendition_state *ret)
{
	const struct list *lists[] = {&rendition->joining, &rendition->idle, &rendition->ready,
				      &rendition->blocked};
	size_t room, inputs, held_count = 0;
	struct list_node *node;
	struct segment **held;
	uint8_t *input_room;
	int r;

	count_subscribers(lists, ARRAY_LEN(lists), &room, &inputs);
	held = calloc(room + 1, sizeof(struct segment *));
	*ret = (struct rendition_state){
		.subscribers = calloc(room + 1, sizeof(*ret->subscribers)),
		.input_states = malloc(inputs * SUBSCRIBER_INPUT_STATE_MAX + 1),
	};
	input_room = ret->input_states;
	(void)snprintf(ret->format, sizeof(ret->format), "%s", rendition->encoder->name);
	if (!held || !ret->subscribers || !input_room) {
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
			capture_input(subscriber, state, &input_room);
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
		.message_bytes = scan->message_bytes,
		.need_bytes = scan->need_bytes,
		.prefix_bytes = scan->prefix_bytes,
		.rest = intake->memory.bytes + intake->memory.start,
		.rest_bytes = intake_memory_bytes(intake),
		.head_bytes = (unsigned)intake->relay.head_bytes,
		.has_session = feed->publish.follows_session,
		.in_message = intake->relay.in_message,
		.taken_bytes = intake->taken_bytes,
	};
	memcpy(ret->prefix, scan->prefix, sizeof(ret->prefix));
	memcpy(ret->head, intake->relay.head, sizeof(ret->head));
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
