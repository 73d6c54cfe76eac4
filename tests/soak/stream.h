// SPDX-License-Identifier: MIT
/*
 * Position-coded streams: each aligned block of 16 bytes is its own offset, little-endian, and a
 * value made of the offset and the stream's seed. A reader that joins anywhere can check every
 * byte: a stale page shows an old offset, a hole or a duplicate a jump, another stream another
 * value.
 */
#ifndef SOAK_STREAM_H
#define SOAK_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#define STREAM_BLOCK_BYTES 16

/* Writes `bytes` of the stream from offset on; both are multiples of 16. */
void stream_fill(uint64_t seed, uint64_t offset, uint8_t *out, uint64_t bytes);

/* A reader's place in a stream. All zero: at no place yet; the first block tells. */
struct stream_check {
	bool is_located;
	uint8_t have; /* bytes of the block under way */
	uint64_t offset;
	uint64_t start;
	uint8_t block[STREAM_BLOCK_BYTES];
};

/* The reader got these bytes next. Returns 0, or -EBADMSG when they are not the stream's. */
int stream_check_bytes(struct stream_check *check, uint64_t seed, const uint8_t *bytes,
		       uint64_t count);

#endif
