// SPDX-License-Identifier: MIT
/*
 * Transport streams for tests: packets of 188 bytes as a multiplexer makes them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "table/framing.h"

enum {
	TS_RIG_VIDEO_PID = 0x100,
	TS_RIG_AUDIO_PID = 0x101,
	TS_RIG_VIDEO = 0xe0, // stream_id
	TS_RIG_AUDIO = 0xc0,
};

// The packet `number` of a stream: of every four, one is audio.  Its payload is made of bytes that
// follow from `seed`; 0x47 is none of them.
void ts_rig_put(uint8_t packet[TS_PACKET_BYTES], unsigned number, uint32_t seed);

// So many of them, malloc'ed.
uint8_t *ts_rig_make(size_t packets, uint32_t seed);

// Turns a packet into one that begins the tables; or a PES packet of this stream_id, which has an
// adaptation field of so many bytes (1 at least), with random_access_indicator or without.
void ts_rig_begin_tables(uint8_t packet[TS_PACKET_BYTES]);
void ts_rig_begin_pes(uint8_t packet[TS_PACKET_BYTES], uint8_t stream_id, uint8_t field_bytes,
		      bool is_random_access);
