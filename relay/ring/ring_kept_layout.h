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
#include "ring/ring.h"

#define RING_RECORD_MAGIC "RLYRING"

enum {
	RING_RECORD_PAGE_BYTES = 4096,
};

enum ring_record_kind {
	RING_RECORD_FREE,   /* no segment, or one that is being given up  */
	RING_RECORD_HIDDEN, /* a segment whose bytes cannot be told       */
	RING_RECORD_BLOCK,
	RING_RECORD_PIPE,
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
	_Atomic uint64_t version;    /* counts the commits; the last one is commits[version % 2] */
	struct ring_record_commit commits[2];
};

extern const struct kept_table slot_record_table, commit_record_table;

/* In ring_resume.c: from the tables, and the size of the head. */
uint32_t ring_record_schema(void);

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

/* What stands before it in the program is written before what stands behind it. */
static inline void ring_record_step(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}
