// SPDX-License-Identifier: MIT
/*
 * Where the stream of an arrival begins; in a worker, where the arrival is.  And where one goes on
 * that was reading the history in the process before.
 */
#pragma once

#include <stdbool.h>

#include "base/clock.h"
#include "http/stream_answer.h"

struct arrival;
struct served_format;
struct subscriber_snapshot;
struct worker;

/* What 416 names as the oldest may be asked for so long, although it gets older. */
#define ANSWER_HOLDS_NS (5 * NS_PER_S)

enum beginning {
	BEGINS_HERE,      /* in the ring, or with params->replay */
	BEGINS_IN_FILES,  /* perhaps, and they are read elsewhere */
	BEGINS_WHEN_READ, /* the disk is asked where; look_again() comes then */
	BEGINS_LATER,     /* the recorder has the message, and is yet to write it */
	BEGINS_AHEAD,     /* the message is yet to come, and may do so in a moment */
	BEGINS_NOWHERE,   /* there is no such message */
};

/* Opens the replay, too, where it begins with one.  *ret_range: with BEGINS_NOWHERE, what can
 * be had instead. */
enum beginning arrival_find_beginning(struct arrival *arrival, struct stream_range *ret_range);

/* What was asked of the disk, and the answer, are given up.  Idempotent. */
void arrival_forget_start(struct arrival *arrival);

/* Where the stream begins, as far as that is known before it is joined: of a packet that holds the
 * message asked for among others, at the first of them. */
void arrival_find_start(const struct arrival *arrival, struct stream_start *ret);

/* Before it joins: what it gets of the ring is not older than range.oldest_ns. */
void arrival_bound_past(struct arrival *arrival);

/* Is all that it wants before where it begins?  Looked for where an event stream comes back. */
bool arrival_has_got_all(const struct arrival *arrival);

/* For a subscriber of the process before that was reading the history: opens it for it, where it
 * was, if there is that byte, and this is the worker that reads the history.  Nobody reads there
 * just now.  The quota has been taken. */
void arrival_resume_replay(struct served_format *format, struct worker *worker,
			   struct subscriber_snapshot *subscriber);
