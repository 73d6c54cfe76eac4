// SPDX-License-Identifier: MIT
/*
 * Packets of an MPEG transport stream (ISO/IEC 13818-1, 2.4.3): where they are in bytes that may
 * begin anywhere, and what a player can begin with.
 *
 *   | 0x47 | flags, PID, counter (3) | adaptation field, payload (184) | 0x47 | ...
 *
 * For framing.h only.  Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/packet.h"

enum {
	TS_SYNC_BYTE = 0x47,
};

enum ts_found {
	TS_FOUND_NONE, /* not yet */
	TS_FOUND_188,
	TS_FOUND_192, /* with a time before each packet, as recorders write them (M2TS) */
	TS_FOUND_204, /* with 16 bytes behind each that correct errors (DVB, ATSC)      */
};

/* Looks where packets begin, and how far apart they are.  *ret_passed: so many bytes at the front
 * belong to none.  What is found, a packet begins behind them.  TS_FOUND_NONE: what follows is not
 * known yet, and at most 1,024 bytes long.
 *
 * Of packets of 188 bytes, three sync bytes in a row are enough.  For the others it takes five,
 * since nobody may be sent away by chance. */
enum ts_found ts_find_packets(const uint8_t *bytes, size_t count, size_t *ret_passed);

/* What is to be known of a packet: the first bytes of it and of its payload.  All zero
 * at its start. */
struct ts_head {
	uint8_t seen;       /* bytes of the packet so far                               */
	uint8_t bytes[6];   /* header; length and flags of the adaptation field         */
	uint8_t payload[4]; /* where a PES packet begins: its start code and stream_id  */
};

/* Whose frames count.  All zero at the start of a stream. */
struct ts_video {
	bool is_known; /* there are pictures; else sound has key frames, too */
	uint16_t pid;
};

/* Goes on in a packet.  Returns how many of the bytes the head has needed: less than `count` or
 * none when it is complete. */
size_t ts_head_take(struct ts_head *head, const uint8_t *bytes, size_t count);
bool ts_head_is_complete(const struct ts_head *head);

/* Of a complete head.  A key frame begins where random_access_indicator is set (2.4.3.5), on the
 * PID whose PES packets are video (stream_id 0xe0 to 0xef; 2.4.3.7). */
enum media_start ts_media_start(const struct ts_head *head, struct ts_video *video);
