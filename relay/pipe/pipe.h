// SPDX-License-Identifier: MIT
/*
 * One pipe of the kernel, and how many bytes are in it.
 *
 * held_bytes is always what the pipe holds.  Only pipe_io.c moves bytes, and nobody else has the
 * two descriptors, but for pipe_give_read_end().
 *
 * The kernel counts the room of a pipe in slots.  A slot refers to one page, however few bytes of
 * it are used.  So held_bytes does not say whether there is room.
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

/* Opens a pipe with at least `slots` slots, non-blocking and close-on-exec.  The kernel rounds up
 * to a power of two, so equal requests give equal pipes.  The caller owns it: pipe_close().
 *
 * Returns 0, or with *p = PIPE_NONE:
 *   -EDQUOT           fewer slots were granted.  The user's pipes have used up
 *                     fs.pipe-user-pages-soft, or the size is above fs.pipe-max-size (pipe(7)).
 *                     Neither limit holds for CAP_SYS_RESOURCE.
 *   -EMFILE, -ENFILE  no descriptors, or fs.pipe-user-pages-hard is used up
 *   -EINVAL           slots is 0, or more than fcntl(2) can express
 *   -errno            what else pipe2(2) or fcntl(2) said
 */
must_check int pipe_open(struct pipe *p, unsigned slots);

bool pipe_is_open(const struct pipe *p);

/* Gives away the end to read from, which the caller closes.  It is for a pipe that one thread fills
 * and another one empties.  From then on *p is good for pipe_gift(), pipe_write() and pipe_close()
 * only, and held_bytes counts all that was ever put in. */
must_check int pipe_give_read_end(struct pipe *p);

// Closes both ends, drops what is held, leaves PIPE_NONE.  Idempotent; errno is kept.
void pipe_close(struct pipe *p);
