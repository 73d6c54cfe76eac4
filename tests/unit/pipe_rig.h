// SPDX-License-Identifier: MIT
/*
 * What the tests of pipes share: pipes that are filled piece by piece and checked against the
 * kernel.
 *
 * Every function fails the running test when something is not as it should be.
 */
#ifndef TESTS_UNIT_PIPE_RIG_H
#define TESTS_UNIT_PIPE_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "pipe/pipe.h"

enum {
	PIPE_RIG_PAGES = 64,
	PIPE_RIG_PAGE_BYTES = 4096
};

// Page-aligned memory to gift from.
extern uint8_t pipe_rig_pages[PIPE_RIG_PAGES * PIPE_RIG_PAGE_BYTES];

// Open descriptors of this process.
int pipe_rig_count_fds(void);

// Setup and teardown of a cmocka test: as many descriptors are open after it as before.
int pipe_rig_begin(void **state);
int pipe_rig_end(void **state);

// An open pipe of exactly so many slots, a power of two.
struct pipe pipe_rig_open(unsigned slots);

// held_bytes and the kernel (FIONREAD) both say `expected`.
void pipe_rig_check_held(const struct pipe *p, size_t expected);

/* Puts in pieces of piece_bytes, a slot for each, however small: what a publisher of tiny messages
 * does to a pipe, made the same on every kernel.  The first is all 'a', the next 'b', ... */
void pipe_rig_put_pieces(struct pipe *p, unsigned pieces, size_t piece_bytes);

#endif
