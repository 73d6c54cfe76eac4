// SPDX-License-Identifier: MIT
/*
 * Packets of an MPEG transport stream (ISO/IEC 13818-1, 2.4.3): where they are in bytes that may
 * begin anywhere.
 *
 *   | 0x47 | flags, PID, counter (3) | adaptation field, payload (184) | 0x47 | ...
 *
 * For framing.c only.  Pure: no I/O.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

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
