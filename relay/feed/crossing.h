// SPDX-License-Identifier: MIT
/*
 * The crossing of a feed's packets from its home, where the ingest is, to a branch in another loop.
 *
 *   home --- tee ---> there (queue) ---> branch: rings and subscribers of its own
 *        <--- back (queue): empty pipes, and what the packet has cost
 *
 * A branch is a feed without source.  It gets each packet once, as pipes or as a counted block, and
 * publishes it into its own renditions.  Nothing is locked: each object belongs to one loop, and
 * the queues have one thread at each end.
 *
 * A branch with nobody to serve sleeps, and costs nothing.  Whoever joins it then waits until home
 * has said where the sequence stands.  The branch asks by a flag and does not ask anew before it is
 * answered, so the two can never misunderstand each other:
 *
 *   ASLEEP --ask--> WAKING --answer--> AWAKE --nobody left: ask--> LEAVING --answer--> ASLEEP
 *
 * A branch that falls behind fills its queue, and home then takes nothing in (as with a pass that
 * goes on): a worker that cannot keep up is relay's own limit, not a slow subscriber.
 */
#pragma once

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/spsc.h"
#include "feed/chain.h"
#include "packet/packet.h"

struct feed;
struct crossing_item;

enum branch_state {
	BRANCH_ASLEEP,
	BRANCH_WAKING,
	BRANCH_AWAKE,
	BRANCH_LEAVING,
};

struct crossing {
	struct feed *home;
	struct feed *branch;
	struct spsc there;
	struct spsc back;
	_Atomic size_t bytes_under_way;
	_Atomic unsigned pipes_under_way; /* either way: in neither pool      */
	_Atomic bool is_wanted;           /* the branch asks for packets            */
	_Atomic bool is_resumed;          /* the branch was awake in the process before */
	_Atomic bool is_home_waiting;     /* home wants to be told of room          */
	_Atomic uint64_t subscribers;     /* of the branch, for home to know        */

	/* Home's. */
	struct list_node node;         /* in home->crossings                     */
	ev_async returned;             /* in home's loop: the branch has news    */
	struct crossing_item *pending; /* a packet being made for all branches */
	bool is_open;                  /* packets are sent                       */
	bool has_lost;                 /* a packet could not be sent: tell first */

	/* The branch's. */
	ev_async arrived; /* in its loop */
	enum branch_state state;
	struct crossing_item *current; /* being served; goes back with its cost  */
	uint64_t lonely_ms;            /* monotonic: when it was last seen with a subscriber */
};

/* Links `branch` to `home`, both without a crossing between them yet.  Neither loop has to be
 * asked. 0 or -ENOMEM. */
must_check int crossing_new(struct feed *home, struct feed *branch, struct crossing **ret);

/* Each in the loop of its feed; the branch's end first when attaching, last when detaching. */
void crossing_attach_branch(struct crossing *crossing);
void crossing_attach_home(struct crossing *crossing);
void crossing_detach_home(struct crossing *crossing);

/* Drops what is still under way; the branch is to be freed next. */
void crossing_detach_branch(struct crossing *crossing);

/* After both ends are detached; NULL inside is fine. */
void crossing_free(struct crossing **crossing);

/* ---- in home's loop ---- */

/* Sends the packet to every branch that is awake.  The payload stays where it is.  False: it lies in
 * pipes and cannot be sent so (refused, or pipes run short), and none has got it; send a copy. */
bool crossing_send(struct feed *home, const struct packet *packet, struct payload *payload);

/* `bytes` are copied once for all; NULL: news without payload.  A branch that cannot have it for
 * want of memory closes its subscribers. */
void crossing_send_copy(struct feed *home, const struct packet *packet, const uint8_t *bytes);

/* Home's sequence has been set anew; home drains. */
void crossing_send_sequence(struct feed *home);
void crossing_send_drain(struct feed *home);

/* A packet that could be sent neither way. */
void crossing_lose(struct feed *home);

/* Finds out whether a branch is so far behind that home must take nothing in (is_held).  That is
 * over when the branch has made room; must_tell_ready is set then. */
void crossing_hold(struct feed *home);

/* Pipes that are in no pool just now. */
uint64_t crossing_pipe_count(const struct feed *home);

/* Subscribers of all branches. */
uint64_t crossing_subscriber_count(const struct feed *home);

/* Answers the branches that have asked. */
void crossing_answer(struct feed *home);

/* 10 times a second: what has come back, and answers that could not be given for want of memory. */
void crossing_tick_home(struct feed *home);

/* For a hand-over, with both loops standing still: what is under way reaches the branches' rings
 * and comes back, and every branch is either awake or asleep. */
void crossing_settle(struct feed *home);

/* For a feed that goes on in a new process: the branches that have been woken get packets. */
void crossing_resume(struct feed *home);

/* ---- in the branch's loop ---- */

/* For crossing_settle(): takes all that has arrived, whether anybody can be served or not. */
void crossing_take_all(struct feed *branch);

/* For a branch that goes on in a new process: it is awake, though home does not know yet. */
void crossing_wake_resumed(struct feed *branch);

/* Takes what has arrived, for one turn at most. */
void crossing_take(struct feed *branch);

/* True when a new subscriber can be placed at once. */
bool crossing_is_awake(const struct feed *branch);

/* Asks for packets; who waits is told by subscriber_begin() once they come. */
void crossing_wake(struct feed *branch);

/* 10 times a second: sleeps when nobody has been there for a while. */
void crossing_tick_branch(struct feed *branch, uint64_t now_ms);
