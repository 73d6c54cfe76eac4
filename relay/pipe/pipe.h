// SPDX-License-Identifier: MIT
/*
 * A kernel pipe and what relay knows to be in it.
 *
 * Invariant: held_bytes is exactly what the pipe holds, because only pipe_io.c moves bytes and the
 * two descriptors never leave this struct, but by pipe_give_read_end().  The kernel counts a pipe's
 * room in slots (one page reference each, however few bytes it covers), so "has room" can never be
 * told from held_bytes. Moving bytes is left to pipe_io.h, keeping pipes for later use to
 * pipe_pool.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct pipe {
	int read_fd;       // -1 when not open
	int write_fd;      // -1 when not open
	size_t held_bytes; // put in and not yet taken out
	unsigned slots;    // granted by the kernel, at least what was asked for
};

// A pipe that is not open; pipe_close() on it does nothing.
#define PIPE_NONE ((struct pipe){.read_fd = -1, .write_fd = -1})

/* Opens a non-blocking, close-on-exec pipe with at least `slots` slots (the kernel rounds up to a
 * power of two, so equal requests give equal pipes).  The caller owns it: pipe_close().
 * 0, or with *p = PIPE_NONE:
 *   -EDQUOT           fewer slots were granted: the user's quota is used up or the size is above
 * the limit (fs.pipe-user-pages-soft, fs.pipe-max-size; pipe(7)); CAP_SYS_RESOURCE is exempt from
 * both -EMFILE, -ENFILE  no descriptors, or the hard quota (fs.pipe-user-pages-hard) -EINVAL slots
 * is 0 or beyond what fcntl(2) can express -errno            what else pipe2(2) or fcntl(2) said */
must_check int pipe_open(struct pipe *p, unsigned slots);

bool pipe_is_open(const struct pipe *p);

/* Hands out the end to read from, which is the caller's to close, for a pipe that is filled by
 * another thread than the one that empties it.  From then on *p is good for pipe_gift(),
 * pipe_write() and pipe_close() only, and held_bytes is what was ever put in. */
must_check int pipe_give_read_end(struct pipe *p);

// Closes both ends, drops what is held, leaves PIPE_NONE.  Idempotent; errno is kept.
void pipe_close(struct pipe *p);
