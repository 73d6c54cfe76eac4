// SPDX-License-Identifier: MIT
/*
 * The crossing of a feed's packets from its home, where the ingest is, to a branch in another
 * worker.
 *
 *   home --- tee ---> there (queue) ---> branch: rings and subscribers of its own
 *        <--- back (queue): empty pipes, and what the packet has cost
 *
 * Home's end is crossing_home.h, the branch's end is crossing_branch.h.  Nothing is locked: each
 * end belongs to one loop, and each queue has one thread at each end.
 *
 * A branch with nobody to serve sleeps, and costs nothing.  Whoever joins it waits until home has
 * said how far the feed is.  The branch asks by a flag.  It does not ask anew before it is
 * answered, so that the two cannot misunderstand each other:
 *
 *   ASLEEP --ask--> WAKING --answer--> AWAKE --nobody left: ask--> LEAVING --answer--> ASLEEP
 *
 * A branch that falls behind fills its queue, and home then takes nothing in.  A worker that cannot
 * keep up is relay's own limit, not a slow subscriber.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "loop/inbox.h"
#include "feed/spsc.h"

struct crossing_item;
struct crossings;
struct feed;
struct payload;
struct pipe_pool;

enum branch_state {
	BRANCH_ASLEEP,
	BRANCH_WAKING,
	BRANCH_AWAKE,
	BRANCH_LEAVING,
};

/* Tells an end of the crossing that there is news.  Rung again before it is answered, it says no
 * more than once.  It is a task of the loop's inbox, since a loop looks at each ev_async that it
 * has whenever one is sent, and there may be thousands of feeds. */
struct crossing_bell {
	struct task task;
	struct inbox *inbox;  /* ro: of the loop where it is heard */
	_Atomic bool is_rung; /* private */
};

struct crossing {
	struct crossings *home; /* ro */
	struct feed *branch;    /* ro */
	struct spsc there;
	struct spsc back;
	_Atomic size_t bytes_under_way;
	_Atomic unsigned pipes_under_way; /* either way: in neither pool                */
	_Atomic bool is_wanted;           /* the branch asks for packets                */
	_Atomic bool is_resumed;          /* it was awake in the process before         */
	_Atomic bool is_home_waiting;     /* home wants to be told of room              */
	_Atomic uint64_t subscribers;     /* of the branch, for home to know            */

	/* Home's. */
	struct list_node node;         /* in home->list                              */
	struct crossing_bell returned; /* in home's loop: the branch has news        */
	struct crossing_item *pending; /* a packet being made for all branches       */
	bool is_open;                  /* packets are sent                           */
	bool has_lost;                 /* a packet could not be sent: tell first     */

	/* The branch's. */
	struct crossing_bell arrived;  /* in the branch's loop: home has sent        */
	bool is_attached;              /* it is the source of the branch             */
	enum branch_state state;       /* private */
	struct crossing_item *current; /* being served; goes back with its cost      */
	uint64_t lonely_ms;            /* monotonic: when it last had a subscriber   */
};

/* Links `branch` to its home.  All four must outlive it; the inboxes are those of the two loops.  0
 * or -ENOMEM. */
must_check int crossing_new(struct crossings *home, struct inbox *home_inbox, struct feed *branch,
			    struct inbox *branch_inbox, struct crossing **ret);

/* After both ends are detached, and both inboxes have run since; NULL inside is fine. */
void crossing_free(struct crossing **crossing);

/* At the branch's end: takes what home has sent next; the caller's.  NULL: nothing. */
struct crossing_item *crossing_pop(struct crossing *crossing);

/* The payload of what was taken, as it lies in the item.  Its pipes are of this pool from now
 * on. */
void crossing_take_payload(struct crossing *crossing, struct crossing_item *item,
			   struct pipe_pool *pool, struct payload *ret);

/* From either end. */
void crossing_ring(struct crossing_bell *bell);

/* The bell has been heard, and can be rung again: before looking for what is new. */
void crossing_hear(struct crossing_bell *bell);

/* So many pipes leave a pool, to be under way; so many that were under way reach one. */
void crossing_hand_on(struct crossing *crossing, struct pipe_pool *pool, size_t count);
void crossing_adopt(struct crossing *crossing, struct pipe_pool *pool, size_t count);
