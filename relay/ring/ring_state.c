// SPDX-License-Identifier: MIT
/* What a ring is made of, captured and read; making one of it again is ring_restore.c. */
#include "ring/ring_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/fd.h"

enum {
	SLOTS_MAX = 1 << 20,
	GROWING_BLOCK_BYTES = 64 * 1024, /* ring.c: what a block that may still grow has */
	LEAST_BYTES = 32,                /* that a mark or a segment takes in a stream, at least */
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

#define KEPT_TABLE segment_kept_table
#define KEPT_OF    struct segment_state
#define KEPT_DEF   "ring/segment_kept.def"
#include "continuity/kept_table.def"

#define KEPT_TABLE ring_kept_table
#define KEPT_OF    struct ring_state
#define KEPT_DEF   "ring/ring_kept.def"
#include "continuity/kept_table.def"

/* ---- capturing ---- */

static int compare_index(const void *a, const void *b)
{
	const struct segment *left = *(struct segment *const *)a;
	const struct segment *right = *(struct segment *const *)b;

	return (left->index > right->index) - (left->index < right->index);
}

/* The segments that only cursors hold, each once and in order; what goes on in another one goes on
 * with it. */
static size_t gather_held(const struct ring *ring, struct segment *const *held, size_t held_count,
			  struct segment **ret)
{
	uint64_t first = ring_first_index(ring);
	size_t count = 0, kept = 0;

	for (size_t i = 0; i < held_count; i++) {
		if (held[i]->index < first)
			ret[count++] = held[i];
	}
	qsort(ret, count, sizeof(struct segment *), compare_index);
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || ret[i] != ret[i - 1])
			ret[kept++] = ret[i];
	}
	return kept;
}

static int capture_segment(const struct segment *segment, bool is_retained,
			   struct segment_state *ret)
{
	size_t mark_bytes = segment->mark_count * sizeof(*segment->marks);

	*ret = (struct segment_state){
		.index = segment->index,
		.start_pos = segment->start_pos,
		.session = segment->session,
		.next_seq = segment->next_seq,
		.next_messages = segment->next_messages,
		.length = segment->length,
		.tag = segment->tag,
		.is_retained = is_retained,
		.is_sealed = segment->is_sealed,
		.is_continuation = segment->is_continuation,
		.is_continued = segment->continued_by != NULL,
		.begin = segment->begin,
		.mark_count = segment->mark_count,
		.read_fd = -1,
		.write_fd = -1,
	};
	if (segment->kind == SEGMENT_PIPE) {
		ret->read_fd = segment->pipe.read_fd;
		ret->write_fd = segment->pipe.write_fd;
		ret->slots = segment->pipe.slots;
	} else {
		ret->block = segment->block;
		ret->block_bytes = segment->block_bytes;
	}
	if (!mark_bytes)
		return 0;
	ret->marks = malloc(mark_bytes);
	if (!ret->marks)
		return -ENOMEM;
	memcpy(ret->marks, segment->marks, mark_bytes);
	return 0;
}

/* Segments in mid-packet hold the next one, which nobody may stand in yet. */
static size_t chain_length(struct segment *const *held, size_t held_count)
{
	size_t length = 0;

	for (size_t i = 0; i < held_count; i++) {
		for (const struct segment *at = held[i]; at; at = at->continued_by)
			length++;
	}
	return length;
}

static size_t list_chains(struct segment *const *held, size_t held_count, struct segment **ret)
{
	size_t count = 0;

	for (size_t i = 0; i < held_count; i++) {
		for (struct segment *at = held[i]; at; at = at->continued_by)
			ret[count++] = at;
	}
	return count;
}

static int capture_segments(const struct ring *ring, struct segment *const *gone, size_t gone_count,
			    struct ring_state *ret)
{
	size_t room = gone_count + ring->segment_count;
	int r = 0;

	ret->segments = room ? calloc(room, sizeof(*ret->segments)) : NULL;
	if (room && !ret->segments)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < gone_count; i++)
		r = capture_segment(gone[i], false, &ret->segments[ret->segment_count++]);
	for (uint64_t i = ring_first_index(ring); r == 0 && i < ring->next_index; i++)
		r = capture_segment(ring_find_segment(ring, i), true,
				    &ret->segments[ret->segment_count++]);
	return r;
}

int ring_capture(const struct ring *ring, struct segment *const *held, size_t held_count,
		 struct ring_state *ret)
{
	size_t room = chain_length(held, held_count);
	struct segment **chains = calloc(room + 1, sizeof(struct segment *));
	struct segment **gone = calloc(room + 1, sizeof(struct segment *));
	int r = -ENOMEM;

	*ret = (struct ring_state){
		.start_pos = ring->start_pos,
		.end_pos = ring->end_pos,
		.next_index = ring->next_index,
		.session = ring->session,
		.next_seq = ring->next_seq,
		.message_count = ring->message_count,
		.blocks_made = ring->blocks_made,
		.media = ring->media,
	};
	if (chains && gone) {
		(void)list_chains(held, held_count, chains);
		r = capture_segments(ring, gone, gather_held(ring, chains, room, gone), ret);
	}
	free(chains);
	free(gone);
	if (r < 0)
		ring_state_free(ret);
	return r;
}

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

/* ---- the stream ---- */

static void transfer_marks(struct state_stream *stream, struct segment_state *segment)
{
	void *marks = segment->marks;

	if (!state_array(stream, &marks, &segment->mark_count, sizeof(*segment->marks), LEAST_BYTES,
			 "marks")) {
		if (stream->is_reading)
			segment->marks = NULL;
		return;
	}
	segment->marks = marks;
	for (size_t i = 0; i < segment->mark_count; i++)
		kept_transfer(stream, &mark_kept_table, &segment->marks[i]);
}

/* What is wrong with a segment by itself; NULL: nothing. */
static const char *segment_fault(const struct segment_state *segment)
{
	size_t before = 0;

	if (segment->length > SEGMENT_BYTES_MAX)
		return "segment length";
	if (segment->tag > TAG_MAX)
		return "segment tag";
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

static void transfer_segment(struct state_stream *stream, struct segment_state *segment)
{
	const char *fault;

	kept_transfer(stream, &segment_kept_table, segment);
	kept_transfer(stream, &mark_kept_table, &segment->begin);
	transfer_marks(stream, segment);
	fault = stream->fault ? NULL : segment_fault(segment);
	if (fault)
		state_fail(stream, fault);
	if (segment->read_fd < 0)
		state_bytes(stream, &segment->block, segment->length, "block");
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

void ring_state_transfer(struct state_stream *stream, struct ring_state *state)
{
	void *segments = state->segments;
	const char *fault;

	kept_transfer(stream, &ring_kept_table, state);
	if (state_array(stream, &segments, &state->segment_count, sizeof(*state->segments),
			LEAST_BYTES, "segments")) {
		state->segments = segments;
		/* So that freeing half a state closes nothing that it does not have. */
		for (size_t i = 0; stream->is_reading && i < state->segment_count; i++)
			state->segments[i].read_fd = state->segments[i].write_fd = -1;
		for (size_t i = 0; i < state->segment_count; i++)
			transfer_segment(stream, &state->segments[i]);
	} else if (stream->is_reading) {
		state->segments = NULL;
	}
	fault = stream->fault ? NULL : order_fault(state);
	if (fault)
		state_fail(stream, fault);
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

void cursor_state_transfer(struct state_stream *stream, struct cursor_state *state,
			   const struct ring_state *ring)
{
	const char *fault;

	kept_transfer(stream, &cursor_kept_table, state);
	fault = stream->fault ? NULL : cursor_state_fault(state, ring);
	if (fault)
		state_fail(stream, fault);
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
