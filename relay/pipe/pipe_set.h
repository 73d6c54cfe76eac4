// SPDX-License-Identifier: MIT
/*
 * Pipes: where a feed's packets lie in the kernel, so that their bytes need not be copied.
 *
 *   pipe.h         one pipe
 *   pipe_io.h      moving bytes into, between and out of pipes: splice, tee, vmsplice
 *   pipe_pool.h    empty pipes, kept for their next use
 *   gift_arena.h   memory whose pages are given to the kernel
 *   socket_pair.h  what makes the slots of pipes dense; compact.h uses it
 *   density.h      how dense they are
 *
 * A pipe set is all of that for one feed in one worker.  It belongs to that feed for ever.  Its
 * pipes, its socket pair and its header memory never serve another feed, so no subscriber sees
 * bytes that are not meant for it.
 *
 * Everything also works without pipes: then it is copied.  Pipes may be missing (no descriptors, no
 * pipe pages), and the kernel or a sandbox may refuse a call.  The set remembers both, counts
 * refused calls, and tells its owner.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "pipe/gift_arena.h"
#include "pipe/pipe.h"
#include "pipe/pipe_pool.h"
#include "pipe/socket_pair.h"
#include "table/metrics.h"

/* A zero-copy call that the kernel or a sandbox does not allow. */
enum refusal {
	REFUSAL_SPLICE_IN, /* from this source; the next one may be of another kind */
	REFUSAL_TEE,
	REFUSAL_SPLICE_OUT,
	REFUSAL_VMSPLICE,
	REFUSAL_SOCKET_PAIR, /* to open one, or to splice from it */
	REFUSAL_COUNT
};

/* News for the owner.  Called in the middle of the work with pipes: it must not use the set. */
struct pipe_set_events {
	void *owner;
	/* `is_first`: this call has not been refused to the set before. */
	void (*on_refused)(void *owner, enum refusal refusal, bool is_first);
	/* There is no copy pipe: `error` is what pipe_pool_get() returned; or -ENOMEM, there is no
	 * header memory.  Tried again later. */
	void (*on_no_pipe)(void *owner, int error);
};

struct pipe_set_params {
	size_t segment_bytes; /* what one pipe can hold when its slots are dense */
	unsigned max_idle;    /* empty pipes that are kept for their next use */
	bool gift_headers;    /* headers go by vmsplice(2), else by write(2) */
};

struct pipe_set {
	struct pipe_set_params params; /* rw: gift_headers */
	struct pipe_set_events events; /* private */
	struct metrics *metrics;       /* of the feed: where calls and bytes are counted */
	struct pipe_pool pool;
	struct pipe copy_pipe;   /* for a moment's work; empty in between */
	struct socket_pair pair; /* not open before its first use; empty in between */
	struct pipe look_pipe;   /* of density.h; the same */
	struct gift_arena header_arena;
	bool has_pipes; /* ro: copy pipe and header memory are there; false: copy everything */
	bool refused[REFUSAL_COUNT]; /* ro: do without this call */
	uint64_t retry_ms;           /* private: monotonic, when to ask for a pipe again */
};

enum {
	/* Bytes a slot, for which pipes have slots enough: loopback and socket pairs make 12 KiB
	 * and more.  Where slots have less, a packet is shorter, or lies in more pipes. */
	PIPE_SET_SLOT_BYTES = 8 * 1024,
	PIPE_SET_SLOTS_MIN = 16, /* what the kernel gives a pipe by itself */
};

/* Slots of each pipe of a set. */
static inline unsigned pipe_set_slots(size_t segment_bytes)
{
	return (unsigned)size_max(segment_bytes / PIPE_SET_SLOT_BYTES, PIPE_SET_SLOTS_MIN);
}

/* Makes a set without pipes; pipe_set_open() is to follow.  `metrics` must outlive the set.
 * 0 or -ENOMEM; the set is then as after pipe_set_fini(). */
must_check int pipe_set_init(struct pipe_set *set, const struct pipe_set_params *params,
			     const struct pipe_set_events *events, struct metrics *metrics);

/* Closes everything.  All pipes of the pool must have been put back. */
void pipe_set_fini(struct pipe_set *set);

/* Opens the copy pipe and maps header memory, if that has not been done.  has_pipes says whether it
 * worked. */
void pipe_set_open(struct pipe_set *set);

/* Tries once more every 30 seconds, since the limit may have been raised. */
void pipe_set_tick(struct pipe_set *set, uint64_t now_ms);

/* Closes all but the pipes that are handed out, and gives up header memory; pipe_set_open() brings
 * the copy pipe back.  Cheap when that has been done. */
void pipe_set_sleep(struct pipe_set *set);

/* Pipes that are open: in the pool, handed out, or the set's own. */
size_t pipe_set_count(const struct pipe_set *set);

/* A call has been refused: it is counted, remembered and told. */
void pipe_set_note_refusal(struct pipe_set *set, enum refusal refusal);

/* Copies the first `bytes` of a pipe of the set, which keeps them.  False: a call was refused, or
 * there is no copy pipe. */
must_check bool pipe_set_peek(struct pipe_set *set, struct pipe *from, void *to, size_t bytes);

/* Replaces the copy pipe when it cannot be emptied.  Use pipe_set_empty_copy_pipe(). */
void pipe_set_renew_copy_pipe(struct pipe_set *set);

/* Leaves the copy pipe empty, whatever was left in it. */
static inline void pipe_set_empty_copy_pipe(struct pipe_set *set)
{
	if (set->copy_pipe.held_bytes)
		pipe_set_renew_copy_pipe(set);
}
