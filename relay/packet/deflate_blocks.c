// SPDX-License-Identifier: MIT
/*
 * Blocks of deflate.
 *
 * zlib's fastest level: it runs where packets are published.  The others make the result a tenth
 * smaller and take two to three times as long.  A window as large as the piece loses nothing, since
 * nothing before the piece is referred to; so small pieces take little memory, and to begin costs
 * next to nothing beside the compression.
 */
#include "packet/deflate_blocks.h"

#include <string.h>

#include "base/compiler.h"

enum {
	WINDOW_BITS_MIN = 9, /* for blocks alone zlib takes no less */
	MEMORY_LEVEL_MAX = 8,
	WINDOW_BITS_PER_LEVEL = 7, /* a hash table of as many entries as the window has bytes */
	STORED_MAX = 65535,
	STORED_HEAD_BYTES = 5,
};

static int window_bits_of(size_t bytes)
{
	int bits = WINDOW_BITS_MIN;

	while (bits < DEFLATE_WINDOW_BITS && (size_t)1 << bits < bytes)
		bits++;
	return bits;
}

bool deflate_open(z_stream *stream, size_t bytes)
{
	int window_bits = window_bits_of(bytes);
	int memory_level = window_bits - WINDOW_BITS_PER_LEVEL;

	*stream = (z_stream){.next_in = NULL};
	/* A negative number: blocks, with nothing around them. */
	return deflateInit2(stream, Z_BEST_SPEED, Z_DEFLATED, -window_bits,
			    memory_level < MEMORY_LEVEL_MAX ? memory_level : MEMORY_LEVEL_MAX,
			    Z_DEFAULT_STRATEGY) == Z_OK;
}

void deflate_close(z_stream *stream)
{
	(void)deflateEnd(stream);
}

size_t deflate_piece(z_stream *stream, const uint8_t *bytes, size_t count, uint8_t *out)
{
	size_t room = count + DEFLATE_END_BYTES;

	if (room > UINT32_MAX || deflateReset(stream) != Z_OK)
		return 0;
	stream->next_in = (z_const Bytef *)(uintptr_t)bytes;
	stream->avail_in = (uInt)count;
	stream->next_out = out;
	stream->avail_out = (uInt)room;
	/* All is written once there is room left. */
	if (deflate(stream, Z_SYNC_FLUSH) != Z_OK || !stream->avail_out)
		return 0;
	return room - stream->avail_out - DEFLATE_END_BYTES;
}

static size_t store_block(const uint8_t *bytes, uint16_t count, uint8_t *out)
{
	const uint8_t head[STORED_HEAD_BYTES] = {
		0, (uint8_t)count, (uint8_t)(count >> 8), (uint8_t)~count, (uint8_t)(~count >> 8),
	};

	if (out) {
		memcpy(out, head, sizeof(head));
		memcpy(out + sizeof(head), bytes, count);
	}
	return sizeof(head) + count;
}

size_t deflate_store(const uint8_t *bytes, size_t count, uint8_t *out)
{
	size_t at = 0, stored = 0;

	while (at < count) {
		uint16_t piece = (uint16_t)size_min(count - at, STORED_MAX);

		stored += store_block(bytes + at, piece, out ? out + stored : NULL);
		at += piece;
	}
	return stored;
}
