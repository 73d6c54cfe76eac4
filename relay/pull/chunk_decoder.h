// SPDX-License-Identifier: MIT
/*
 * The chunks of a body (RFC 9112, 7.1), taken apart where they stand.
 *
 *	SIZE [; extension] CRLF  payload CRLF  ...  0 CRLF  [trailer CRLF ...] CRLF
 *
 * Pure.  The bytes may be cut anywhere.  Read strictly, since who reads a size otherwise than
 * another program lets a request be hidden in a body: a line ends in CR LF only, a size has
 * hexadecimal digits only.  Extensions and trailers are passed over, up to a limit.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum {
	CHUNK_LINE_BYTES = 1024,    /* of a size with its extensions, at most */
	CHUNK_TRAILER_BYTES = 8192, /* of all trailers, at most */
};

/* All zero is at the start of a body. */
struct chunk_decoder {
	/* private: of the payload of this chunk, or the size that is being read */
	uint64_t left_bytes;
	uint32_t line_bytes; /* private: of the line, or of the trailers, so far */
	uint8_t step;        /* private */
	bool has_ended;      /* ro: the last chunk and its trailers are over */
	bool is_broken;      /* ro: these are no chunks, nothing more can be read */
};

/* Takes `count` bytes.  The payload among them is moved to the front; returns how much it is.
 * Behind the end of the body, and once it is broken, bytes are passed over. */
size_t chunk_decode(struct chunk_decoder *decoder, uint8_t *bytes, size_t count) must_check;
