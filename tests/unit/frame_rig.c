// SPDX-License-Identifier: MIT
/* Frames are written byte by byte.  No cmocka: fuzz targets use it, too. */
#include "tests/unit/frame_rig.h"

#include <assert.h>

static const struct {
	uint8_t type;
	size_t body;
} beast[FRAME_RIG_BEAST_TYPES] = {{'1', 9},  {'2', 14}, {'3', 21}, {'4', 21},
				  {'5', 21}, {'P', 3},  {0xe3, 8}};

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void put(struct frame_rig *rig, uint8_t byte)
{
	assert(rig->size < FRAME_RIG_ROOM);
	rig->bytes[rig->size++] = byte;
}

static void end_frame(struct frame_rig *rig)
{
	assert(rig->count < FRAME_RIG_FRAMES);
	rig->ends[rig->count++] = rig->size;
}

uint32_t frame_rig_crc(const uint8_t *bytes, size_t count)
{
	uint32_t crc = 0;

	for (size_t i = 0; i < count; i++) {
		crc ^= (uint32_t)bytes[i] << 16;
		for (int bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc & 0x800000 ? 0x1864cfb : 0);
	}
	return crc & 0xffffff;
}

void frame_rig_put_rtcm3(struct frame_rig *rig, size_t body, uint32_t seed)
{
	size_t begin = rig->size;
	uint32_t crc;

	put(rig, 0xd3);
	put(rig, (uint8_t)(body >> 8));
	put(rig, (uint8_t)body);
	for (size_t i = 0; i < body; i++)
		put(rig, i % 5 ? (uint8_t)random_next(&seed) : 0xd3);
	crc = frame_rig_crc(rig->bytes + begin, rig->size - begin);
	put(rig, (uint8_t)(crc >> 16));
	put(rig, (uint8_t)(crc >> 8));
	put(rig, (uint8_t)crc);
	end_frame(rig);
}

static void put_beast_byte(struct frame_rig *rig, uint8_t byte)
{
	put(rig, byte);
	if (byte == 0x1a)
		put(rig, byte);
}

static void put_beast_head(struct frame_rig *rig, size_t type)
{
	put(rig, 0x1a);
	put(rig, beast[type].type);
}

void frame_rig_put_beast(struct frame_rig *rig, size_t type, uint8_t fill)
{
	put_beast_head(rig, type);
	for (size_t i = 0; i < beast[type].body; i++)
		put_beast_byte(rig, fill);
	end_frame(rig);
}

// Behind an 0x1a of the body, what would be a type.
static void put_random_beast(struct frame_rig *rig, uint32_t *seed)
{
	size_t type = random_next(seed) % FRAME_RIG_BEAST_TYPES;

	put_beast_head(rig, type);
	for (size_t i = 0; i < beast[type].body; i++)
		put_beast_byte(rig, i % 4 == 1   ? 0x1a
				    : i % 4 == 2 ? '3'
						 : (uint8_t)random_next(seed));
	end_frame(rig);
}

void frame_rig_make(struct frame_rig *rig, enum framing_kind kind, size_t count, uint32_t seed)
{
	*rig = (struct frame_rig){.size = 0};
	for (size_t i = 0; i < count; i++) {
		if (kind == FRAMING_RTCM3)
			frame_rig_put_rtcm3(rig, random_next(&seed) % 60, seed);
		else
			put_random_beast(rig, &seed);
	}
}
