// SPDX-License-Identifier: MIT
/*
 * A ring's record in the process that writes it.  For ring_kept.c and ring_adopt.c only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "continuity/page_room.h"
#include "ring/ring_kept.h"
#include "ring/ring_kept_layout.h"

struct ring_record {
	int fd;
	uint8_t *map;
	struct ring_record_layout layout;
	struct ring_record_head *head;
	struct ring_record_slot *slots; /* numbers start at 1 */
	uint32_t slots_used;
	uint32_t first_free; /* slot given back last; 0: none */
	struct page_room room;
	uint32_t version;
	uint64_t added_until; /* segments from this index on have no slot yet */
};

/* That so many bytes take: at least one. */
static inline size_t ring_record_pages(size_t bytes)
{
	return bytes ? (bytes - 1) / RING_RECORD_PAGE_BYTES + 1 : 1;
}

/* The record lies in that memfd from now on, which must be as large as its layout says.  0 or
 * -errno of mmap(2), and it lies where it was. */
must_check int ring_record_map_memfd(struct ring_record *record, int fd);

/* The slot holds no segment any more. */
void ring_record_give_slot(struct ring_record *record, uint32_t number);
