// SPDX-License-Identifier: MIT
/*
 * splitmix64 over seed ^ offset. A block is compared when it is complete, so what a reader got of a
 * block that is not complete yet is checked with the next bytes.
 */
#include "stream.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static uint64_t mix(uint64_t value)
{
	value += UINT64_C(0x9e3779b97f4a7c15);
	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

static void make_block(uint64_t seed, uint64_t offset, uint8_t out[STREAM_BLOCK_BYTES])
{
	uint64_t words[2] = {htole64(offset), htole64(mix(seed ^ offset))};

	memcpy(out, words, sizeof(words));
}

void stream_fill(uint64_t seed, uint64_t offset, uint8_t *out, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += STREAM_BLOCK_BYTES)
		make_block(seed, offset + at, out + at);
}

static int check_block(struct stream_check *check, uint64_t seed, const uint8_t *block)
{
	uint8_t expected[STREAM_BLOCK_BYTES];

	if (!check->is_located) {
		uint64_t offset;

		memcpy(&offset, block, sizeof(offset));
		check->offset = check->start = le64toh(offset);
		check->is_located = true;
	}
	make_block(seed, check->offset, expected);
	if (memcmp(block, expected, sizeof(expected)) != 0)
		return -EBADMSG;
	check->offset += STREAM_BLOCK_BYTES;
	return 0;
}

int stream_check_bytes(struct stream_check *check, uint64_t seed, const uint8_t *bytes,
		       uint64_t count)
{
	while (count) {
		uint64_t part = STREAM_BLOCK_BYTES - check->have;

		part = part < count ? part : count;
		memcpy(check->block + check->have, bytes, part);
		check->have = (uint8_t)((check->have + part) % STREAM_BLOCK_BYTES);
		if (check->have == 0 && check_block(check, seed, check->block) < 0)
			return -EBADMSG;
		bytes += part;
		count -= part;
	}
	return 0;
}
