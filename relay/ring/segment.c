// SPDX-License-Identifier: MIT
/*
 * Segments: their two kinds of backing, their references and the marks of the packets in them.
 * Which segments are retained is the ring's affair.
 */
#include "ring/segment.h"

#include <errno.h>
#include <stdlib.h>

#include "pipe/pipe_io.h"
#include "ring/ring_kept.h"

enum {
	/* Of the kernel's, for one pipe: inode, two files, and a struct for each slot. */
	PIPE_BYTES = 3072,
	PIPE_SLOT_BYTES = 40,
	/* The segment itself, as malloc(3) takes it, and its place in the ring. */
	SEGMENT_BYTES = sizeof(struct segment) + 16 + 2 * sizeof(struct segment *),
};

static struct segment *new_segment(enum segment_kind kind, size_t length)
{
	struct segment *segment = calloc(1, sizeof(*segment));

	if (!segment)
		return NULL;
	segment->refs = 1;
	segment->kind = kind;
	segment->length = length;
	segment->pipe = PIPE_NONE;
	return segment;
}

struct segment *segment_new_pipe(struct pipe *pipe, struct pipe_pool *pool)
{
	struct segment *segment = new_segment(SEGMENT_PIPE, pipe->held_bytes);

	if (!segment)
		return NULL;
	segment->is_sealed = true;
	segment->pipe = *pipe;
	segment->pool = pool;
	*pipe = PIPE_NONE;
	return segment;
}

struct segment *segment_new_block(uint8_t *block, size_t block_bytes, size_t length)
{
	struct segment *segment = new_segment(SEGMENT_BLOCK, length);

	if (!segment)
		return NULL;
	segment->block = block;
	segment->block_bytes = block_bytes;
	return segment;
}

void segment_ref(struct segment *segment)
{
	segment->refs++;
}

/* Empties the pipe first: only an empty pipe may be pooled (promise 6). */
static void give_pipe_back(struct segment *segment)
{
	if (!pipe_is_open(&segment->pipe))
		return;
	pipe_pool_put_drained(segment->pool, &segment->pipe);
}

void segment_unref(struct segment **segment_ptr)
{
	struct segment *segment = *segment_ptr;

	*segment_ptr = NULL;
	/* A loop, not recursion: a long message is a long chain. */
	while (segment && --segment->refs == 0) {
		struct segment *rest = segment->continued_by;

		/* Before anything else is in its pipe or its memory. */
		if (segment->slot)
			ring_record_forget(segment);
		give_pipe_back(segment);
		ring_record_give(segment->record, segment->block, segment->block_bytes);
		ring_record_give(segment->record, segment->marks,
				 segment->mark_room * sizeof(*segment->marks));
		free(segment);
		segment = rest;
	}
}

void segment_seal(struct segment *segment)
{
	void *marks = segment->marks, *block = segment->block;

	if (segment->is_sealed)
		return;
	segment->is_sealed = true;
	if (segment->slot)
		ring_record_cut_block(segment);
	segment->block_bytes =
		ring_record_cut(segment->record, &block, segment->block_bytes, segment->length);
	segment->block = block;
	segment->mark_room = ring_record_cut(segment->record, &marks,
					     segment->mark_room * sizeof(*segment->marks),
					     segment->mark_count * sizeof(*segment->marks)) /
			     sizeof(*segment->marks);
	segment->marks = marks;
}

int segment_grow_block(struct segment *segment, size_t bytes)
{
	uint8_t *block = segment->record ? NULL : realloc(segment->block, bytes);

	if (!block)
		return -ENOMEM;
	segment->block = block;
	segment->block_bytes = bytes;
	return 0;
}

size_t segment_cost(const struct segment *segment)
{
	size_t cost = SEGMENT_BYTES + ring_record_slot_bytes(segment) +
		      ring_record_cost(segment->record, segment->marks,
				       segment->mark_room * sizeof(*segment->marks));

	if (segment->kind == SEGMENT_BLOCK)
		return cost +
		       ring_record_cost(segment->record, segment->block, segment->block_bytes);
	return cost + segment->length + PIPE_BYTES + PIPE_SLOT_BYTES * segment->pipe.slots;
}

static int grow_marks(struct segment *segment)
{
	size_t room = segment->mark_room ? segment->mark_room * 2 : 1;
	struct packet_mark *marks;

	if (segment->slot)
		return ring_record_grow_marks(segment);
	marks = realloc(segment->marks, room * sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	segment->marks = marks;
	segment->mark_room = room;
	return 0;
}

int segment_add_mark(struct segment *segment, const struct packet_mark *mark)
{
	if (segment->mark_count == segment->mark_room && grow_marks(segment) < 0)
		return -ENOMEM;
	segment->marks[segment->mark_count++] = *mark;
	segment->marks_sum = segment_sum_mark(segment->marks_sum, mark);
	return 0;
}

const struct packet_mark *segment_mark_from(const struct segment *segment, size_t offset)
{
	size_t low = 0, high = segment->mark_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (segment->marks[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < segment->mark_count ? &segment->marks[low] : NULL;
}

size_t segment_packet_rest(const struct segment *segment, size_t offset)
{
	const struct packet_mark *next = segment_mark_from(segment, offset);

	return (next ? next->offset : segment->length) - offset;
}

int segment_make_block(struct segment *segment)
{
	uint8_t *block;

	if (segment->kind == SEGMENT_BLOCK)
		return 0;
	block = ring_record_take(segment->record, segment->length);
	if (!block)
		return -ENOMEM;
	if (segment->slot)
		ring_record_hide(segment);
	if (!pipe_read_whole(&segment->pipe, block, segment->length)) {
		ring_record_give(segment->record, block, segment->length);
		return -EIO;
	}
	segment->kind = SEGMENT_BLOCK;
	segment->block = block;
	segment->block_bytes = segment->length;
	if (segment->slot)
		ring_record_show_block(segment);
	give_pipe_back(segment);
	return 0;
}
