// SPDX-License-Identifier: MIT
/*
 * The state of a feed in one worker (its home or a branch), as one process leaves it to the next:
 * counters, sequence, rings, subscribers, and what of an unfinished message has been read.
 *
 *   feed_capture() --> struct feed_state --> feed_state_transfer() --> ... --> feed_restore()
 *
 * Nothing may be under way in crossings (crossing_settle()).  What is measured (engines) is not
 * kept: the next process measures anew.  Names stand for reasons, causes and counters, so that
 * lists may grow; a counter that the reader does not know is dropped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "continuity/kept_struct.h"
#include "fanout/slow_cause.h"
#include "fanout/subscriber_resume.h"
#include "intake/intake.h"
#include "ring/ring_kept.h"
#include "ring/ring_state.h"
#include "table/close_reason.h"
#include "table/metrics.h"

struct crossing;
struct feed;

struct rendition_state {
	char format[RECORD_NAME_BYTES];
	const struct ring_record *record; /* captured: the ring's, which is left as it lies there */
	int ring_fd; /* of its record: the number in the process that captured it */
	struct ring_state ring;
	struct ring_record_map map; /* where its blocks are, owned */
	bool is_unread;             /* it is not known, so no subscriber can go on in it */
	struct subscriber_snapshot *subscribers; /* owned */
	size_t subscriber_count;
};

/* The rest of an unfinished message; all zero: none. */
struct intake_state {
#define KEPT_DEF "feed/intake_kept.def"
#include "continuity/kept_members.def"
	uint8_t *rest; /* the intake's, or in the stream that was read */
};

struct feed_state {
#define KEPT_DEF "feed/feed_kept.def"
#include "continuity/kept_members.def"
	bool is_after_crash; /* not in the stream: the process before died, and said no more */
	/* not in the stream: subscribers lost in the crashes before this one */
	uint64_t lost_before;
	/* not in the stream: captured, but a ring's record does not have all of it */
	bool is_partial;
	struct part_counts counts;
	struct intake_state intake;
	struct rendition_state *renditions; /* owned */
	size_t rendition_count;
};

extern const struct kept_table intake_kept_table, feed_kept_table;
extern const struct kept_names kept_metrics;

/* Describes the feed, which must not change until the state is freed; an unfinished message is
 * moved to memory.  0, -ENOMEM, or -EIO when a pipe did not give its bytes. */
must_check int feed_capture(struct feed *feed, struct feed_state *ret);

/* Written to, or read from; what is read is checked. */
void feed_state_transfer(struct state_stream *stream, struct feed_state *state);

/* After that: finds the rings.  Where one cannot be read, or a subscriber's place is not in it,
 * that is said in the log when the feed is restored, and they are closed. */
void feed_state_read_rings(struct feed_state *state, struct kept_fds *fds);

/* In the feed's loop, once its renditions are open: all is as it was, and goes on.  Subscribers
 * that cannot be put where they were are closed: reason REMOVED when nobody offers their format any
 * more, HANDOVER when their ring, or the input of theirs, could not be made again.  Branches first;
 * the home, which comes last, after its crossings_resume().
 *
 * source_end: CLOSE_REASON_COUNT: its publisher stays.  Else why it does not.  Then, or if another
 * one has come meanwhile, the rest of its message is dropped and it counts as gone.  Returns 0, or
 * -ENOMEM: there is no memory for the rest, and the caller has to end the publisher, who is in the
 * middle of a message.
 *
 * After a crash a ring may lack what another one of the feed has: the sequence goes on behind that,
 * and its subscribers are told of the gap, or closed where they may not miss anything; this, and
 * all else that keeps a subscriber from going on, has the reason CRASH then. */
must_check int feed_restore(struct feed *feed, struct crossing *crossing, struct feed_state *state,
			    enum close_reason source_end);

/* Closes the subscribers that the state still has, by reset; their quotas are given back. */
void feed_state_close_subscribers(struct feed_state *state);

/* Closes what is left of a state that was read, and frees what is owned. */
void feed_state_close(struct feed_state *state);
void feed_state_free(struct feed_state *state);
