// SPDX-License-Identifier: MIT
/*
 * A recorder: the subscriber of a feed that writes its history.
 *
 *   ring --- subscriber ---> socket pair ---> recording thread ---> files
 *                                             sync thread: waits for the disk
 *
 * To its feed it is a subscriber like any other, of the framed format.  A disk that is slow, full
 * or gone makes it a slow subscriber, and nobody waits for it: it skips and is told of the gap,
 * which is then in the history too; or with ON_SLOW_WAIT the feed waits, as for any subscriber.
 *
 * When it cannot write, it leaves the feed, tries again once a second, and begins with what comes
 * right behind what is recorded.  What the ring no longer has then is a gap.
 *
 * A disk may not answer at all.  A thread that waits for it can neither be woken nor ended, so
 * nobody waits for such a thread for long.  It is left to itself: it has what it needs, and frees
 * it if it is ever answered.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/errmsg.h"
#include "fanout/subscriber.h"
#include "history/history.h"

struct fanout;
struct inbox;
struct recorder;
struct rendition;

struct recorder_params {
	struct history_params history;
	enum on_slow on_lag; /* ON_SLOW_SKIP, ON_SLOW_WAIT */
	/* on the disk so often; 0: when the kernel likes, and when a file is full */
	uint64_t sync_ms;
	unsigned fanouts_max; /* with history.is_on_disk_first: see recorder_add_fanout() */
};

struct recorder_report {
	struct history_report history;
	bool is_failing; /* nothing can be written, or not be brought to the disk */
	uint64_t errors; /* so often writing or syncing failed */
	uint64_t gaps;   /* that were recorded */
	uint64_t missed; /* messages in these */
	uint64_t written_bytes;
	uint64_t sync_ns;       /* what the last sync took */
	uint64_t unanswered_ms; /* so long the disk has not answered; 0: nobody waits for it */
};

/* Opens the history; see history_open().  Records nothing yet. */
must_check int recorder_new(const struct recorder_params *params, struct recorder **ret,
			    struct history_found *ret_found, struct errmsg *err);

/* Logs what was found, and whether a new session begins. */
void recorder_tell_found(const struct recorder *recorder, const struct history_found *found);

/* Records from now on what the rendition has, which is of the framed format.  `inbox` is that of
 * its loop.  In that loop; again after recorder_pause(), and one that was not paused stays
 * as it is.  0, -errno of pthread_create(3), or -EBUSY: another relay has opened the
 * folder since recorder_pause(). */
must_check int recorder_begin(struct recorder *recorder, struct inbox *inbox,
			      struct rendition *rendition);

/* In that loop, before the rendition goes: it gets what is in the ring now, and then leaves the
 * feed.  recorder_await_end() waits until it has got it, for a short time at most. */
void recorder_finish(struct recorder *recorder);
void recorder_await_end(struct recorder *recorder);

/* True: it gets what its feed has, and the disk takes it.  False as well when all has been written
 * and the feed has ended, when nothing can be written, or when the disk has not answered for some
 * time.  From any thread. */
bool recorder_is_recording(struct recorder *recorder);

/* In that loop: it leaves the feed at once.  What it has got is still written.  With ON_SLOW_WAIT
 * what it has not got stays in the ring, so that nothing is missing when it comes back. */
void recorder_leave(struct recorder *recorder);

/* Before recorder_begin(), of a feed that goes on from another process: the same, for all that is
 * in the ring. */
void recorder_keep_ring(const struct recorder *recorder, struct rendition *rendition);

/* For a hand-over, after recorder_leave(), while nobody is served: its threads end, and another
 * process may open the folder; who reads it here still can.  recorder_begin() is next, or the end
 * of the process.  0; or -ETIMEDOUT with a message: the disk does not answer, or has not taken
 * all in time. */
must_check int recorder_pause(struct recorder *recorder, struct errmsg *err);

/* At a stop, before the first of many recorders is freed: it begins to bring to the disk what is
 * left, and returns at once.  recorder_free() waits then for as long as it would for a slow disk,
 * counted from now, whether the disk answers or not.  After recorder_finish(), or where it never
 * began.  next: as for recorder_free(). */
void recorder_order_end(struct recorder *recorder, const struct sequence *next);

/* Writes what is left and unlocks the folder.  After recorder_leave(), or when its rendition has
 * gone, or where it never began.  The loop still runs, or its inbox has been run since.  next:
 * what the feed would give out next; then it waits until all is on the disk.  NULL: the feed goes
 * on in another process, and so does the history.  If the disk does not answer, that is logged, the
 * folder stays locked until it does, and it is left as a crash would leave it.  Clears the pointer;
 * NULL inside is fine. */
void recorder_free(struct recorder **recorder, const struct sequence *next);

/* Takes over what a reload changes: the limits, and how often to sync.  From any thread. */
void recorder_change(struct recorder *recorder, const struct recorder_params *params);

/* Subscribers of this fan-out, which has published nothing, get only what is on the disk, until it
 * is removed.  number: below fanouts_max.  In its loop, and before recorder_begin().  Both do
 * nothing without history.is_on_disk_first. */
void recorder_add_fanout(struct recorder *recorder, unsigned number, struct inbox *inbox,
			 struct fanout *fanout);
void recorder_remove_fanout(struct recorder *recorder, unsigned number);

/* For readers: of the loop of its rendition, as long as the recorder is there. */
struct history *recorder_history(struct recorder *recorder);

/* From any thread. */
void recorder_read_report(struct recorder *recorder, struct recorder_report *ret);
