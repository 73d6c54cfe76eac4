// SPDX-License-Identifier: MIT
/*
 * Memory to be gifted to pipes (pipe_gift()).
 *
 * The kernel references gifted pages until the last subscriber's acknowledgement and never says
 * when that was.  Invariant: a byte that may have been gifted is never written again.  So memory is
 * handed out once, in rising order; a used-up mapping is unmapped (the kernel keeps the pages that
 * it still needs) and replaced by a new one.  What is not gifted after all is simply lost.
 *
 * Addresses are good until the next call that may replace the mapping (alloc, fini): gift the bytes
 * before.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

// Longest piece, and the boundary that no piece crosses.
#define GIFT_ARENA_PAGE_BYTES 4096u

struct gift_arena {
	uint8_t *mapping;       // NULL after fini
	size_t mapping_bytes;   // length of each mapping
	size_t used_bytes;      // handed out of it; what lies behind has never been gifted
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
