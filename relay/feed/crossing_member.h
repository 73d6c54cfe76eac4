// SPDX-License-Identifier: MIT
/*
 * The members of a combination as its source.
 *
 *   home of a --- crossing ---+
 *                             +--> home of the combination --> its rings, its branches
 *   home of b --- crossing ---+
 *
 * A combination is several feeds on one connection (GET /a+b).  It is a feed of its own: it has a
 * home, branches, a session and numbers.  The feeds that it is made of are its members.  A member
 * sends it what it sends to its branches.  Each message gets the next number of the combination,
 * and its packet says which member it is from.
 *
 * What is missing of a member counts as missing here: a gap is told, and the numbers go on behind
 * it.  When nobody can say how much is missing, the combination begins a new session.  So it does
 * when a member does.
 *
 * Pipes of a member stay here, and none goes back.  So no pipe ever brings bytes of one member to
 * subscribers of another.
 *
 * All functions are to be called in the loop of the combination's home.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/framing.h"
#include "packet/packet.h"

struct crossing;
struct feed;

enum {
	MEMBERS_MAX = 8,
};

struct member {
	struct packet_feed from;       /* rw: what its packets say; its name must outlive it */
	struct framing_params framing; /* rw: of its messages; from.framing points here      */
	struct crossing *crossing;     /* rw: from its home to that of the combination       */
	uint32_t session;              /* private: of its sequence; 0: not known yet         */
	bool is_up;                    /* private: it has a publisher                        */
	bool has_drained;              /* private */
};

struct members {
	struct feed *feed; /* rw: the combination in its home */
	struct member list[MEMBERS_MAX];
	size_t count;
	size_t next; /* private: whose turn it is */
};

/* From now on the members are the source of the combination, and ask for packets.  Before
 * crossing_attach_home() of each.  *members must stay where it is. */
void members_attach(struct members *members);

/* Drops what is still under way.  After crossing_detach_home() of each. */
void members_detach(struct members *members);
