// SPDX-License-Identifier: MIT
/*
 * Open pipes of one size, kept for their next use.
 *
 * Invariant: an idle pipe is empty, so what comes out of a pipe was put in by its holder.  One pool
 * for each feed, never shared: a pipe that ever held one feed's bytes must not reach another feed.
 * How many pipes are out, and where, is left to the owner.
 */
#pragma once

#include "base/compiler.h"
#include "pipe/pipe.h"

struct pipe_pool {
	struct pipe *idle;   // max_idle of them, the first idle_count in use
	unsigned slots;      // asked for in each pipe
	unsigned max_open;   // idle and handed out together
	unsigned max_idle;   // more than these are closed when they come back
	unsigned idle_count; // open and in the pool
	unsigned open_count; // idle and handed out together
	int null_fd; // ro: /dev/null for pipe_discard(); -1: no pipe yet, or it cannot be had
};

/* Opens nothing yet.  0, or -ENOMEM with the pool as after pipe_pool_fini(). */
must_check int pipe_pool_init(struct pipe_pool *pool, unsigned slots, unsigned max_open,
			      unsigned max_idle);

/* Closes the idle pipes.  All others must have been put back (asserted).  Idempotent. */
void pipe_pool_fini(struct pipe_pool *pool);

/* Hands out an empty pipe.  It goes back by pipe_pool_put_drained() only.  0, or with *ret =
 * PIPE_NONE: -ENOBUFS when max_open pipes are open, else as pipe_open(): -EDQUOT, -EMFILE, ... */
must_check int pipe_pool_get(struct pipe_pool *pool, struct pipe *ret);

/* So many pipes of another pool of the same feed now belong to this one, as if it had handed
 * them out; and, of those that it handed out, so many now belong to another. */
void pipe_pool_adopt(struct pipe_pool *pool, unsigned count);
void pipe_pool_hand_on(struct pipe_pool *pool, unsigned count);

/* Closes the idle pipes, and /dev/null with the last one; the pool can be used as before. */
void pipe_pool_close_idle(struct pipe_pool *pool);

/* Takes a pipe back and leaves PIPE_NONE in its place.  Bytes that it still holds are thrown away,
 * which is cheaper than a new pipe; one that cannot be emptied is closed.  Nothing happens for a
 * pipe that is not open. */
void pipe_pool_put_drained(struct pipe_pool *pool, struct pipe *p);
