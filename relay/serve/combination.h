// SPDX-License-Identifier: MIT
/*
 * Combinations: several feeds on one connection, GET /a+b.
 *
 *   asked for first --> made: a feed of its own, fed by its members (feed/crossing_member.h)
 *   nobody reads it, and nobody has come back within keep_past --> freed
 *
 * It is made once for all who ask for the same feeds, at whichever listener, and is built once for
 * each format.  Its subscribers are served, limited and counted as those of any feed: it is in
 * service->feeds, under the names of its members with a plus sign between them.
 *
 * It offers the formats that a listener which serves all of its members would give.  It goes with
 * each of its members, and with the last such listener.  It is not kept over a hand-over or a
 * crash: its subscribers are closed by the next process, and told of a gap when they come back,
 * since it has another session then.
 *
 * Control thread only.
 */
#pragma once

#include "base/compiler.h"
#include "base/list.h"
#include "feed/crossing_member.h"
#include "serve/served_feed.h"

struct combination {
	struct list_node node;                    /* private: in service->combinations */
	struct served_feed *feed;                 /* ro: it is in service->feeds, too; owned */
	struct served_feed *parents[MEMBERS_MAX]; /* ro: the feed of each member */
	struct members members;                   /* private: those of its home's loop */
	struct format_offer offers[FORMAT_COUNT]; /* private */
	char listener[CONFIG_NAME_BYTES + 1];     /* ro: at which it was asked for first */
};

static inline struct combination *combination_at(struct list_node *node)
{
	return list_entry(node, struct combination, node);
}

/* The combination of these feeds, which are in the order of their names.  It is made if there is
 * none.  listener: at which it is asked for; max: that may be there of those made for it.  0;
 * -EUSERS: they are there; -ENOMEM. */
must_check int combination_get(struct service *service, const char *listener, uint64_t max,
			       struct served_feed *const feeds[], size_t count,
			       struct combination **ret);

/* Closes its subscribers with the reason, and frees it.  Clears the pointer. */
void combination_free(struct combination **combination, enum close_reason reason);

/* The same for all of them. */
void combinations_free(struct service *service, enum close_reason reason);

/* Before a hand-over, with all workers standing still: the next process closes their subscribers,
 * and those who wait there for a message, and tells them the reason (HANDOVER).  Nothing here has
 * changed.  0 or -ENOMEM. */
must_check int combinations_capture_farewells(const struct service *service, struct farewells *ret);

/* Takes over what has changed of its members and of the listeners.  False: no listener serves it
 * any more, and it is to be freed. */
must_check bool combination_change(struct combination *combination);

/* Often: gives up those that nobody reads any more. */
void combinations_tick(struct service *service);
