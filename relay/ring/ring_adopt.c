// SPDX-License-Identifier: MIT
/*
 * The record of the process before, gone on with: blocks and their marks stay where they are, so
 * that a large ring costs a hand-over neither time nor memory.  Pipes get slots anew, since their
 * descriptors have other numbers.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "ring/ring_kept_parts.h"
#include "ring/ring_state.h"

static size_t page_of(const struct ring_record *record, uint64_t offset)
{
	return (offset - record->layout.pages_offset) / RING_RECORD_PAGE_BYTES;
}

static size_t mark_pages(const struct segment_state *segment)
{
	return ring_record_pages(segment->mark_count * sizeof(*segment->marks));
}

/* False: two want the same. */
static bool take_pages(struct ring_record *record, const struct segment_state *segment,
		       uint64_t offset)
{
	return page_room_take_at(&record->room, page_of(record, offset),
				 ring_record_pages(segment->block_bytes)) &&
	       (!segment->marks_offset ||
		page_room_take_at(&record->room, page_of(record, segment->marks_offset),
				  mark_pages(segment)));
}

static bool has_same_room(const struct ring_record *record, const struct ring_record_map *map)
{
	const struct ring_record_head *head = (const void *)map->start;

	return map->start && map->bytes == record->layout.bytes &&
	       head->slot_count == record->head->slot_count &&
	       head->page_count == record->head->page_count;
}

/* The memfd in place of its own, by the same number, which others have written down. */
static bool take_memfd(struct ring_record *record, const struct ring_record_map *map)
{
	int own = fcntl(record->fd, F_DUPFD_CLOEXEC, 0);
	bool is_taken = own >= 0 && dup3(map->fd, record->fd, O_CLOEXEC) >= 0;

	if (is_taken && ring_record_map_memfd(record, map->fd) < 0) {
		(void)dup3(own, record->fd, O_CLOEXEC);
		is_taken = false;
	}
	if (own >= 0)
		(void)close(own);
	return is_taken;
}

/* is_kept: by number. */
static void go_on(struct ring_record *record, const bool *is_kept)
{
	record->version = kept_stamp_version(
		atomic_load_explicit(&record->head->version, memory_order_relaxed));
	record->slots_used = atomic_load_explicit(&record->head->slots_used, memory_order_relaxed);
	for (uint32_t number = record->slots_used; number > 0; number--) {
		if (!is_kept[number])
			ring_record_give_slot(record, number);
	}
}

void ring_record_adopt(struct ring_record *record, struct ring_state *state,
		       const struct ring_record_map *map)
{
	bool *is_kept, can_adopt;

	if (!record || record->slots_used || !has_same_room(record, map))
		return;
	is_kept = calloc((size_t)record->head->slot_count + 1, sizeof(*is_kept));
	can_adopt = is_kept != NULL;
	for (size_t i = 0; can_adopt && i < state->segment_count; i++) {
		const struct segment_state *segment = &state->segments[i];

		if (segment->block)
			can_adopt = take_pages(record, segment,
					       (uint64_t)(segment->block - map->start));
		if (segment->block)
			is_kept[segment->slot] = true;
	}
	if (can_adopt && take_memfd(record, map)) {
		go_on(record, is_kept);
		state->is_adopted = true;
	} else {
		page_room_give(&record->room, 0, record->room.page_count);
	}
	free(is_kept);
}

struct segment *ring_record_make_block(struct ring_record *record, struct segment_state *state)
{
	const struct ring_record_slot *slot = &record->slots[state->slot - 1];
	struct segment *segment = segment_new_block(record->map + slot->block_offset,
						    state->block_bytes, state->length);

	if (!segment)
		return NULL;
	segment->record = record;
	segment->slot = state->slot;
	if (!state->marks_offset)
		return segment;
	free(state->marks);
	state->marks = NULL;
	segment->marks = (struct packet_mark *)(record->map + state->marks_offset);
	segment->mark_count = state->mark_count;
	segment->mark_room = mark_pages(state) * RING_RECORD_PAGE_BYTES / sizeof(*segment->marks);
	return segment;
}

void ring_record_give_block(struct ring_record *record, const struct segment_state *state)
{
	const struct ring_record_slot *slot = &record->slots[state->slot - 1];

	page_room_give(&record->room, page_of(record, slot->block_offset),
		       ring_record_pages(state->block_bytes));
	if (state->marks_offset)
		page_room_give(&record->room, page_of(record, state->marks_offset),
			       mark_pages(state));
	ring_record_give_slot(record, state->slot);
}
