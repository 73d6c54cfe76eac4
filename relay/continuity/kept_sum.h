// SPDX-License-Identifier: MIT
/*
 * Sums over what lies in kept memory: where a bit of it has become another one, by a fault of the
 * machine or of the process that died, its sum does not fit any more.  Where a bound cannot tell a
 * wrong value, a sum does.  It is no help against intent.
 *
 * Two words at a time are multiplied, and both halves of the product count (some 2 ns).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t kept_sum_add(uint64_t sum, uint64_t first, uint64_t second)
{
	/* Any odd numbers with as many bits set as not. */
	unsigned __int128 product = (unsigned __int128)(sum ^ first ^ 0x6d5ad4c3b9378e1bU) *
				    (second ^ 0xb3c6a5925e974d63U);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Of any bytes; `seed` counts as well. */
static inline uint64_t kept_sum(uint64_t seed, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;
	uint64_t sum = seed, other = ~seed, length = count, words[4];

	/* Two sums beside each other, so that they need not wait for one another. */
	for (; count >= sizeof(words); count -= sizeof(words), at += sizeof(words)) {
		memcpy(words, at, sizeof(words));
		sum = kept_sum_add(sum, words[0], words[1]);
		other = kept_sum_add(other, words[2], words[3]);
	}
	memset(words, 0, sizeof(words));
	memcpy(words, at, count);
	sum = kept_sum_add(sum, words[0], words[1]);
	return kept_sum_add(sum, length, kept_sum_add(other, words[2], words[3]));
}

/* A number that says which of two copies holds, in one word with a sum of itself.  It is never 0:
 * that is memory nobody has written to, and of number 0. */
static inline uint64_t kept_stamp(uint32_t version)
{
	return (uint64_t)version << 32 | (uint32_t)((version + 1) * 0x9d2c5b81U);
}

static inline uint32_t kept_stamp_version(uint64_t stamp)
{
	return (uint32_t)(stamp >> 32);
}

static inline bool kept_stamp_is_whole(uint64_t stamp)
{
	return stamp == kept_stamp(kept_stamp_version(stamp));
}
