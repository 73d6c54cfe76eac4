// SPDX-License-Identifier: MIT
/* Reads what a compressing encoder made, by zlib's inflate: what its plain twin would have made.
 * Fails the running test where it cannot be read. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct inflate_wire {
	uint8_t *bytes; // malloc'ed
	size_t size;
	unsigned compressed; // messages or chunks that were
};

// WebSocket frames: each message is inflated by itself, and stands there as an uncompressed frame
// would.
struct inflate_wire inflate_rig_frames(const uint8_t *wire, size_t size);

// Chunks: their blocks are inflated as one stream that begins with the first of them, perhaps in
// its middle.
struct inflate_wire inflate_rig_chunks(const uint8_t *wire, size_t size);
