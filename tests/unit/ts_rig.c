// SPDX-License-Identifier: MIT
/* Packets of two PIDs, with their counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/ts_rig.h"

void ts_rig_put(uint8_t packet[TS_PACKET_BYTES], unsigned number, uint32_t seed)
{
	unsigned is_audio = number % 4 == 3;
	unsigned pid = is_audio ? TS_RIG_AUDIO_PID : TS_RIG_VIDEO_PID;
	unsigned counter = is_audio ? number / 4 : number - number / 4;

	packet[0] = 0x47;
	packet[1] = (uint8_t)(pid >> 8);
	packet[2] = (uint8_t)pid;
	packet[3] = 0x10 | (counter & 0xf);
	for (size_t i = 4; i < TS_PACKET_BYTES; i++) {
		seed = seed * 1664525 + 1013904223 + number;
		packet[i] = (uint8_t)(seed >> 24);
		if (packet[i] == 0x47)
			packet[i] = 0x48;
	}
}

uint8_t *ts_rig_make(size_t packets, uint32_t seed)
{
	uint8_t *bytes = malloc(packets * TS_PACKET_BYTES);

	assert_non_null(bytes);
	for (size_t i = 0; i < packets; i++)
		ts_rig_put(bytes + i * TS_PACKET_BYTES, (unsigned)i, seed);
	return bytes;
}

void ts_rig_begin_tables(uint8_t packet[TS_PACKET_BYTES])
{
	packet[1] = 0x40;
	packet[2] = 0;
}

void ts_rig_begin_pes(uint8_t packet[TS_PACKET_BYTES], uint8_t stream_id, uint8_t field_bytes,
		      bool is_random_access)
{
	static const uint8_t start_code[] = {0, 0, 1};
	size_t payload = 5u + field_bytes;

	packet[1] |= 0x40;
	packet[3] |= 0x30;
	packet[4] = field_bytes;
	packet[5] = is_random_access ? 0x40 : 0;
	memcpy(packet + payload, start_code, sizeof(start_code));
	packet[payload + 3] = stream_id;
}
