// SPDX-License-Identifier: MIT
/*
 * Transport streams for tests: packets of 188 bytes as a multiplexer makes them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "table/framing.h"

enum {
	TS_RIG_VIDEO_PID = 0x100,
	TS_RIG_AUDIO_PID = 0x101,
};

// The packet `number` of a stream: of every four, one is audio.  Its payload is made of bytes that
// follow from `seed`; 0x47 is none of them.
void ts_rig_put(uint8_t packet[TS_PACKET_BYTES], unsigned number, uint32_t seed);

// So many of them, malloc'ed.
uint8_t *ts_rig_make(size_t packets, uint32_t seed);
