// SPDX-License-Identifier: MIT
/*
 * The chunks in which HTTP/1.1 sends a body of unknown length (RFC 9112, 7.1), for the encoders
 * that do so; and what a body of gzip begins with.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "table/close_reason.h"

enum {
	CHUNK_HEAD_MAX = 18, /* 16 digits, CR LF */
};

#define CHUNK_END "\r\n" /* behind the data of each chunk */

/* The head of a chunk of `bytes` > 0 data bytes; returns its length. */
size_t chunk_head(uint64_t bytes, uint8_t out[CHUNK_HEAD_MAX]);

/* The chunk with the head of gzip (RFC 1952, 2.3), which comes before all of an encoder that
 * compresses. */
#define CHUNK_GZIP_HEAD       "a\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff\r\n"
#define CHUNK_GZIP_HEAD_BYTES (sizeof(CHUNK_GZIP_HEAD) - 1)

/* The last chunk, if `reason` makes a clean end; else 0 bytes.  Returns its length. */
size_t chunk_last(enum close_reason reason, uint8_t *out);
