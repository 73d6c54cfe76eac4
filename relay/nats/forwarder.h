// SPDX-License-Identifier: MIT
/*
 * A forwarder: the subscriber of a feed that publishes it to a stream of NATS.
 *
 *   ring --- subscriber ---> socket pair ---> forwarding thread ---> stream
 *                                                   ^                  |
 *                                                   +--- acknowledged -+
 *
 *   forwarder          in the loop of the feed: the subscriber, and what is counted
 *   forwarder_thread   connects; what is wrong, and beginning anew
 *   forwarder_input    the next messages of the feed
 *   forwarder_output   published, and acknowledged
 *   packet_input       packets out of the socket
 *   nats_stream        asks the stream what it has
 *   unacked            what is published and not acknowledged                 pure
 *   stream_tail        what the stream has of the last messages               pure
 *   forward_id         the ids of messages                                    pure
 *
 * To its feed it is a subscriber like any other, of the framed format.  While the stream takes no
 * more, the thread reads no more: so what is not forwarded yet lies in the ring, and
 * ON_SLOW_SKIP, ON_SLOW_WAIT or ON_SLOW_REPLAY says what happens when that is full.  What the
 * ring has no more may be in the history.  Its reading thread looks up where, and
 * acknowledgements are taken meanwhile.
 *
 * Each message has an id (forward_id.h).  What is not acknowledged when a connection is lost is
 * published again, and the stream drops what it has.  That holds within its duplicate window.
 * Whoever comes back later, or is new, asks the stream for its last messages of the subject, and
 * publishes those that it lacks.  A stream of this subject alone takes each message only behind
 * those that its forwarder knew of, so what comes late from anywhere is refused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "fanout/subscriber.h"
#include "nats/forward_id.h"
#include "nats/nats_connection.h"

struct feed;
struct forwarder;
struct history;
struct inbox;
struct rendition;

struct forwarder_params {
	struct backbone_params backbone; /* is_published_to; the subject has no wildcards */
	enum on_slow on_slow;            /* ON_SLOW_SKIP, ON_SLOW_WAIT, ON_SLOW_REPLAY */
};

/* Where it reads. */
struct forwarder_source {
	struct feed *feed;           /* in this worker */
	struct rendition *rendition; /* of it, of the framed format */
	struct inbox *inbox;         /* of its loop */
	struct history *history;     /* that is read in this loop; NULL: none */
};

struct forwarder_report {
	char server[NATS_SERVER_BYTES]; /* "": to none */
	bool is_up;                     /* the stream takes what is published */
	bool is_looking;     /* the stream is asked what it has; nothing is published meanwhile */
	uint64_t connects;   /* to servers, since the start; so all that follows */
	uint64_t sent;       /* messages that were published, those again included */
	uint64_t acked;      /* messages that the stream has */
	uint64_t duplicates; /* of these, those that it had already */
	uint64_t errors;     /* so often publishing began anew */
	uint64_t missed;     /* messages that were lost before they came here */
	uint64_t too_long;   /* messages that are longer than the server or the stream takes */
	/* the oldest message that is not acknowledged; session 0: none is known */
	struct forward_id next;
};

/* In the loop of the feed, before anything is published.  Everything is copied but what pointers
 * lead to.  0 or -errno. */
must_check int forwarder_start(const struct forwarder_params *params,
			       const struct forwarder_source *source, struct forwarder **ret);

/* In that loop, before the rendition goes: it gets what is in the ring now, and then leaves the
 * feed.  forwarder_await_end(), from any thread, waits until the stream has that, for a short time
 * at most; not at all while the stream takes nothing. */
void forwarder_finish(struct forwarder *forwarder);
void forwarder_await_end(struct forwarder *forwarder);

/* In that loop, before the rendition and the history go: it leaves the feed at once.  The thread
 * ends by itself as soon as it can: nobody waits for it.  Clears the pointer; NULL inside is
 * fine. */
void forwarder_stop(struct forwarder **forwarder);

/* From any thread. */
void forwarder_read_report(struct forwarder *forwarder, struct forwarder_report *ret);
