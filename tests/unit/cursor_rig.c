// SPDX-License-Identifier: MIT
/* See cursor_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "pipe/pipe_io.h"
#include "tests/unit/cursor_rig.h"

void cursor_rig_open(struct cursor_rig *rig, size_t max_bytes)
{
	const struct ring_params params = {.max_bytes = max_bytes, .max_pipes = 100};

	*rig = (struct cursor_rig){.next_seq = 1, .arrived_ns = 1000};
	ring_init(&rig->ring, &params);
	assert_int_equal(pipe_pool_init(&rig->pool, 16, 1000, 1000), 0);
}

void cursor_rig_close(struct cursor_rig *rig)
{
	ring_clear(&rig->ring);
	assert_int_equal(rig->pool.open_count, rig->pool.idle_count);
	pipe_pool_fini(&rig->pool);
}

uint8_t cursor_rig_byte_at(uint64_t pos)
{
	return (uint8_t)(pos * 2654435761u >> 13);
}

struct ring_packet cursor_rig_next_packet(struct cursor_rig *rig)
{
	const struct ring_packet packet = {
		.first_seq = rig->next_seq,
		.next_seq = rig->next_seq + 2,
		.count = 2,
		.arrived_ns = rig->arrived_ns,
	};

	rig->next_seq += 2;
	rig->arrived_ns += 1000;
	return packet;
}

int cursor_rig_append_copy(struct ring *ring, uint8_t *bytes, size_t length,
			   const struct ring_packet *packet)
{
	const struct iovec part = {bytes, length};

	return ring_append_copy(ring, &part, 1, packet, 0);
}

void cursor_rig_put_copy(struct cursor_rig *rig, size_t length)
{
	uint8_t *bytes = malloc(length + 1);
	const struct ring_packet packet = cursor_rig_next_packet(rig);

	for (size_t i = 0; i < length; i++)
		bytes[i] = cursor_rig_byte_at(rig->ring.end_pos + i);
	assert_int_equal(cursor_rig_append_copy(&rig->ring, bytes, length, &packet), 0);
	free(bytes);
}

void cursor_rig_put_pipes(struct cursor_rig *rig, size_t count, size_t bytes_each)
{
	struct pipe pipes[4];
	const struct ring_packet packet = cursor_rig_next_packet(rig);
	uint64_t pos = rig->ring.end_pos;

	for (size_t i = 0; i < count; i++) {
		uint8_t bytes[4096];
		size_t n;
		int err;

		for (size_t k = 0; k < bytes_each; k++)
			bytes[k] = cursor_rig_byte_at(pos++);
		assert_int_equal(pipe_pool_get(&rig->pool, &pipes[i]), 0);
		assert_int_equal(pipe_write(&pipes[i], bytes, bytes_each, &n, &err), PIPE_IO_OK);
	}
	assert_int_equal(ring_append_pipes(&rig->ring, pipes, count, &rig->pool, &packet, 1), 0);
}

size_t cursor_rig_take(struct cursor *cursor, const struct ring *ring, size_t max)
{
	if (cursor_settle(cursor, ring) != CURSOR_UNREAD)
		return 0;

	const struct segment *segment = cursor_segment(cursor);
	const size_t offset = cursor_offset(cursor);
	const size_t n = size_min(max, segment->length - offset);

	assert_int_equal(cursor->pos, segment->start_pos + offset);
	for (size_t i = 0; segment->kind == SEGMENT_BLOCK && i < n; i++)
		assert_int_equal(segment->block[offset + i], cursor_rig_byte_at(cursor->pos + i));
	cursor_advance(cursor, n);
	return n;
}

void cursor_rig_take_all(struct cursor *cursor, const struct ring *ring, size_t piece)
{
	while (cursor_rig_take(cursor, ring, piece))
		;
}
