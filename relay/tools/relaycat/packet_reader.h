// SPDX-License-Identifier: MIT
/* Takes the framed format apart: bytes in any pieces become headers and pieces of payload.
 *
 * Payload is never copied or kept; a header that is cut anywhere is put together here.  Whether
 * one header may follow another is left to packet_check.  Pure: no I/O. */
#pragma once

#include "base/compiler.h"
#include "base/packet_header.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct packet_reader {
	struct packet_header header; // of the packet that is being read
	uint32_t payload_left;
	uint8_t raw_bytes; // of the next header that have come
	uint8_t raw[PACKET_HEADER_BYTES];
};

struct packet_piece {
	bool is_header;         // a header has come: see packet_reader.header
	const uint8_t *payload; // points into the bytes given
	size_t payload_bytes;
	bool ends; // the packet is complete
};

/* Takes one step from the start of `bytes`, sets *ret_used to the bytes that it took (more than 0
 * when size is) and *ret_piece to what came of it; a piece may be empty.  Returns 0 or as
 * packet_header_decode(), after which the reader cannot go on.  Start with a zeroed struct. */
must_check int packet_reader_next(struct packet_reader *reader, const uint8_t *bytes, size_t size,
				  size_t *ret_used, struct packet_piece *ret_piece);

/* Between two packets, where a stream may end. */
bool packet_reader_is_between(const struct packet_reader *reader);
