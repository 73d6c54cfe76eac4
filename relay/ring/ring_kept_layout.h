// SPDX-License-Identifier: MIT
/*
 * A ring's record as it lies in its memfd:
 *
 *   head | slots, one for each segment that is not given up | pages: blocks, and marks of segments
 *
 * The writer may end between any two instructions, but not out of their order: what ends a thread
 * ends it as a signal does.  So only the compiler has to be kept from changing the order of steps,
 * by ring_record_step().  For ring_kept.c and ring_resume.c only.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "continuity/kept_struct.h"
#include "continuity/kept_sum.h"
#include "ring/ring.h"

#define RING_RECORD_MAGIC "RLYRING"

enum {
	RING_RECORD_PAGE_BYTES = 4096,
};

/* Each differs from each in four bits: one that has become wrong is none of them. */
enum ring_record_kind {
	RING_RECORD_FREE = 0,      /* no segment, or one that is being given up  */
	RING_RECORD_HIDDEN = 0x0f, /* a segment whose bytes cannot be told       */
	RING_RECORD_BLOCK = 0x33,
	RING_RECORD_PIPE = 0x55,
};

struct ring_record_commit {
#define KEPT_DEF "ring/commit_record.def"
#include "continuity/kept_members.def"
	struct ring_media media;
};

/* A segment with an index that the commit does not cover is not there yet. */
struct ring_record_slot {
#define KEPT_DEF "ring/slot_record.def"
#include "continuity/kept_members.def"
	struct packet_mark begin;
};

struct ring_record_head {
	char magic[sizeof(RING_RECORD_MAGIC)];
	uint32_t schema;
	uint32_t slot_bytes, commit_bytes;
	uint32_t slot_count;
	uint64_t page_count;
	_Atomic uint32_t slots_used; /* no other slot has ever held a segment                   */
	/* A kept_stamp(), counts the commits; the last one is commits[version % 2]. */
	_Atomic uint64_t version;
	struct ring_record_commit commits[2];
};

extern const struct kept_table slot_record_table, commit_record_table;

/* Where things are in the memfd. */
struct ring_record_layout {
	size_t slots_offset, pages_offset, bytes;
};

static inline struct ring_record_layout ring_record_layout(uint32_t slot_count, size_t page_count)
{
	const size_t last = RING_RECORD_PAGE_BYTES - 1;
	size_t slots = (sizeof(struct ring_record_head) + last) & ~last;
	size_t pages = (slots + slot_count * sizeof(struct ring_record_slot) + last) & ~last;

	return (struct ring_record_layout){
		.slots_offset = slots,
		.pages_offset = pages,
		.bytes = pages + page_count * RING_RECORD_PAGE_BYTES,
	};
}

static inline uint64_t ring_record_commit_sum(const struct ring_record_commit *commit,
					      uint32_t version)
{
	const size_t summed = offsetof(struct ring_record_commit, first_index);

	return kept_sum(version, &commit->first_index, sizeof(*commit) - summed);
}

/* Of all that stays as it is while a segment has this kind.  How long its block is needs none: it
 * is checked against the length. */
static inline uint64_t ring_record_slot_sum(const struct ring_record_slot *slot,
					    enum ring_record_kind kind)
{
	uint64_t sum = kept_sum(kind, &slot->begin, sizeof(slot->begin));
	uint64_t flags = (uint64_t)slot->is_continuation << 1 | slot->is_continued;

	sum = kept_sum_add(sum, slot->index, slot->start_pos);
	sum = kept_sum_add(sum, (uint64_t)slot->tag << 32 | slot->session, flags);
	sum = kept_sum_add(sum, slot->block_offset, slot->pipe_slots);
	return kept_sum_add(sum, (uint32_t)slot->read_fd, (uint32_t)slot->write_fd);
}

/* Of what counts when the segment is not the newest any more. */
static inline uint64_t ring_record_growth_sum(const struct ring_record_slot *slot)
{
	uint64_t sum = kept_sum_add(slot->index, slot->length, slot->mark_count);

	sum = kept_sum_add(sum, slot->next_seq, slot->next_messages);
	return kept_sum_add(sum, slot->marks_sum, 0);
}

/* What stands before it in the program is written before what stands behind it. */
static inline void ring_record_step(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}
