// SPDX-License-Identifier: MIT
/*
 * A replay: a subscriber gets what is in the history's files, until the ring has what comes next
 * (fanout/subscriber_replay.c).
 *
 *   replay_find_start() ---> replay_begin() ---> subscriber_join(.replay) ---> ... ---> ring
 *
 * With a delay it never goes on from the ring: it rests until what comes next is old enough.
 *
 * In the framed format it gets the files as they lie, by sendfile(2); for the others they are
 * encoded anew (replay_block.h).  All of it is in the loop that reads the history.
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "fanout/subscriber.h"
#include "history/history_reader.h"
#include "history/replay_block.h"

struct history;
struct replay;

/* Where it begins, and where it ends. */
struct replay_range {
	bool has_from;     /* with this message; else by since_ns */
	uint32_t session;  /* with has_from; 0: the newest one */
	uint64_t sequence; /* with has_from; 0: the oldest there is */
	uint64_t since_ns; /* wall clock */
	bool may_miss; /* with since_ns: if the history does not reach so far, with the oldest */
	uint64_t oldest_ns; /* wall clock: nothing that came before is to be had; 0: all there is */
	uint64_t delay_ns;  /* everything so much later, by the time of its packets; 0: at once */
	uint64_t until_ns;  /* wall clock: nothing that came later; 0: no such end */
	uint64_t rate;      /* bytes a second that it sends; 0: as many as the socket takes */
};

/* Where a range begins, looked up on the disk. */
struct replay_start {
	struct history_reader reader; /* stands there */
	struct history_reader end;    /* where it ends; closed: not known yet, or it has no end */
	struct stream_place place;    /* of the first packet */
};

/* Looks it up, and waits for the disk: the reading thread does so for who must not (replay_read.h).
 * Returns 0; or, and all is closed,
 * -ERANGE: what is asked for is older than what there is, or is to be had, or of a session that is
 * not there; -EAGAIN: the history does not have it, but the ring may: it is newer than what is
 * written, or nothing is written at all; else -errno of reading the disk. */
must_check int replay_find_start(struct history *history, const struct replay_range *range,
				 struct replay_start *ret);

/* Gives up what it has; fine for one that could not be found. */
void replay_start_close(struct replay_start *start);

/* A replay that begins there, without waiting for the disk.  start: closed then, on an error too.
 * 0 or -ENOMEM. */
must_check int replay_begin(struct history *history, const struct replay_range *range,
			    const struct replay_format *format, struct replay_start *start,
			    struct replay **ret);

/* Goes on with one of the process before, at its next byte; `format` is as it was there.  What the
 * format makes of a packet is the same each time, so a packet in hand is made anew, and what the
 * socket has is left out.  It does not wait for the disk.  Returns 0; -ERANGE: the history is
 * another one, or no longer has that byte; else as above. */
must_check int replay_resume(struct history *history, const struct kept_replay *kept,
			     const struct replay_format *format, struct replay **ret);

/* True: nothing of the range has come that is not before where it begins, and nothing will. */
bool replay_is_over(const struct replay *replay);

/* For params.replay, with the replay as replay_owner. */
extern const struct subscriber_replay replay_of_history;

/* Who is told once, when it is freed. */
void replay_set_owner(struct replay *replay, void (*on_freed)(void *owner), void *owner);

/* Frees one that no subscriber owns. */
void replay_free(struct replay *replay);
