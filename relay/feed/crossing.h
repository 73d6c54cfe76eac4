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

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "feed/spsc.h"

struct crossing_item;
struct crossings;
struct feed;
struct pipe_pool;

enum branch_state {
	BRANCH_ASLEEP,
	BRANCH_WAKING,
	BRANCH_AWAKE,
	BRANCH_LEAVING,
};

struct crossing {
	struct crossings *home;                  /* ro */
	struct feed *branch;                     /* ro */
	struct ev_loop *home_loop, *branch_loop; /* ro */
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
	ev_async returned;             /* in home's loop: the branch has news        */
	struct crossing_item *pending; /* a packet being made for all branches       */
	bool is_open;                  /* packets are sent                           */
	bool has_lost;                 /* a packet could not be sent: tell first     */

	/* The branch's. */
	ev_async arrived;              /* in the branch's loop: home has sent        */
	enum branch_state state;       /* private */
	struct crossing_item *current; /* being served; goes back with its cost      */
	uint64_t lonely_ms;            /* monotonic: when it last had a subscriber   */
};

/* Links `branch` to its home; both must outlive it.  0 or -ENOMEM. */
must_check int crossing_new(struct crossings *home, struct ev_loop *home_loop, struct feed *branch,
			    struct ev_loop *branch_loop, struct crossing **ret);

/* After both ends are detached; NULL inside is fine. */
void crossing_free(struct crossing **crossing);

/* So many pipes leave a pool, to be under way; so many that were under way reach one. */
void crossing_hand_on(struct crossing *crossing, struct pipe_pool *pool, size_t count);
void crossing_adopt(struct crossing *crossing, struct pipe_pool *pool, size_t count);
