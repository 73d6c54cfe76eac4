// SPDX-License-Identifier: MIT
/*
 * Writing a ring's record.
 *
 * The order of writing is what this file is about: a slot is complete before its kind says so, the
 * kind is taken back before a pipe or memory serves something else, and the ring's own values lie
 * in two places by turns, of which a version names the valid one.  What does not fit is hidden, and
 * the data path goes on with memory of its own.
 */
#include "ring/ring_kept.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "continuity/page_room.h"
#include "continuity/sealed_memory.h"
#include "continuity/state_stream.h"
#include "ring/ring_kept_parts.h"

enum {
	/* Address space, not memory: blocks are seldom full, and some are held by cursors. */
	ROOM_FOR_RINGS = 8,
	ROOM_FOR_PACKETS = 3,
	ROOM_MORE_BYTES = 16 << 20,
	BYTES_A_SLOT = 256, /* short packets in pipes of their own */
	SLOTS_MIN = 4096,
	SLOTS_MAX = 1 << 20,
	MALLOC_BYTES = 16, /* that malloc(3) needs for itself, at most, but for rounding */
};

/* ---- the memory ---- */

int ring_record_map_memfd(struct ring_record *record, int fd)
{
	size_t bytes = record->layout.bytes;
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	/* A core dump would fill the holes; a child has no business here. */
	(void)madvise(map, bytes, MADV_DONTDUMP);
	(void)madvise(map, bytes, MADV_DONTFORK);
	if (record->map)
		(void)munmap(record->map, bytes);
	record->map = map;
	record->slots = (struct ring_record_slot *)(record->map + record->layout.slots_offset);
	record->head = (struct ring_record_head *)record->map;
	return 0;
}

int ring_record_new(const struct ring_params *params, size_t max_packet_bytes,
		    struct ring_record **ret)
{
	size_t slots = size_min(size_max(params->max_bytes / BYTES_A_SLOT, SLOTS_MIN), SLOTS_MAX);
	struct ring_record *record;
	size_t room;
	int r;

	*ret = NULL;
	if (params->max_bytes > SIZE_MAX / 4 / ROOM_FOR_RINGS ||
	    max_packet_bytes > SIZE_MAX / 4 / ROOM_FOR_PACKETS)
		return -ENOMEM;
	room = ROOM_FOR_RINGS * params->max_bytes + ROOM_FOR_PACKETS * max_packet_bytes +
	       ROOM_MORE_BYTES;
	record = calloc(1, sizeof(*record));
	if (!record)
		return -ENOMEM;
	record->fd = -1;
	record->layout = ring_record_layout((uint32_t)slots, ring_record_pages(room));
	r = sealed_memory_new("relay-ring", record->layout.bytes, &record->fd);
	if (r == 0)
		r = ring_record_map_memfd(record, record->fd);
	if (r == 0)
		r = page_room_init(&record->room, ring_record_pages(room));
	if (r < 0) {
		ring_record_free(&record);
		return r;
	}
	*record->head = (struct ring_record_head){
		.magic = RING_RECORD_MAGIC,
		.schema = ring_record_schema(),
		.slot_bytes = sizeof(struct ring_record_slot),
		.commit_bytes = sizeof(struct ring_record_commit),
		.slot_count = (uint32_t)slots,
		.page_count = ring_record_pages(room),
		.commits[0].newest_index = UINT64_MAX,
	};
	*ret = record;
	return 0;
}

void ring_record_free(struct ring_record **record_ptr)
{
	struct ring_record *record = *record_ptr;

	*record_ptr = NULL;
	if (!record)
		return;
	if (record->map)
		(void)munmap(record->map, record->layout.bytes);
	fd_close(&record->fd);
	page_room_fini(&record->room);
	free(record);
}

int ring_record_fd(const struct ring_record *record)
{
	return record->fd;
}

/* Of memory in the record; 0: it is not there. */
static uint64_t offset_of(const struct ring_record *record, const void *memory)
{
	uintptr_t start = (uintptr_t)record->map, at = (uintptr_t)memory;

	return at >= start + record->layout.pages_offset && at < start + record->layout.bytes
		       ? at - start
		       : 0;
}

void *ring_record_take(struct ring_record *record, size_t bytes)
{
	size_t page =
		record ? page_room_take(&record->room, ring_record_pages(bytes)) : PAGE_ROOM_NONE;

	if (page == PAGE_ROOM_NONE)
		return malloc(size_max(bytes, 1));
	return record->map + record->layout.pages_offset + page * RING_RECORD_PAGE_BYTES;
}

void ring_record_give(struct ring_record *record, void *memory, size_t bytes)
{
	uint64_t offset = record ? offset_of(record, memory) : 0;

	if (!offset)
		free(memory);
	else
		page_room_give(&record->room,
			       (offset - record->layout.pages_offset) / RING_RECORD_PAGE_BYTES,
			       ring_record_pages(bytes));
}

size_t ring_record_cut(struct ring_record *record, void **memory, size_t bytes, size_t to_bytes)
{
	uint64_t offset = record ? offset_of(record, *memory) : 0;
	size_t kept = ring_record_pages(to_bytes);
	void *cut;

	if (offset && kept < ring_record_pages(bytes))
		page_room_give(&record->room,
			       (offset - record->layout.pages_offset) / RING_RECORD_PAGE_BYTES +
				       kept,
			       ring_record_pages(bytes) - kept);
	if (offset)
		return to_bytes;
	/* A hole of nearly a block's size would be of no use to the next block. */
	if (bytes - to_bytes < RING_RECORD_PAGE_BYTES)
		return bytes;
	cut = realloc(*memory, size_max(to_bytes, 1));
	if (!cut)
		return bytes;
	*memory = cut;
	return to_bytes;
}

size_t ring_record_cost(const struct ring_record *record, const void *memory, size_t bytes)
{
	if (!memory)
		return 0;
	return record && offset_of(record, memory)
		       ? ring_record_pages(bytes) * RING_RECORD_PAGE_BYTES
		       : bytes + MALLOC_BYTES;
}

size_t ring_record_slot_bytes(const struct segment *segment)
{
	return segment->slot ? sizeof(struct ring_record_slot) : 0;
}

/* ---- slots ---- */

/* A block or a pipe that its slot shows. */
static bool is_shown(const struct ring_record_slot *slot)
{
	uint32_t kind = atomic_load_explicit(&slot->kind, memory_order_relaxed);

	return kind == RING_RECORD_BLOCK || kind == RING_RECORD_PIPE;
}

static struct ring_record_slot *slot_of(const struct segment *segment)
{
	return &segment->record->slots[segment->slot - 1];
}

static void set_kind(struct ring_record_slot *slot, enum ring_record_kind kind)
{
	if (kind == RING_RECORD_BLOCK || kind == RING_RECORD_PIPE)
		slot->sum = ring_record_slot_sum(slot, kind);
	ring_record_step();
	atomic_store_explicit(&slot->kind, kind, memory_order_relaxed);
	ring_record_step();
}

static struct ring_record_commit *last_commit(const struct ring_record *record)
{
	return &record->head->commits[record->version % 2];
}

/* To be written, and then to be finished: from then on it holds. */
static struct ring_record_commit *next_commit(const struct ring_record *record)
{
	return &record->head->commits[(record->version + 1) % 2];
}

static void finish_commit(struct ring_record *record, struct ring_record_commit *commit)
{
	commit->sum = ring_record_commit_sum(commit, ++record->version);
	ring_record_step();
	atomic_store_explicit(&record->head->version, kept_stamp(record->version),
			      memory_order_relaxed);
	ring_record_step();
}

/* 0: there is none. */
static uint32_t take_slot(struct ring_record *record)
{
	uint32_t number = record->first_free;

	if (number) {
		record->first_free = record->slots[number - 1].next_free;
		return number;
	}
	if (record->slots_used == record->head->slot_count)
		return 0;
	atomic_store_explicit(&record->head->slots_used, ++record->slots_used,
			      memory_order_relaxed);
	ring_record_step();
	return record->slots_used;
}

/* Values that a growing segment changes; until it is not the newest any more the commit has them.
 */
static void write_growth(const struct segment *segment)
{
	struct ring_record_slot *slot = slot_of(segment);

	slot->length = segment->length;
	slot->mark_count = segment->mark_count;
	slot->next_seq = segment->next_seq;
	slot->next_messages = segment->next_messages;
	slot->marks_sum = segment->marks_sum;
	slot->growth_sum = ring_record_growth_sum(slot);
}

static enum ring_record_kind write_backing(const struct segment *segment)
{
	struct ring_record_slot *slot = slot_of(segment);

	if (segment->kind == SEGMENT_PIPE) {
		slot->read_fd = segment->pipe.read_fd;
		slot->write_fd = segment->pipe.write_fd;
		slot->pipe_slots = segment->pipe.slots;
		return RING_RECORD_PIPE;
	}
	slot->block_offset = offset_of(segment->record, segment->block);
	slot->block_bytes = segment->block_bytes;
	return slot->block_offset ? RING_RECORD_BLOCK : RING_RECORD_HIDDEN;
}

/* Marks that `begin` does not stand for go to the record's memory.  False: there is no room. */
static bool place_marks(struct segment *segment)
{
	size_t bytes = segment->mark_count * sizeof(*segment->marks);
	void *marks;

	if (segment->mark_count <= (segment->is_continuation ? 0 : 1))
		return true;
	marks = ring_record_take(segment->record, bytes);
	if (!marks)
		return false;
	memcpy(marks, segment->marks, bytes);
	free(segment->marks);
	segment->marks = marks;
	segment->mark_room = segment->mark_count;
	return offset_of(segment->record, marks);
}

/* Of an earlier life of the ring; that segment's slot says the same. */
static void forget_newest(struct ring_record *record)
{
	struct ring_record_commit *commit = next_commit(record);

	*commit = *last_commit(record);
	commit->newest_index = UINT64_MAX;
	finish_commit(record, commit);
}

/* A segment that is new, or that comes back from a state and has no slot. */
static void add(struct ring_record *record, struct segment *segment)
{
	enum ring_record_kind kind;
	struct ring_record_slot *slot;

	record->added_until = segment->index + 1;
	if (last_commit(record)->newest_index == segment->index)
		forget_newest(record);
	segment->slot = take_slot(record);
	if (!segment->slot)
		return;
	segment->record = record;
	slot = slot_of(segment);
	slot->index = segment->index;
	slot->start_pos = segment->start_pos;
	slot->tag = segment->tag;
	slot->session = segment->session;
	slot->is_continuation = segment->is_continuation;
	slot->is_continued = segment->continued_by != NULL;
	slot->begin = segment->begin;
	write_growth(segment);
	kind = write_backing(segment);
	if (!place_marks(segment))
		kind = RING_RECORD_HIDDEN;
	atomic_store_explicit(&slot->marks_offset, offset_of(record, segment->marks),
			      memory_order_relaxed);
	set_kind(slot, kind);
}

void ring_record_give_slot(struct ring_record *record, uint32_t number)
{
	struct ring_record_slot *slot = &record->slots[number - 1];

	set_kind(slot, RING_RECORD_FREE);
	slot->next_free = record->first_free;
	record->first_free = number;
}

void ring_record_forget(struct segment *segment)
{
	ring_record_give_slot(segment->record, segment->slot);
	segment->slot = 0;
}

void ring_record_hide(struct segment *segment)
{
	set_kind(slot_of(segment), RING_RECORD_HIDDEN);
}

void ring_record_show_block(struct segment *segment)
{
	set_kind(slot_of(segment), write_backing(segment));
}

void ring_record_cut_block(const struct segment *segment)
{
	slot_of(segment)->block_bytes = segment->length;
	ring_record_step();
}

int ring_record_grow_marks(struct segment *segment)
{
	size_t old_bytes = segment->mark_room * sizeof(*segment->marks);
	size_t bytes = size_max(2 * old_bytes, RING_RECORD_PAGE_BYTES);
	struct packet_mark *old = segment->marks;
	struct packet_mark *marks = ring_record_take(segment->record, bytes);
	struct ring_record_slot *slot = slot_of(segment);
	uint64_t offset;

	if (!marks)
		return -ENOMEM;
	if (segment->mark_count)
		memcpy(marks, old, segment->mark_count * sizeof(*marks));
	offset = offset_of(segment->record, marks);
	if (!offset)
		set_kind(slot, RING_RECORD_HIDDEN);
	ring_record_step();
	atomic_store_explicit(&slot->marks_offset, offset, memory_order_relaxed);
	ring_record_step();
	segment->marks = marks;
	segment->mark_room = bytes / sizeof(*marks);
	ring_record_give(segment->record, old, old_bytes);
	return 0;
}

/* ---- the ring ---- */

/* Gives slots to all segments that are new since the last commit. */
static void add_new(struct ring_record *record, struct ring *ring)
{
	uint64_t first = u64_max(record->added_until, ring_first_index(ring));
	const struct segment *before = first ? ring_find_segment(ring, first - 1) : NULL;

	/* It does not grow any more. */
	if (before && before->slot)
		write_growth(before);
	for (uint64_t index = first; index < ring->next_index; index++)
		add(record, ring_find_segment(ring, index));
}

static void write_newest(struct ring_record_commit *commit, const struct segment *newest)
{
	commit->newest_index = newest->index;
	commit->newest_length = newest->length;
	commit->newest_mark_count = newest->mark_count;
	commit->newest_marks_sum = newest->marks_sum;
	commit->newest_next_seq = newest->next_seq;
	commit->newest_next_messages = newest->next_messages;
	commit->newest_is_sealed = newest->is_sealed;
}

void ring_record_commit(struct ring_record *record, struct ring *ring, uint64_t first_index)
{
	const struct segment *newest = ring_newest(ring);
	struct ring_record_commit *commit;

	if (record->added_until != ring->next_index)
		add_new(record, ring);
	record->added_until = ring->next_index;
	/* Written where it lies: this is done for each packet. */
	commit = next_commit(record);
	if (newest)
		write_newest(commit, newest);
	else
		*commit = *last_commit(record);
	/* A cursor may hold it longer than the ring, which then knows it no more. */
	if (newest && first_index > newest->index && newest->slot)
		write_growth(newest);
	commit->first_index = first_index;
	commit->next_index = ring->next_index;
	commit->end_pos = ring->end_pos;
	commit->session = ring->session;
	commit->next_seq = ring->next_seq;
	commit->message_count = ring->message_count;
	commit->blocks_made = ring->blocks_made;
	commit->media = ring->media;
	finish_commit(record, commit);
}

void ring_record_resume(struct ring_record *record, struct ring *ring,
			struct segment *const *segments, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (segments[i]->slot)
			write_growth(segments[i]);
		else
			add(record, segments[i]);
	}
	record->added_until = ring->next_index;
	ring_record_commit(record, ring, ring_first_index(ring));
}

bool ring_record_has(const struct segment *segment)
{
	for (const struct segment *at = segment; at; at = at->continued_by) {
		if (!at->slot || !is_shown(slot_of(at)))
			return false;
	}
	return true;
}

bool ring_record_is_empty(const struct ring_record *record)
{
	for (uint32_t i = 0; i < record->slots_used; i++) {
		if (record->slots[i].kind != RING_RECORD_FREE)
			return false;
	}
	return page_room_is_empty(&record->room);
}

bool ring_record_is_whole(const struct ring *ring)
{
	for (uint64_t i = ring_first_index(ring); i < ring->next_index; i++) {
		const struct segment *segment = ring_find_segment(ring, i);

		if (!segment->slot || !is_shown(slot_of(segment)))
			return false;
	}
	return true;
}

void ring_record_add_fds(const struct ring_record *record, struct state_stream *stream)
{
	state_add_fd(stream, record->fd);
	for (uint32_t i = 0; i < record->slots_used; i++) {
		const struct ring_record_slot *slot = &record->slots[i];

		if (atomic_load_explicit(&slot->kind, memory_order_relaxed) != RING_RECORD_PIPE)
			continue;
		state_add_fd(stream, slot->read_fd);
		state_add_fd(stream, slot->write_fd);
	}
}

void ring_set_record(struct ring *ring, struct ring_record *record)
{
	assert(ring->segment_count == 0);
	ring->record = record;
	if (record)
		ring_record_commit(record, ring, ring->next_index);
}
