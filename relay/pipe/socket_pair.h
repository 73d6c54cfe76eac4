// SPDX-License-Identifier: MIT
/*
 * A socket pair: makes the slots of a pipe dense.
 *
 * What is sent into an AF_UNIX stream socket is copied into fragments of up to 32 KiB, and each
 * fragment fills one slot of the pipe that the other end is spliced into.  A network card leaves
 * some 1.5 KB in a slot, and write(2) into a pipe 4 KiB.
 *
 * A pair belongs to one feed for ever, and is empty between two uses.  When a use fails in the
 * middle, the pair is to be closed: what it holds must never come out in front of something else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "pipe/pipe_io.h"

struct socket_pair {
	int send_fd;       // -1 when not open
	int splice_fd;     // -1 when not open
	size_t held_bytes; // sent and not yet spliced out
};

// A pair that is not open; socket_pair_close() on it does nothing.
#define SOCKET_PAIR_NONE ((struct socket_pair){.send_fd = -1, .splice_fd = -1})

/* Opens a pair, non-blocking and close-on-exec.  0, or -errno of socketpair(2) with *pair =
 * SOCKET_PAIR_NONE: -EMFILE, -ENFILE, or what a sandbox says. */
must_check int socket_pair_open(struct socket_pair *pair);

bool socket_pair_is_open(const struct socket_pair *pair);

/* Copies in as many bytes as there is room for now.  The outcomes are those of pipe_io.h; nothing
 * has been copied but on PIPE_IO_OK.  PIPE_IO_FULL: splice out first. */
must_check enum pipe_io socket_pair_send(struct socket_pair *pair, const uint8_t *bytes, size_t len,
					 size_t *ret_bytes, int *ret_err);

/* Moves what the pair holds behind what the pipe holds, as far as the pipe has slots.  As above;
 * PIPE_IO_FULL: the rest waits in the pair for another pipe. */
must_check enum pipe_io socket_pair_splice(struct socket_pair *pair, struct pipe *to,
					   size_t *ret_bytes, int *ret_err);

// Closes both ends, drops what is held, leaves SOCKET_PAIR_NONE.  Idempotent; errno is kept.
void socket_pair_close(struct socket_pair *pair);
