// SPDX-License-Identifier: MIT
/*
 * The index of a history file: where what begins in it.
 *
 *   a head of 32 bytes, then entries of 32 bytes, all in network byte order:
 *
 *    0  sequence    8  time    16  offset    24  session    28  CRC-32C of the bytes since the entry before
 *
 * An entry stands for a packet, at the offset where it begins.  There is one for the first packet,
 * and one for each packet that begins HISTORY_INDEX_BYTES or HISTORY_INDEX_NS behind the entry
 * before.  Time never goes back: where the clock did, it is taken to have stood still.  The last
 * entry of a file that has been closed for good is its end: it stands behind the last packet, has
 * the sequence that comes next, and its offset has the highest bit set.
 *
 * The rules depend on the file only, so an index that is lost can be made anew, and is the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/packet_header.h"

enum {
	HISTORY_INDEX_BYTES = 64 * 1024,
	HISTORY_INDEX_NS = 100 * 1000 * 1000,
	HISTORY_ENTRY_BYTES = 32,
};

struct history_entry {
	uint64_t sequence; /* of a data packet's first message; of a gap, of the first one missed */
	uint64_t time_ns;  /* wall clock */
	uint64_t offset;   /* in the file */
	uint32_t session;
	uint32_t crc; /* of the bytes since the entry before; 0 in the first one */
	bool is_end;
};
