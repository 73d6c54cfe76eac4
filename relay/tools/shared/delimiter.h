// SPDX-License-Identifier: MIT
/* How a message is delimited on the wire: none, line (LF), u16be, u16le, u32be, u32le (the length
 * of the body before it), relay (a packet header before it).
 *
 * struct delimiter_scan takes a stream apart again; it does not do `relay`, which is
 * packet_reader's work.  Pure: no I/O, no clock. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum delimiter {
	DELIMITER_NONE,
	DELIMITER_LINE,
	DELIMITER_U16BE,
	DELIMITER_U16LE,
	DELIMITER_U32BE,
	DELIMITER_U32LE,
	DELIMITER_RELAY,
};

/* "none", "line", ... ; 0 or -EINVAL. */
must_check int delimiter_parse(const char *name, enum delimiter *ret_kind);

/* Bytes before and behind a body. */
size_t delimiter_head_bytes(enum delimiter kind);
size_t delimiter_tail_bytes(enum delimiter kind);

/* The largest body that the length field can say. */
size_t delimiter_max_body(enum delimiter kind);

/* Writes head or tail for a body of `size`, which is at most delimiter_max_body().  Nothing is
 * written for `relay`: its header says more than a length. */
void delimiter_put_head(enum delimiter kind, size_t size, uint8_t *out);
void delimiter_put_tail(enum delimiter kind, uint8_t *out);

/* A place in a delimited stream. */
struct delimiter_scan {
	enum delimiter kind; // any but relay
	uint64_t body_left;  // of a length-prefixed message
	uint8_t prefix[4];
	uint8_t prefix_bytes; // of the next prefix that have come
	bool in_line;         // some of a line has come
};

struct delimiter_piece {
	const uint8_t *body; // points into the scanned bytes
	size_t body_bytes;   // may be 0
	bool ends;           // a message ends behind it
};

/* Takes one step from the start of `bytes` and returns how many of them it took, always more than
 * 0 when size is.  Start with a struct that is zero but for `kind`. */
size_t delimiter_scan_next(struct delimiter_scan *scan, const uint8_t *bytes, size_t size,
			   struct delimiter_piece *ret_piece);

/* Between two messages, where a stream may end; always so with `none`. */
bool delimiter_scan_is_between(const struct delimiter_scan *scan);
