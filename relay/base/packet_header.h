// SPDX-License-Identifier: MIT
/*
 * The 32-byte header of the framed format, as it is on the wire.
 *
 *	 0  "RLY1"      4  type      5  flags     6  count     8  length    12  session
 *	16  sequence   24  time      all in network byte order
 *
 * This is the one place that knows the layout; what the fields of a stream of packets have to do
 * with one another (sequence follows sequence) is left to those who read the stream.
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

#define PACKET_HEADER_BYTES 32

/* Flag: the last message in this packet goes on in the next one. */
#define PACKET_FLAG_CONTINUED 1

/* Flag of a gap: nobody has lost anything.  The source has no messages with these numbers, as where
 * a stream is read through a filter. */
#define PACKET_FLAG_HOLE 2

/* Flag of a heartbeat: the subscriber is let go, nothing comes behind it.  The sequence goes on,
 * best at another address. */
#define PACKET_FLAG_MOVED 4

enum packet_type {
	PACKET_DATA = 0,
	PACKET_HEARTBEAT = 1,
	PACKET_GAP = 2,
	PACKET_END = 3, /* of the session */
	PACKET_SOURCE_DOWN = 4,
	PACKET_SOURCE_UP = 5,
};

struct packet_header {
	uint8_t type; /* enum packet_type */
	uint8_t flags;
	uint16_t count;  /* messages that end in this packet, so the next packet's sequence is
			    sequence + count; a message that is left open is not counted */
	uint32_t length; /* payload bytes that follow; 0 in all but data */
	uint32_t session;
	uint64_t sequence; /* data: of the first message that ends here or is left open;
			      gap: of the first message missed; else: of the next one to come */
	uint64_t time;     /* nanoseconds since 1970 UTC; gap: sequence of the first message after
			      it */
};

/* Any header is written as it is; whether it makes sense is the caller's business. */
void packet_header_encode(const struct packet_header *header, uint8_t out[PACKET_HEADER_BYTES]);

/* Returns 0; -EPROTO when `in` does not start with the magic; -EINVAL for an unknown type, a count,
 * a length or CONTINUED in anything but data, data that neither ends nor leaves open a message, a
 * sequence that passes 2^64, or a gap that does not go forward. Unknown flags are passed on.
 * *ret_header is set on 0 only. */
int packet_header_decode(const uint8_t in[PACKET_HEADER_BYTES],
			 struct packet_header *ret_header) must_check;

/* The sequence behind the packet. */
static inline uint64_t packet_header_next_seq(const struct packet_header *header)
{
	return header->type == PACKET_GAP ? header->time : header->sequence + header->count;
}

/* "data", "heartbeat", ...; "unknown" for anything else. A static string. */
const char *packet_type_name(uint8_t type);
