// SPDX-License-Identifier: MIT
/* Home's end of all its crossings: sending packets to branches.  In home's loop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "intake/sink.h"
#include "packet/packet.h"

struct crossing;
struct fanout;

struct crossings {
	struct list list;                /* of struct crossing */
	struct fanout *fanout;           /* home's: its pipes, counters and the cost of a packet */
	const struct sequence *sequence; /* home's */
	enum engine engine;              /* rw: of the packet whose cost is being summed */
	bool is_draining;                /* ro: no branch is woken any more */
	bool is_held;                    /* ro: a branch is far behind, so home takes nothing in */
	void *owner;
	void (*on_room)(void *owner); /* is_held has become false */
};

/* Without crossings yet.  `fanout` and `sequence` must outlive it. */
void crossings_init(struct crossings *home, struct fanout *fanout, const struct sequence *sequence,
		    void *owner, void (*on_room)(void *owner));

/* The branch's end is attached before, and detached after this. */
void crossing_attach_home(struct crossing *crossing);
void crossing_detach_home(struct crossing *crossing);

/* Sends the packet to every branch that is awake.  The payload stays where it is.  False: it lies
 * in pipes and cannot be sent so (refused, or pipes run short), and none has got it; send a
 * copy. */
bool crossings_send(struct crossings *home, const struct packet *packet, struct payload *payload);

/* `bytes` are copied once for all; NULL: news without payload.  A branch that cannot have it for
 * want of memory closes its subscribers. */
void crossings_send_copy(struct crossings *home, const struct packet *packet, const uint8_t *bytes);

/* The sequence has been set anew; home drains. */
void crossings_send_sequence(struct crossings *home);
void crossings_send_drain(struct crossings *home);

/* A packet that could be sent neither way. */
void crossings_lose(struct crossings *home);

/* Finds out whether a branch is so far behind that home must take nothing in (is_held). */
void crossings_hold(struct crossings *home);

/* True: packets are sent to a branch at least. */
bool crossings_are_open(const struct crossings *home);

/* Pipes that are in no pool just now. */
uint64_t crossings_pipe_count(const struct crossings *home);

/* Subscribers of all branches. */
uint64_t crossings_subscriber_count(const struct crossings *home);

/* Answers the branches that have asked. */
void crossings_answer(struct crossings *home);

/* What has come back: pipes to use again, and the branches' share of the cost. */
void crossings_collect(struct crossings *home);

/* 10 times a second, and before a hand-over: what has come back; and losses and answers that could
 * not be told for want of memory. */
void crossings_tick(struct crossings *home);

/* For a feed that goes on in a new process: the branches that have been woken get packets. */
void crossings_resume(struct crossings *home);
