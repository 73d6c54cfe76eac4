// SPDX-License-Identifier: MIT
/*
 * Where a reader is in a stream: which session its messages have, and which message it needs next.
 * Pure.
 *
 * The sequence is the stream's, and the session is derived from when the stream was created: so a
 * message has the same numbers at every relay.  A mirror was created at another time.  An operator
 * gives it the session of what it mirrors (session = NUMBER).
 *
 * A stream may lose what it had last: its servers lost their power, or those with the newest
 * messages are gone.  It gives the same numbers again then, to other messages.  So the newest
 * message that was read is compared, by its time, with the one that the stream has now.  Where
 * it is another one, the reader goes on in a session of its own: a SESSION-SEQ never stands
 * for two messages.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct stream_position {
	uint32_t session;    /* of what has come so far; at first that of the feed */
	uint64_t next_seq;   /* of the message to come; 0: known when it comes */
	uint64_t created_ns; /* of the stream that was read last; 0: none yet */
	uint64_t mark_seq;   /* rw: the newest message that was read of it; 0: not known */
	uint64_t mark_ns;    /* rw: the same: when the stream took it */
	uint64_t lost_seq;   /* of those that were read, the first one that it lacked; 0: none */
};

struct stream_seen {
	uint64_t created_ns; /* wall clock */
	uint64_t last_seq;   /* that the stream ever had; 0: none */
	uint64_t match_seq;  /* of the last message that is wanted and still there; 0: none */
	uint64_t messages;   /* that it has now */
};

struct stream_wish {
	uint32_t session;     /* by hand; 0: by the time of creation */
	uint64_t backfill_ms; /* how much of the past a reader begins with that knows no position */
};

enum stream_begin {
	STREAM_GOES_ON,    /* at next_seq */
	STREAM_BEGINS,     /* another session: at next_seq; or at *ret_from_ns, where that is 0 */
	STREAM_IS_ANOTHER, /* begins, for the stream was made anew under a name read before */
	STREAM_IS_SHORTER, /* it has less than has been read: only lost_seq has changed */
};

/* The session of a stream that was created then: milliseconds, as a feed's own session is; never
 * 0. */
uint32_t stream_session(uint64_t created_ns);

/* Behind what is wanted and there; and where nothing is, behind what was. */
uint64_t stream_seen_end(const struct stream_seen *seen);

/* Compares the position with the stream that is there now, and moves it there.  now_ns: wall
 * clock. */
enum stream_begin stream_position_find(struct stream_position *position,
				       const struct stream_seen *seen,
				       const struct stream_wish *wish, uint64_t now_ns,
				       uint64_t *ret_from_ns);

/* The stream has this message under the number of the mark, or none (time 0).  False: it
 * is another one. */
bool stream_position_check(struct stream_position *position, uint64_t time_ns);

/* The stream has lost what came last: what comes next has another session, and begins with the
 * first number that stands for another message, as far as that is known. */
void stream_position_cut(struct stream_position *position, const struct stream_seen *seen,
			 uint64_t now_ns);
