// SPDX-License-Identifier: MIT
/* Whether the headers of a framed stream follow one another as relay promises: no message missing
 * unless a gap announced it, none twice, one session until its end is said.
 *
 * Pure; it sees headers only, so that a length is wrong shows as a header that packet_reader
 * cannot decode.  After an error it goes on from what the header says. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"
#include "base/packet_header.h"

#include <stdbool.h>
#include <stdint.h>

struct packet_check {
	uint64_t packets;  // data packets
	uint64_t messages; // that ended
	uint64_t gaps;     // announced
	uint64_t missed;   // messages in them
	uint64_t next;     // sequence to come, once is_joined
	uint32_t session;
	bool is_joined;
	bool is_open; // a message goes on in the next packet
};

/* Counts the header and checks it against the ones before.  0, or -EBADMSG with the reason in
 * `error`.  Start with a zeroed struct. */
must_check int packet_check_add(struct packet_check *check, const struct packet_header *header,
				struct errmsg *error);
