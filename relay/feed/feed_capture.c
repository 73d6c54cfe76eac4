// SPDX-License-Identifier: MIT
/* A feed described as it stands: see feed_state.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
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
		.must_leave = subscriber->must_leave,
		.slow_cause = subscriber->slow_cause,
		.is_ending = subscriber->is_ending,
		.end_reason = subscriber->end_reason,
		.end_pos = subscriber->end_pos,
		.note = notes_waiting(&subscriber->notes)
				? subscriber->notes.bytes + subscriber->notes.sent
				: NULL,
		.note_bytes = (unsigned)notes_waiting(&subscriber->notes),
		.has_from = subscriber->has_from,
		.from_seq = subscriber->from_seq,
		.has_input = subscriber->input != NULL,
		.is_half_closed = list_is_linked(&subscriber->half_node),
		.place = subscriber->place,
	};
	cursor_capture(&subscriber->cursor, &ret->cursor);
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
	size_t room = count_subscribers(lists, ARRAY_LEN(lists));
	struct segment **held = calloc(room + 1, sizeof(struct segment *));
	struct list_node *node;
	size_t held_count = 0;
	int r;

	*ret = (struct rendition_state){.subscribers = calloc(room + 1, sizeof(*ret->subscribers))};
	(void)snprintf(ret->format, sizeof(ret->format), "%s", rendition->encoder->name);
	if (!held || !ret->subscribers) {
		free(held);
		return -ENOMEM;
	}
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		list_for_each (lists[i], node) {
			const struct subscriber *subscriber =
				list_entry(node, struct subscriber, node);

			capture_subscriber(subscriber, &ret->subscribers[ret->subscriber_count++]);
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
	const struct intake *intake = &feed->intake;
	const struct framing_scan *scan = &intake->scan;

	if (intake->pipe_count) {
		int r = intake_rest_to_memory(feed);

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
		.has_session = intake->relay.has_session,
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
		.is_awake = crossing_is_awake(feed),
		.is_source_up = feed->is_source_up,
		.session = feed->session,
		.next_seq = feed->next_seq,
		.metrics = feed->metrics,
	};
	memcpy(ret->closed, feed->closed, sizeof(ret->closed));
	memcpy(ret->source_ends, feed->source_ends, sizeof(ret->source_ends));
	memcpy(ret->skipped_by, feed->skipped_by, sizeof(ret->skipped_by));
	memcpy(ret->closed_slow_by, feed->closed_slow_by, sizeof(ret->closed_slow_by));
	list_for_each (&feed->renditions, node)
		room++;
	ret->renditions = calloc(room + 1, sizeof(*ret->renditions));
	r = ret->renditions ? capture_intake(feed, &ret->intake) : -ENOMEM;
	list_for_each (&feed->renditions, node) {
		if (r == 0)
			r = capture_rendition(rendition_of(node),
					      &ret->renditions[ret->rendition_count++]);
	}
	if (r < 0)
		feed_state_free(ret);
	return r;
}
