// SPDX-License-Identifier: MIT
/* How far a feed is: what a branch has to know before packets make sense to it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	SEQUENCE_FIRST = 1, /* of a session that relay numbers */
};

struct sequence {
	uint32_t session;  /* see base/packet_header.h           */
	uint64_t next_seq; /* number of the next message to come */
	bool is_source_up; /* a publisher is there               */
};
