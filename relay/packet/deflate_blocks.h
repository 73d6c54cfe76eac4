// SPDX-License-Identifier: MIT
/*
 * Blocks of deflate (RFC 1951), for formats that compress.  zlib makes them.
 *
 * Each piece is compressed by itself.  It ends at a byte and is not the last of its stream.  So
 * pieces can stand behind one another in any number, and a reader can begin with any of them: none
 * needs what came before it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "base/compiler.h"

enum {
	DEFLATE_WINDOW_BITS = 15, /* of the largest window that a reader needs */
	/* zlib ends each piece with a block of no bytes (RFC 7692, 7.2.1): its last bytes are 00 00
	 * ff ff. */
	DEFLATE_END_BYTES = 4,
};

/* Prepares to compress pieces, most of them at most `bytes` long.  zlib takes 10 to 270 KiB of
 * memory, as much as such a piece is worth, until deflate_close().  False: there is none, and
 * nothing is to be closed. */
must_check bool deflate_open(z_stream *stream, size_t bytes);

void deflate_close(z_stream *stream);

/* Compresses one piece.  Returns the bytes in `out`, without the DEFLATE_END_BYTES that stand there
 * behind them.  0: they would not be fewer than `count`, and what is in `out` is of no use.  `out`
 * has room for count + DEFLATE_END_BYTES. */
must_check size_t deflate_piece(z_stream *stream, const uint8_t *bytes, size_t count, uint8_t *out);

/* Writes one piece uncompressed (RFC 1951, 3.2.4), which takes no memory.  Returns its bytes:
 * count, and 5 for each 65,535 or part of them.  Only measured while `out` is NULL. */
size_t deflate_store(const uint8_t *bytes, size_t count, uint8_t *out);
