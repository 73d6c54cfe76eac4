// SPDX-License-Identifier: MIT
/*
 * A packet: what relay publishes at once.  One or more whole messages, or news about the feed.
 * Read this header first in packet/.
 *
 *   framing.h            where messages end in a publisher's bytes
 *   encoder.h            how a packet looks in a format; encoder_...c are the formats
 *   websocket_frame.h    frames of WebSocket, as relay sends them
 *
 * All of packet/ is pure: no descriptor, no clock, no feed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/packet_header.h"

/* What a packet begins with, to a media player (framing = ts). */
enum media_start {
	MEDIA_START_NONE,      /* nothing that is worth to begin with             */
	MEDIA_START_TABLES,    /* what says where sound and pictures are: the PAT */
	MEDIA_START_KEY_FRAME, /* a picture that needs none before it             */
};

#define PACKET_FEED_BYTES 64 /* of the name of a feed, at most */

struct framing_params;

/* Which feed of a combination a packet is from. */
struct packet_feed {
	const char *name;
	const struct framing_params *framing; /* of its messages, as they are published */
};

struct packet {
	enum packet_type type;
	uint8_t flags;  /* PACKET_FLAG_... */
	uint16_t count; /* messages that end in it */
	uint32_t session;
	uint64_t first_seq;  /* of its first message; in a gap, of the first one missed, 0: not
				known, for it belongs to another session */
	uint64_t time_ns;    /* wall clock; in a gap, sequence of the first one after it */
	uint64_t arrived_ns; /* monotonic, when relay published it; 0: just now */
	uint64_t length;     /* payload bytes */
	enum media_start media_start;
	const struct packet_feed *feed; /* NULL: there is only one */
};

/* The packet of such a header, as it was when it was written. */
static inline struct packet packet_of_header(const struct packet_header *header)
{
	return (struct packet){
		.type = (enum packet_type)header->type,
		.flags = header->flags,
		.count = header->count,
		.session = header->session,
		.first_seq = header->sequence,
		.time_ns = header->time,
		.length = header->length,
	};
}

/* The sequence behind it. */
static inline uint64_t packet_next_seq(const struct packet *packet)
{
	return packet->type == PACKET_GAP ? packet->time_ns : packet->first_seq + packet->count;
}

enum {
	SEQUENCE_FIRST = 1, /* of a session that relay numbers */
};

/* How far a feed is: what a branch has to know before packets make sense to it. */
struct sequence {
	uint32_t session;  /* see base/packet_header.h           */
	uint64_t next_seq; /* number of the next message to come */
	bool is_source_up; /* a publisher is there               */
};
