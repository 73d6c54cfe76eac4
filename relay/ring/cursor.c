// SPDX-License-Identifier: MIT
/*
 * Cursors: joining, moving on, and knowing when a message boundary has been reached.
 */
#include "ring/cursor.h"

#include <assert.h>
#include <errno.h>

void cursor_join_live(struct cursor *cursor, const struct ring *ring)
{
	*cursor = (struct cursor){
		.next_index = ring->next_index,
		.pos = ring->end_pos,
		.next_seq = ring->next_seq,
		.messages_read = ring->message_count,
	};
	/* The newest block may still grow: then the next packet is in it. */
	if (ring->segment_count) {
		struct segment *last = ring_find_segment(ring, ring->next_index - 1);

		if (!last->is_sealed) {
			cursor->segment = last;
			cursor->offset = last->length;
			segment_ref(last);
		}
	}
}

static void join_at(struct cursor *cursor, struct segment *segment, const struct packet_mark *mark)
{
	*cursor = (struct cursor){
		.segment = segment,
		.offset = mark->offset,
		.next_index = segment->index + 1,
		.pos = segment->start_pos + mark->offset,
		.next_seq = mark->first_seq,
	};
	segment_ref(segment);
}

/* Goes back through the marks of a segment: *ret is the oldest one to join at that is within the
 * limits, else the newest of all.  True: what lies before is beyond the limits, too. */
static bool find_past(const struct ring *ring, struct segment *segment, uint64_t from_pos,
		      uint64_t since_ns, struct segment **ret_in, const struct packet_mark **ret)
{
	for (size_t i = segment->mark_count; i-- > 0;) {
		const struct packet_mark *mark = &segment->marks[i];

		if (*ret &&
		    (segment->start_pos + mark->offset < from_pos || mark->arrived_ns < since_ns))
			return true;
		/* Nothing but news comes behind the last message. */
		if (mark->starts_message && mark->messages_before < ring->message_count) {
			*ret_in = segment;
			*ret = mark;
		}
	}
	return false;
}

void cursor_join_past(struct cursor *cursor, const struct ring *ring, uint64_t bytes,
		      uint64_t since_ns)
{
	uint64_t from_pos = bytes && ring->end_pos > bytes ? ring->end_pos - bytes : 0;
	const struct packet_mark *mark = NULL;
	struct segment *found_in = NULL;
	struct list_node *node = ring->segments.head.prev;

	while (node != &ring->segments.head &&
	       !find_past(ring, list_entry(node, struct segment, node), from_pos, since_ns,
			  &found_in, &mark))
		node = node->prev;
	if (mark)
		join_at(cursor, found_in, mark);
	else
		cursor_join_live(cursor, ring);
}

/* The segment before `at` (NULL: the newest) in which packets begin, as long as the sequence has
 * not started anew since; NULL: there is none.  `later`: of the first packet behind it. */
static struct segment *segment_before(const struct ring *ring, const struct segment *at,
				      uint64_t later)
{
	struct list_node *node = at ? at->node.prev : ring->segments.head.prev;

	for (; node != &ring->segments.head; node = node->prev) {
		struct segment *segment = list_entry(node, struct segment, node);

		if (segment->mark_count)
			return segment->next_seq <= later ? segment : NULL;
	}
	return NULL;
}

uint64_t cursor_oldest_seq(const struct ring *ring)
{
	uint64_t oldest = ring->next_seq;
	uint64_t later = ring->next_seq;
	struct segment *segment = NULL;

	while ((segment = segment_before(ring, segment, later))) {
		later = segment->marks[0].first_seq;
		for (size_t i = 0; i < segment->mark_count; i++) {
			if (!segment->marks[i].starts_message)
				continue;
			oldest = segment->marks[i].first_seq;
			break;
		}
	}
	return oldest;
}

/* True when all messages of the packet come before `seq`.  `next`: the packet behind, or NULL. */
static bool ends_before(const struct ring *ring, const struct packet_mark *mark,
			const struct packet_mark *next, uint64_t seq)
{
	uint64_t count =
		(next ? next->messages_before : ring->message_count) - mark->messages_before;

	/* Without messages it is news, and a gap says more than it counts. */
	return count && mark->first_seq + count <= seq && !(next && !next->starts_message);
}

int cursor_join_seq(struct cursor *cursor, const struct ring *ring, uint64_t seq)
{
	struct segment *segment = NULL, *next_in = NULL;
	const struct packet_mark *next = NULL;
	uint64_t later = ring->next_seq;
	bool is_inside = false; /* a packet that goes on with the message has been passed */

	while (seq < ring->next_seq && (segment = segment_before(ring, segment, later))) {
		later = segment->marks[0].first_seq;
		for (size_t i = segment->mark_count; i-- > 0;) {
			const struct packet_mark *mark = &segment->marks[i];

			if (mark->first_seq <= seq && mark->starts_message) {
				if (is_inside || !ends_before(ring, mark, next, seq))
					join_at(cursor, segment, mark);
				else if (next)
					join_at(cursor, next_in, next);
				else
					cursor_join_live(cursor, ring);
				return 0;
			}
			is_inside = is_inside || mark->first_seq <= seq;
			next = mark;
			next_in = segment;
		}
	}
	if (seq < ring->next_seq)
		return -ERANGE;
	cursor_join_live(cursor, ring);
	return 0;
}

void cursor_leave(struct cursor *cursor)
{
	segment_unref(&cursor->segment);
}

/* The segment has been read and will not grow: stand between it and the next. */
static void step_out(struct cursor *cursor)
{
	struct segment *rest = cursor->segment->continued_by;

	cursor->next_index = cursor->segment->index + 1;
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
	if (cursor->next_index == ring->next_index)
		return CURSOR_LIVE;
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

bool cursor_is_at_message_start(const struct cursor *cursor, const struct ring *ring)
{
	const struct segment *segment = cursor->segment;
	const struct segment *next;
	const struct packet_mark *mark;

	if (segment && cursor->offset < segment->length) {
		mark = segment_mark_from(segment, cursor->offset);
		return mark && mark->offset == cursor->offset && mark->starts_message;
	}
	if (segment && segment->continued_by)
		return false;
	next = ring_find_segment(ring, segment ? segment->index + 1 : cursor->next_index);
	return !next || (next->mark_count && next->marks[0].starts_message);
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
