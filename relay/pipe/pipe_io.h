// SPDX-License-Identifier: MIT
/*
 * Moving bytes into, between and out of pipes: splice, tee, vmsplice, read, write.
 *
 * Invariant: after every call, whatever its outcome, held_bytes of the pipes involved is right.
 * All that has to be known about the errno of these calls is known in pipe_io.c: no caller sees
 * EAGAIN or EINTR.  Nothing here blocks, provided that every descriptor is O_NONBLOCK (for a
 * socket its own flag is the only one that splice(2) honours) and SIGPIPE is ignored: splice(2) to
 * a closed peer raises it, and no flag turns that off.
 *
 * Common to all functions:
 *   - *ret_bytes is set on PIPE_IO_OK only, *ret_err (a positive errno) on PIPE_IO_REFUSED and
 *     PIPE_IO_ERROR only.
 *   - A call for 0 bytes is PIPE_IO_OK, moves nothing.
 *   - Fewer bytes than asked for may be moved; how many is *ret_bytes.
 *   - On every outcome but PIPE_IO_OK nothing was moved (pipe_discard() may have dropped some).
 * Which data to move, and what to do when a call is refused, is left to the engines.
 */
#pragma once

#include <stddef.h>

#include "base/compiler.h"
#include "pipe/pipe.h"

enum pipe_io {
	PIPE_IO_OK,      // *ret_bytes were moved
	PIPE_IO_EMPTY,   // the source has nothing now: wait until it is readable
	PIPE_IO_FULL,    // the destination has no room now: wait until it is writable or drained
	PIPE_IO_EOF,     // the source has ended and is drained
	PIPE_IO_REFUSED, // kernel, sandbox or object does not do this call: use a copying path
	PIPE_IO_ERROR    // broken: EPIPE, ECONNRESET, ...; what pipes hold is still in them
};

/* Takes up to max_bytes from a socket, fifo or file, as far as the slots reach.  PIPE_IO_EMPTY on a
 * socket that poll(2) calls readable means that an urgent byte (MSG_OOB) stands at its head: only
 * recv(2) gets past that. */
must_check enum pipe_io pipe_splice_in(struct pipe *to, int from_fd, size_t max_bytes,
				       size_t *ret_bytes, int *ret_err);

/* Hands `bytes` (at most from->held_bytes, asserted) to a socket.  Ask for exactly what is to be
 * sent: the length is what tells the kernel where the end is.  When fewer were taken, the socket
 * is full; the rest stays in the pipe. */
must_check enum pipe_io pipe_splice_out(struct pipe *from, int to_fd, size_t bytes,
					size_t *ret_bytes, int *ret_err);

/* Duplicates the first `bytes` (at most from->held_bytes, asserted) of `from` into `to` by
 * reference; `from` keeps them.  Short when `to` runs out of slots; a short tee cannot be
 * continued, since tee(2) always starts at the head.  It is never short when `to` is empty and has
 * at least as many slots as `from`. */
must_check enum pipe_io pipe_tee(struct pipe *from, struct pipe *to, size_t bytes,
				 size_t *ret_bytes, int *ret_err);

// Moves the first `bytes` (at most from->held_bytes, asserted) of `from` behind what `to` holds.
must_check enum pipe_io pipe_move(struct pipe *from, struct pipe *to, size_t bytes,
				  size_t *ret_bytes, int *ret_err);

/* Puts the pages under `bytes` into the pipe by reference (vmsplice(2), SPLICE_F_GIFT); they may
 * never be written again (gift_arena.h).  One slot for each page touched: bytes within one page are
 * taken whole or not at all, bytes that cross a page may be torn: *ret_bytes < len. */
must_check enum pipe_io pipe_gift(struct pipe *to, const void *bytes, size_t len, size_t *ret_bytes,
				  int *ret_err);

// Copies bytes in.  Up to PIPE_BUF (4096) they are taken whole or not at all, more may be torn.
must_check enum pipe_io pipe_write(struct pipe *to, const void *bytes, size_t len,
				   size_t *ret_bytes, int *ret_err);

// Copies up to len bytes out.
must_check enum pipe_io pipe_read(struct pipe *from, void *to, size_t len, size_t *ret_bytes,
				  int *ret_err);

/* Copies exactly `bytes` out.  False: the pipe did not give them all, and some may be gone. */
must_check bool pipe_read_whole(struct pipe *from, void *to, size_t bytes);

/* Drops the first `bytes` (at most from->held_bytes, asserted): by splice to null_fd (/dev/null,
 * opened O_WRONLY by the caller), and where that fails by reading them.  On PIPE_IO_OK all of them
 * are gone. */
must_check enum pipe_io pipe_discard(struct pipe *from, int null_fd, size_t bytes,
				     size_t *ret_bytes, int *ret_err);
