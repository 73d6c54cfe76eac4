// SPDX-License-Identifier: MIT
/* What a ring is made of, and what of it holds together; making one of it again is
 * ring_restore.c. */
#include "ring/ring_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/fd.h"

enum {
	SLOTS_MAX = 1 << 20,
	GROWING_BLOCK_BYTES = 64 * 1024, /* ring.c: what a block that may still grow has */
	TAG_MAX = UINT8_MAX,
};

#define SEGMENT_BYTES_MAX UINT32_MAX

#define KEPT_TABLE        cursor_kept_table
#define KEPT_OF           struct cursor_state
#define KEPT_DEF          "ring/cursor_kept.def"
#include "continuity/kept_table.def"

#define KEPT_TABLE mark_kept_table
#define KEPT_OF    struct packet_mark
#define KEPT_DEF   "ring/mark_kept.def"
#include "continuity/kept_table.def"

void cursor_capture(const struct cursor *cursor, struct cursor_state *ret)
{
	*ret = (struct cursor_state){
		.is_inside = cursor->segment != NULL,
		.index = cursor->segment ? cursor->segment->index : 0,
		.offset = cursor->segment ? cursor->offset : 0,
		.pos = cursor->pos,
		.next_index = cursor->next_index,
		.session = cursor->session,
		.next_seq = cursor->next_seq,
		.messages_read = cursor->messages_read,
	};
}

/* ---- what holds together ---- */

static bool is_same_mark(const struct packet_mark *one, const struct packet_mark *other)
{
	return one->first_seq == other->first_seq && one->offset == other->offset &&
	       one->messages_before == other->messages_before &&
	       one->arrived_ns == other->arrived_ns;
}

/* What is wrong with a segment by itself; NULL: nothing. */
static const char *segment_fault(const struct segment_state *segment)
{
	size_t before = 0;

	if (segment->length > SEGMENT_BYTES_MAX)
		return "segment length";
	if (segment->tag > TAG_MAX)
		return "segment tag";
	if (!segment->is_continuation &&
	    (!segment->mark_count || !is_same_mark(&segment->marks[0], &segment->begin)))
		return "first mark";
	for (size_t i = 0; i < segment->mark_count; i++) {
		size_t offset = segment->marks[i].offset;

		/* A packet without bytes shares its place with the next. */
		if (offset < before || offset > segment->length)
			return "mark offset";
		before = offset;
	}
	if (segment->read_fd >= 0 || segment->write_fd >= 0)
		return segment->read_fd < 0 || segment->write_fd < 0 || !segment->slots ||
				       segment->slots > SLOTS_MAX || !segment->length ||
				       !segment->is_sealed
			       ? "pipe segment"
			       : NULL;
	return segment->block_bytes < segment->length ||
			       segment->block_bytes > size_max(segment->length, GROWING_BLOCK_BYTES)
		       ? "block size"
		       : NULL;
}

/* Each segment against the one before it and the ring. */
static const char *order_fault(const struct ring_state *ring)
{
	uint64_t pos = ring->start_pos;
	const struct segment_state *before = NULL;

	for (size_t i = 0; i < ring->segment_count; i++) {
		const struct segment_state *segment = &ring->segments[i];
		bool is_next = before && before->index + 1 == segment->index;

		if (before && (segment->index <= before->index ||
			       (before->is_retained && (!segment->is_retained || !is_next))))
			return "order of segments";
		if (before && before->is_continued != (is_next && segment->is_continuation))
			return "continued segment";
		if (segment->is_retained && segment->start_pos != pos)
			return "segment position";
		if (!segment->is_sealed && i + 1 < ring->segment_count)
			return "growing segment";
		if (segment->is_retained)
			pos += segment->length;
		before = segment;
	}
	if (before && (before->is_continued || before->index >= ring->next_index ||
		       (before->is_retained && before->index + 1 != ring->next_index)))
		return "newest segment";
	return pos == ring->end_pos ? NULL : "end of the ring";
}

const char *ring_state_fault(const struct ring_state *ring)
{
	const char *fault = NULL;

	for (size_t i = 0; !fault && i < ring->segment_count; i++)
		fault = segment_fault(&ring->segments[i]);
	return fault ? fault : order_fault(ring);
}

static const struct segment_state *find_segment(const struct ring_state *ring, uint64_t index)
{
	size_t low = 0, high = ring->segment_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ring->segments[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ring->segment_count && ring->segments[low].index == index
		       ? &ring->segments[low]
		       : NULL;
}

/* Between two segments: before the one that comes next, or behind the ring, which has trimmed it.
 */
static bool is_between(const struct cursor_state *state, const struct ring_state *ring)
{
	const struct segment_state *next = find_segment(ring, state->next_index);

	if (state->next_index == ring->next_index)
		return state->pos == ring->end_pos;
	return next ? state->pos == next->start_pos : state->pos <= ring->start_pos;
}

const char *cursor_state_fault(const struct cursor_state *state, const struct ring_state *ring)
{
	const struct segment_state *segment;

	if (state->pos > ring->end_pos)
		return "cursor position";
	if (state->next_index > ring->next_index)
		return "cursor next index";
	if (!state->is_inside)
		return is_between(state, ring) ? NULL : "cursor between segments";
	segment = find_segment(ring, state->index);
	return !segment || state->offset > segment->length ||
			       state->pos != segment->start_pos + state->offset
		       ? "cursor in a segment"
		       : NULL;
}

/* Into the segment that comes next. */
static int enter_next(struct cursor_state *state, const struct ring_state *ring)
{
	const struct segment_state *next = find_segment(ring, state->next_index);

	if (!next || next->start_pos != state->pos)
		return -ERANGE;
	state->is_inside = true;
	state->index = next->index;
	state->offset = 0;
	state->next_index = next->index + 1;
	return 0;
}

int cursor_state_advance(struct cursor_state *state, const struct ring_state *ring, uint64_t bytes)
{
	while (bytes) {
		const struct segment_state *segment =
			state->is_inside ? find_segment(ring, state->index) : NULL;
		size_t step = 0;

		if (segment)
			step = (size_t)u64_min(bytes, segment->length - state->offset);
		state->offset += step;
		state->pos += step;
		bytes -= step;
		if (!bytes)
			break;
		if (segment) {
			state->next_index = segment->index + 1;
			state->session = segment->session;
			state->next_seq = segment->next_seq;
			state->messages_read = segment->next_messages;
		}
		if (enter_next(state, ring) < 0)
			return -ERANGE;
	}
	return 0;
}

/* ---- the end ---- */

void ring_state_free(struct ring_state *state)
{
	for (size_t i = 0; i < state->segment_count; i++)
		free(state->segments[i].marks);
	free(state->segments);
	*state = (struct ring_state){0};
}

void ring_state_close(struct ring_state *state)
{
	for (size_t i = 0; i < state->segment_count; i++) {
		fd_close(&state->segments[i].read_fd);
		fd_close(&state->segments[i].write_fd);
	}
}
