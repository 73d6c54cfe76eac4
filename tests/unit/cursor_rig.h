// SPDX-License-Identifier: MIT
/*
 * A ring whose bytes are known by their position, and readers that check them.
 */
#ifndef TESTS_UNIT_CURSOR_RIG_H
#define TESTS_UNIT_CURSOR_RIG_H

#include "base/compiler.h"
#include "ring/cursor.h"

struct cursor_rig {
	struct ring ring;
	struct pipe_pool pool;
	uint64_t next_seq;
	uint64_t arrived_ns;
};

void cursor_rig_open(struct cursor_rig *rig, size_t max_bytes);
void cursor_rig_close(struct cursor_rig *rig);

uint8_t cursor_rig_byte_at(uint64_t pos);

// Of the next packet: two messages; the time goes on by 1000 with each.
struct ring_packet cursor_rig_next_packet(struct cursor_rig *rig);

int cursor_rig_append_copy(struct ring *ring, uint8_t *bytes, size_t length,
			   const struct ring_packet *packet);

// The next packet, copied into blocks, or in pipes.
void cursor_rig_put_copy(struct cursor_rig *rig, size_t length);
void cursor_rig_put_pipes(struct cursor_rig *rig, size_t count, size_t bytes_each);

// Reads up to `max` bytes; a pipe is not looked into, its length is enough.
size_t cursor_rig_take(struct cursor *cursor, const struct ring *ring, size_t max);

// Reads to the live edge.
void cursor_rig_take_all(struct cursor *cursor, const struct ring *ring, size_t piece);

#endif
