// SPDX-License-Identifier: MIT
/* Cursors: moving on, and knowing when a message boundary has been reached.  Joining is
 * cursor_join.c. */
#include "ring/cursor.h"

#include <assert.h>

void cursor_leave(struct cursor *cursor)
{
	segment_unref(&cursor->segment);
}

/* The segment has been read and will not grow: stand between it and the next. */
static void step_out(struct cursor *cursor)
{
	struct segment *rest = cursor->segment->continued_by;

	cursor->next_index = cursor->segment->index + 1;
	cursor->session = cursor->segment->session;
	cursor->next_seq = cursor->segment->next_seq;
	cursor->messages_read = cursor->segment->next_messages;
	if (rest)
		segment_ref(rest);
	segment_unref(&cursor->segment);
	cursor->segment = rest;
	cursor->offset = 0;
}

enum cursor_lag cursor_settle(struct cursor *cursor, const struct ring *ring)
{
	while (cursor->segment) {
		if (cursor->offset < cursor->segment->length)
			return CURSOR_UNREAD;
		if (!cursor->segment->is_sealed)
			return CURSOR_LIVE;
		step_out(cursor);
	}
	if (cursor->next_index == ring->next_index) {
		/* What came since had no bytes. */
		cursor->session = ring->session;
		cursor->next_seq = ring->next_seq;
		cursor->messages_read = ring->message_count;
		return CURSOR_LIVE;
	}
	cursor->segment = ring_find_segment(ring, cursor->next_index);
	if (!cursor->segment)
		return CURSOR_BEHIND;
	segment_ref(cursor->segment);
	cursor->offset = 0;
	return CURSOR_UNREAD;
}

bool cursor_is_behind(const struct cursor *cursor, const struct ring *ring)
{
	const struct segment *last = cursor->segment;

	if (!last)
		return cursor->next_index < ring_first_index(ring);
	while (last->continued_by)
		last = last->continued_by;
	return last->index + 1 < ring_first_index(ring);
}

uint64_t cursor_pinned_bytes(const struct cursor *cursor, const struct ring *ring)
{
	const struct segment *segment = cursor->segment;
	uint64_t bytes = 0;

	for (; segment && segment->index < ring_first_index(ring); segment = segment->continued_by)
		bytes += segment->length / segment->refs;
	return bytes;
}

struct segment *cursor_segment(const struct cursor *cursor)
{
	return cursor->segment;
}

size_t cursor_offset(const struct cursor *cursor)
{
	return cursor->offset;
}

void cursor_advance(struct cursor *cursor, size_t bytes)
{
	assert(bytes <= cursor->segment->length - cursor->offset);
	cursor->offset += bytes;
	cursor->pos += bytes;
}

bool cursor_is_at_packet_start(const struct cursor *cursor)
{
	const struct segment *segment = cursor->segment;
	const struct packet_mark *mark;

	if (!segment)
		return true;
	if (cursor->offset == segment->length)
		return !segment->continued_by;
	mark = segment_mark_from(segment, cursor->offset);
	return mark && mark->offset == cursor->offset;
}

uint64_t cursor_unread_seq(const struct cursor *cursor)
{
	const struct packet_mark *mark;

	if (!cursor->segment)
		return cursor->next_seq;
	mark = segment_mark_from(cursor->segment, cursor->offset);
	return mark ? mark->first_seq : cursor->segment->next_seq;
}

uint32_t cursor_unread_session(const struct cursor *cursor)
{
	return cursor->segment ? cursor->segment->session : cursor->session;
}

/* The packet that the cursor's next byte, or else its last one, belongs to. */
static const struct packet_mark *packet_in_hand(const struct cursor *cursor)
{
	const struct segment *segment = cursor->segment;
	const struct packet_mark *next = segment_mark_from(segment, cursor->offset + 1);
	size_t before = next ? (size_t)(next - segment->marks) : segment->mark_count;

	return before ? &segment->marks[before - 1] : &segment->begin;
}

uint64_t cursor_messages_read(const struct cursor *cursor)
{
	const struct segment *segment = cursor->segment;

	if (!segment)
		return cursor->messages_read;
	if (cursor->offset == segment->length && !segment->continued_by)
		return segment->next_messages;
	return packet_in_hand(cursor)->messages_before;
}

uint64_t cursor_unread_time(const struct cursor *cursor, const struct ring *ring)
{
	const struct segment *segment = cursor->segment;
	uint64_t index;

	if (segment && (cursor->offset < segment->length || segment->continued_by))
		return packet_in_hand(cursor)->arrived_ns;
	index = segment ? segment->index + 1 : cursor->next_index;
	if (index >= ring->next_index)
		return 0;
	if (index < ring_first_index(ring))
		index = ring_first_index(ring);
	return ring_find_segment(ring, index)->begin.arrived_ns;
}
