// SPDX-License-Identifier: MIT
/*
 * The sink of an intake: who is given the packets that it has cut, and their payload.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake/engine.h"
#include "packet/packet.h"
#include "pipe/pipe.h"

enum payload_kind {
	PAYLOAD_COPY,  /* bytes that the giver keeps and will write again */
	PAYLOAD_PIPES, /* all of pipes[0 .. count-2], and of the last one the first last_bytes */
};

struct payload {
	enum payload_kind kind;
	enum engine engine;   /* that carries the packet                       */
	const uint8_t *bytes; /* as many as the packet is long; PIPES: NULL where nobody saw them */
	struct pipe *pipes;   /* PIPES */
	size_t count;
	size_t last_bytes;
};

struct packet_sink {
	void *owner;

	/* Takes one packet.  `payload` is NULL for all types but data.  With framing = relay the
	 * packet has session, first_seq and time_ns; else the sink sets them.  The bytes must be
	 * used or copied before it returns.  Pipes may be emptied, or given away: then PIPE_NONE
	 * stands in their place.  False: these messages have been there before.  The packet is then
	 * dropped, and the payload is as it was. */
	bool (*put_packet)(void *owner, struct packet *packet, struct payload *payload);
};
