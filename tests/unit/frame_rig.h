// SPDX-License-Identifier: MIT
/* Makes streams of RTCM 3 and Beast frames, by code of its own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "table/framing.h"

enum {
	FRAME_RIG_ROOM = 8192,
	FRAME_RIG_FRAMES = 64,
	FRAME_RIG_BEAST_TYPES = 7,
};

struct frame_rig {
	uint8_t bytes[FRAME_RIG_ROOM];
	size_t size;
	size_t ends[FRAME_RIG_FRAMES];
	size_t count;
};

// CRC-24Q, bit by bit.
uint32_t frame_rig_crc(const uint8_t *bytes, size_t count);

// One more frame: of a body of so many bytes, or of a type of Beast, whose body is `fill` alone.
void frame_rig_put_rtcm3(struct frame_rig *rig, size_t body, uint32_t seed);
void frame_rig_put_beast(struct frame_rig *rig, size_t type, uint8_t fill);

// FRAMING_RTCM3 or FRAMING_BEAST, of mixed lengths; bodies have first bytes of frames in them.
void frame_rig_make(struct frame_rig *rig, enum framing_kind kind, size_t count, uint32_t seed);
