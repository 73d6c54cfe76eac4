// SPDX-License-Identifier: MIT
/*
 * Memory to be gifted to pipes (pipe_gift()).
 *
 * The kernel references gifted pages until the last subscriber's acknowledgement and never says
 * when that was.  Invariant: a byte that may have been gifted is never written again.  So memory is
 * handed out once, in rising order; a used-up mapping is unmapped (the kernel keeps the pages that
 * it still needs) and replaced by a new one.  What is not gifted after all is simply lost.
 *
 * An arena serves either small pieces (alloc) or receives (reserve, commit): an alloc between a
 * reserve and its commit would be handed the very bytes that were reserved.  Addresses are good
 * until the next call that may replace the mapping (alloc, reserve, fini): gift the bytes before.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

// Longest piece, and the boundary that no piece crosses.
#define GIFT_ARENA_PAGE_BYTES 4096u

struct gift_arena {
	uint8_t *mapping;       // NULL after fini
	size_t mapping_bytes;   // length of the present mapping
	size_t used_bytes;      // handed out of it; what lies behind has never been gifted
	size_t usual_bytes;     // length of a mapping unless a reserve needs more
	uint64_t mappings_made; // counter: 1 after init
};

/* Maps the first mapping_bytes (rounded up to GIFT_ARENA_PAGE_BYTES).  0, or -ENOMEM (or what else
 * mmap(2) said) with the arena as after fini. */
must_check int gift_arena_init(struct gift_arena *arena, size_t mapping_bytes);

// Unmaps.  Gifted bytes that are in pipes and sockets stay good.  Idempotent.
void gift_arena_fini(struct gift_arena *arena);

/* len bytes (at most GIFT_ARENA_PAGE_BYTES, asserted) within one page, unaligned, to be written and
 * gifted once.  NULL when no new mapping can be had; a later call may succeed. */
must_check void *gift_arena_alloc(struct gift_arena *arena, size_t len);

/* Room for the caller to write into; it commits what it gifts.  `tail` is what the caller has
 * received and cannot gift yet (tail_bytes 0: nothing).  Returns the address of the tail, with
 * *ret_room bytes behind it, at least min_room; it is a new mapping when less is left.  A tail at
 * the start of the uncommitted bytes stays where it is if there is room.  Any other is copied, and
 * may come from anywhere.  All other uncommitted bytes may be lost.  A later commit counts from the
 * returned address, the tail included.  NULL as alloc: the old bytes are then still in place, and
 * *ret_room is not set. */
must_check uint8_t *gift_arena_reserve(struct gift_arena *arena, const uint8_t *tail,
				       size_t tail_bytes, size_t min_room, size_t *ret_room);

// The first used_bytes of what was reserved are the kernel's now, never handed out again.
void gift_arena_commit(struct gift_arena *arena, size_t used_bytes);
