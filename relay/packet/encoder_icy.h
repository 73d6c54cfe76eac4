// SPDX-License-Identifier: MIT
/*
 * ICY: a stream of audio with a title in it, as SHOUTcast and Icecast send it to players that ask.
 *
 *	ICY_INTERVAL bytes of audio, a block, ICY_INTERVAL bytes of audio, a block, ...
 *
 * A block is a byte L and 16 * L bytes: StreamTitle='...'; and zero bytes.  A player counts from
 * its first byte.  All blocks here are of one length, and each has the title.  So the position in
 * the rendition alone says where a block comes.  All players share the same bytes, and one that
 * begins right behind a block counts as all others do.
 */
#pragma once

#include <stdint.h>

enum {
	ICY_INTERVAL = 16000,
	ICY_BLOCK_BYTES = 1 + 16 * 16,
	ICY_TITLE_BYTES = 240, /* the longest title, without a zero byte */
};

/* Writes the block with this title, which is not longer than ICY_TITLE_BYTES. */
void icy_write_block(const char *title, uint8_t out[ICY_BLOCK_BYTES]);
