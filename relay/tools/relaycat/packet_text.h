// SPDX-License-Identifier: MIT
/* A packet's header in words.  Pure. */
#pragma once

#include "base/packet_header.h"

enum {
	PACKET_TEXT_BYTES = 256,
};

/* All fields, for --headers.  Returns buf. */
const char *packet_print_header(const struct packet_header *header, char buf[PACKET_TEXT_BYTES]);

/* What a person wants to know of a stream while it is running.  Returns buf; NULL: nothing. */
const char *packet_print_event(const struct packet_header *header, char buf[PACKET_TEXT_BYTES]);
