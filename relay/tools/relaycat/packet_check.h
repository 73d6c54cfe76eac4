// SPDX-License-Identifier: MIT
/* Whether the headers of a framed stream follow one another as relay promises: no message missing
 * unless a gap announced it, none twice, one session until its end is said.
 *
 * Over a lost connection it compares where the stream goes on with where it broke off.
 *
 * Pure; it sees headers only, so that a length is wrong shows as a header that packet_reader cannot
 * decode.  After an error it goes on from what the header says. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"
#include "base/packet_header.h"

#include <stdbool.h>
#include <stdint.h>

struct packet_check {
	uint64_t packets;     // data packets
	uint64_t messages;    // that ended
	uint64_t gaps;        // announced, or between two connections
	uint64_t missed;      // messages in them
	uint64_t next;        // sequence to come, once has_session
	uint64_t known;       // sequences below it came before the connection was lost
	uint64_t parted_next; // with has_parted: `next` and `session` when the connection was lost
	uint32_t parted_session;
	uint32_t session;
	bool has_parted; // and no data has come since
	bool has_session;
	bool is_joined; // the next header has to follow
	bool is_open;   // a message goes on in the next packet
};

/* Counts the header and checks it against the ones before.  0, or -EBADMSG with the reason in
 * `error`.  Start with a zeroed struct. */
must_check int packet_check_add(struct packet_check *check, const struct packet_header *header,
				struct errmsg *error);

/* The connection was lost: what comes next need not follow what came.  `cut` is the header of a
 * packet of which some is missing, or NULL; its messages then count as not come. */
void packet_check_part(struct packet_check *check, const struct packet_header *cut);

/* The session of the lost connection goes on with this header, which is to be given to
 * packet_check_rejoin() before it is added.  That may be later than the first one: a relay that was
 * started anew has a session of its own until its publisher is there. */
bool packet_check_goes_on(const struct packet_check *check, const struct packet_header *header);

/* With such a header, or the first of a new connection: sets `told` to what was missed between, in
 * words, and counts it. */
void packet_check_rejoin(struct packet_check *check, const struct packet_header *header,
			 struct errmsg *told);

/* All messages of this packet came before the connection was lost.  Ask before it is added. */
bool packet_check_is_known(const struct packet_check *check, const struct packet_header *header);
