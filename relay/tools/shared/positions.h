// SPDX-License-Identifier: MIT
/* The position-coded stream: each aligned block of 16 bytes is the block's offset in the stream
 * (LE64) and splitmix64(seed ^ offset) (LE64).  Every byte so tells where it belongs.
 *
 * positions_fill() makes any piece of it; struct positions_check proves bytes that came back,
 * whatever the pieces they come in, from any point of the stream on.  A hole or a repetition shows
 * as a jump; bytes of another stream or a stale page show as foreign.  Pure: no I/O. */
#pragma once

#include "base/errmsg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	POSITIONS_BLOCK_BYTES = 16,
	// However the join falls, this many bytes hold one whole block.
	POSITIONS_JOIN_BYTES = 2 * POSITIONS_BLOCK_BYTES - 1,
};

struct positions_check {
	uint64_t seed;
	uint64_t offset;   // joined: of the next byte; lost: of the first wrong one
	uint64_t verified; // bytes that were right
	bool joined;       // offset is known
	bool lost;         // was joined, then bytes were wrong, which is not yet reported
	bool foreign;      // reported, and still nothing of the stream was found
	size_t held_bytes; // not joined: bytes kept until there are enough to find the offset
	uint8_t held[POSITIONS_JOIN_BYTES];
};

/* Writes the bytes [offset, offset + size) of the stream. */
void positions_fill(uint64_t seed, uint64_t offset, uint8_t *out, size_t size);

void positions_check_init(struct positions_check *check, uint64_t seed);

/* What follows may be from anywhere in the stream: call it where a gap was announced. */
void positions_check_rejoin(struct positions_check *check);

/* Checks the next bytes.  Returns the number of errors found in them (a run of wrong bytes is
 * one), the first of them described in `error`; goes on behind an error wherever the stream can
 * be found again. */
unsigned positions_check_add(struct positions_check *check, const uint8_t *bytes, size_t size,
			     struct errmsg *error);

/* At the end of the bytes: the errors that waited for more of them, as positions_check_add(). */
unsigned positions_check_finish(struct positions_check *check, struct errmsg *error);
