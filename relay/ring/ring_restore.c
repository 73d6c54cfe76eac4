// SPDX-License-Identifier: MIT
/*
 * A ring made again of its state.  A pipe is believed only as far as the kernel confirms it: its
 * bytes and its slots are asked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ring/ring_kept.h"
#include "ring/ring_state.h"

/* Does the descriptor pair hold what the state says? */
static bool is_as_said(const struct segment_state *state)
{
	long page = sysconf(_SC_PAGESIZE);
	int held = 0;

	return ioctl(state->read_fd, FIONREAD, &held) == 0 && held >= 0 &&
	       (size_t)held == state->length &&
	       fcntl(state->write_fd, F_GETPIPE_SZ) == (long)state->slots * page;
}

static struct segment *make_pipe(struct segment_state *state, struct pipe_pool *pool)
{
	struct pipe pipe = {
		.read_fd = state->read_fd,
		.write_fd = state->write_fd,
		.held_bytes = state->length,
		.slots = state->slots,
	};
	struct segment *segment = segment_new_pipe(&pipe, pool);

	if (!segment)
		return NULL;
	pipe_pool_adopt(pool, 1);
	state->read_fd = state->write_fd = -1;
	return segment;
}

/* Around `block`, which is the record's or malloc'ed; NULL and nothing left of it on failure. */
static struct segment *take_block(struct ring_record *record, uint8_t *block, size_t block_bytes,
				  size_t length)
{
	struct segment *segment = block ? segment_new_block(block, block_bytes, length) : NULL;

	if (segment)
		segment->record = record;
	else if (block)
		ring_record_give(record, block, block_bytes);
	return segment;
}

static struct segment *make_block(const struct segment_state *state, struct ring_record *record)
{
	uint8_t *block = ring_record_take(record, state->block_bytes);

	if (block && state->length)
		memcpy(block, state->block, state->length);
	return take_block(record, block, state->block_bytes, state->length);
}

/* Of a pipe that the pool cannot use. */
static struct segment *read_block(const struct segment_state *state, struct ring_record *record)
{
	uint8_t *block = ring_record_take(record, state->length);
	size_t filled = 0;

	while (block && filled < state->length) {
		ssize_t got = TEMP_FAILURE_RETRY(
			read(state->read_fd, block + filled, state->length - filled));

		if (got <= 0)
			break;
		filled += (size_t)got;
	}
	if (block && filled < state->length) {
		ring_record_give(record, block, state->length);
		block = NULL;
	}
	return take_block(record, block, state->length, state->length);
}

static int restore_segment(struct segment_state *state, struct pipe_pool *pool, unsigned slots,
			   struct ring_record *record, bool is_adopted, struct segment **ret)
{
	struct segment *segment;

	if (state->read_fd >= 0 && !is_as_said(state))
		return -EIO;
	if (state->read_fd < 0 && is_adopted)
		segment = ring_record_make_block(record, state);
	else if (state->read_fd < 0)
		segment = make_block(state, record);
	else if (state->slots == slots)
		segment = make_pipe(state, pool);
	else
		segment = read_block(state, record);
	if (!segment)
		return -ENOMEM;
	segment->index = state->index;
	segment->start_pos = state->start_pos;
	segment->session = state->session;
	segment->is_sealed = state->is_sealed;
	segment->is_continuation = state->is_continuation;
	segment->tag = state->tag;
	segment->begin = state->begin;
	segment->next_seq = state->next_seq;
	segment->next_messages = state->next_messages;
	if (!segment->marks) {
		segment->marks = state->marks;
		segment->mark_count = segment->mark_room = state->mark_count;
	}
	for (size_t i = 0; i < segment->mark_count; i++)
		segment->marks_sum = segment_sum_mark(segment->marks_sum, &segment->marks[i]);
	state->marks = NULL;
	state->mark_count = 0;
	*ret = segment;
	return 0;
}

/* Where the sequence last began anew: what lies before is of another session, or behind it in
 * number. */
static void find_sequence(struct ring *ring, const struct ring_state *state)
{
	uint64_t index = ring->next_index;

	ring->sequence_first = ring->next_seq;
	ring->sequence_messages = state->message_count;
	while (index > ring_first_index(ring)) {
		const struct segment *segment = ring_find_segment(ring, index - 1);

		if (segment->session != ring->session || segment->next_seq > ring->sequence_first)
			break;
		if (segment->mark_count) {
			ring->sequence_first = segment->marks[0].first_seq;
			ring->sequence_messages = segment->marks[0].messages_before;
		}
		index--;
	}
	ring->sequence_index = index;
}

static int retain(struct ring *ring, const struct ring_state *state, struct segment **segments)
{
	for (size_t i = 0; i < state->segment_count; i++) {
		if (!state->segments[i].is_retained)
			continue;
		if (ring_retain(ring, segments[i]) < 0)
			return -ENOMEM;
		segment_ref(segments[i]);
	}
	ring->next_index = state->next_index;
	find_sequence(ring, state);
	return 0;
}

static void record_restored(struct ring *ring, struct segment **segments, size_t count)
{
	if (!ring->record)
		return;
	ring_record_resume(ring->record, ring, segments, count);
	for (uint64_t i = ring_first_index(ring); i < ring->next_index; i++)
		ring_reckon(ring, ring_find_segment(ring, i));
}

int ring_restore(struct ring *ring, struct ring_state *state, struct pipe_pool *pool,
		 unsigned slots, struct ring_restored *ret)
{
	size_t count = state->segment_count;
	int r = 0;

	ring_clear(ring);
	*ret = (struct ring_restored){.segments = calloc(count + 1, sizeof(struct segment *))};
	if (!ret->segments)
		return -ENOMEM;
	while (r == 0 && ret->count < count) {
		r = restore_segment(&state->segments[ret->count], pool, slots, ring->record,
				    state->is_adopted, &ret->segments[ret->count]);
		ret->count += r == 0;
	}
	for (size_t i = ret->count; state->is_adopted && i < count; i++) {
		if (state->segments[i].block)
			ring_record_give_block(ring->record, &state->segments[i]);
	}
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (state->segments[i].is_continued) {
			ret->segments[i]->continued_by = ret->segments[i + 1];
			segment_ref(ret->segments[i + 1]);
		}
	}
	ring->session = state->session;
	ring->next_seq = state->next_seq;
	if (r == 0)
		r = retain(ring, state, ret->segments);
	if (r < 0)
		ring_clear(ring);
	ring->next_index = state->next_index;
	ring->start_pos = r == 0 ? state->start_pos : state->end_pos;
	ring->end_pos = state->end_pos;
	ring->message_count = state->message_count;
	ring->blocks_made = state->blocks_made;
	ring->media = state->media;
	record_restored(ring, ret->segments, r == 0 ? count : 0);
	if (r < 0)
		ring_restored_drop(ret);
	return r;
}

void ring_restored_drop(struct ring_restored *restored)
{
	for (size_t i = 0; i < restored->count; i++)
		segment_unref(&restored->segments[i]);
	free(restored->segments);
	*restored = (struct ring_restored){0};
}

static int compare_index(const void *key, const void *element)
{
	uint64_t index = *(const uint64_t *)key;
	const struct segment *segment = *(struct segment *const *)element;

	return (index > segment->index) - (index < segment->index);
}

void cursor_restore(struct cursor *cursor, const struct cursor_state *state,
		    const struct ring_restored *restored)
{
	struct segment **found =
		state->is_inside ? bsearch(&state->index, restored->segments, restored->count,
					   sizeof(struct segment *), compare_index)
				 : NULL;

	*cursor = (struct cursor){
		.segment = found ? *found : NULL,
		.offset = found ? state->offset : 0,
		.next_index = state->next_index,
		.pos = state->pos,
		.session = state->session,
		.next_seq = state->next_seq,
		.messages_read = state->messages_read,
	};
	if (cursor->segment)
		segment_ref(cursor->segment);
}
