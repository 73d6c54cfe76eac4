// SPDX-License-Identifier: MIT
/*
 * A ring's record, as the next process finds it.
 *
 * The input is edits of a small record that is right; its sums are put right again, else nothing
 * but the first check would ever be seen.  The first byte says which record it is (bit 0: one
 * with pipes), whether the sums are left (bit 1), and whether the ring that is made of it goes on
 * in the same memory (bit 2).  What is read holds together, and a ring made of it goes on, and
 * leaves nothing behind.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/compiler.h"
#include "pipe/pipe_io.h"
#include "ring/cursor.h"
#include "ring/ring_kept.h"
#include "ring/ring_kept_layout.h"
#include "ring/ring_state.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/put_right.h"
#include "tests/unit/same_fds.h"

#define EXPECT(condition) fuzz_expect(condition, #condition)

enum {
	EDIT_BYTES = 5, // where (3 bytes), what to do, with which number
	SLOTS = 16,
	LONGEST = 20000,
	USED_PAGES = 40, // of the record, at most
	USED_SLOTS = 100,
	PACKETS = 12,
};

static const struct ring_params params = {.max_bytes = 64 << 10, .max_pipes = 4};

struct sample {
	struct ring ring;
	struct ring_record *record;
	struct pipe_pool pool;
	struct cursor held; // in a segment that the ring has given up
	uint8_t *map, *before;
	size_t bytes, used_bytes;
};

static void append(struct ring *ring, size_t bytes, unsigned tag)
{
	static uint8_t text[LONGEST];
	const struct iovec part = {text, bytes};
	const struct ring_packet packet = {.first_seq = ring->next_seq,
					   .next_seq = ring->next_seq + 1,
					   .count = 1,
					   .arrived_ns = ring->next_seq};

	EXPECT(ring_append_copy(ring, &part, 1, &packet, tag) == 0);
}

static void append_pipe(struct sample *sample)
{
	static const uint8_t text[500];
	const struct ring_packet packet = {.first_seq = sample->ring.next_seq,
					   .next_seq = sample->ring.next_seq + 1,
					   .count = 1,
					   .arrived_ns = sample->ring.next_seq};
	struct pipe pipe;
	size_t written;
	int err;

	EXPECT(pipe_pool_get(&sample->pool, &pipe) == 0);
	EXPECT(pipe_write(&pipe, text, sizeof(text), &written, &err) == PIPE_IO_OK);
	EXPECT(ring_append_pipes(&sample->ring, &pipe, 1, &sample->pool, &packet, 0) == 0);
}

static void open_sample(struct sample *sample, bool has_pipes)
{
	struct ring_record_layout layout;
	const struct ring_record_head *head;

	ring_init(&sample->ring, &params);
	EXPECT(pipe_pool_init(&sample->pool, SLOTS, 8, 2) == 0);
	EXPECT(ring_record_new(&params, LONGEST, &sample->record) == 0);
	ring_set_record(&sample->ring, sample->record);
	for (unsigned i = 0; i < PACKETS; i++) {
		append(&sample->ring, 1 + i * i * 100, i % 5 == 0);
		if (i == 2)
			cursor_join_past(&sample->held, &sample->ring, UINT64_MAX, 0);
		if (has_pipes && i % 4 == 0)
			append_pipe(sample);
	}
	sample->ring.params.max_bytes /= 2;
	ring_trim(&sample->ring, UINT64_MAX);
	for (unsigned i = 0; i < 3 * PACKETS; i++)
		append(&sample->ring, 3, 1); // many in a growing block
	sample->bytes = (size_t)lseek(ring_record_fd(sample->record), 0, SEEK_END);
	sample->map = mmap(NULL, sample->bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			   ring_record_fd(sample->record), 0);
	EXPECT(sample->map != MAP_FAILED);
	head = (const void *)sample->map;
	layout = ring_record_layout(head->slot_count, head->page_count);
	sample->used_bytes = layout.pages_offset + USED_PAGES * RING_RECORD_PAGE_BYTES;
	sample->before = malloc(sample->used_bytes);
	memcpy(sample->before, sample->map, sample->used_bytes);
}

// As it was, whatever another ring has done in it.
static void restore(const struct sample *sample)
{
	size_t slots_end = ring_record_layout(0, 0).slots_offset +
			   USED_SLOTS * sizeof(struct ring_record_slot);
	size_t pages = sample->used_bytes - USED_PAGES * RING_RECORD_PAGE_BYTES;

	memcpy(sample->map, sample->before, slots_end);
	memcpy(sample->map + pages, sample->before + pages, sample->used_bytes - pages);
}

// In the head, in the slots that are used, or in the first pages.
static size_t place(const struct sample *sample, const uint8_t *edit)
{
	const struct ring_record_head *head = (const void *)sample->before;
	struct ring_record_layout layout = ring_record_layout(head->slot_count, head->page_count);
	size_t at = (size_t)(edit[0] | edit[1] << 8 | (edit[2] & 0x3f) << 16);

	switch (edit[2] >> 6) {
	case 0:
		return at % sizeof(*head);
	case 1:
	case 2:
		return layout.slots_offset +
		       at % (head->slots_used * sizeof(struct ring_record_slot));
	default:
		return layout.pages_offset + at % (USED_PAGES * RING_RECORD_PAGE_BYTES);
	}
}

static void edit(const struct sample *sample, const uint8_t *how)
{
	size_t at = place(sample, how);
	uint64_t number;

	switch (how[3] % 4) {
	case 0:
		sample->map[at] ^= (uint8_t)(1U << how[4] % 8);
		break;
	case 1:
		sample->map[at] = how[4];
		break;
	case 2: // a number that is a little larger or smaller
		at -= at % sizeof(number);
		memcpy(&number, sample->map + at, sizeof(number));
		number += (uint64_t)(int64_t)(int8_t)how[4];
		memcpy(sample->map + at, &number, sizeof(number));
		break;
	default: // one that stands elsewhere
		at -= at % sizeof(number);
		memcpy(sample->map + at,
		       sample->before + (at + how[4] * sizeof(number)) % (sample->used_bytes / 2),
		       sizeof(number));
		break;
	}
}

static void read_blocks(const struct ring_state *state)
{
	for (size_t i = 0; i < state->segment_count; i++) {
		const volatile uint8_t *block = state->segments[i].block;

		for (size_t j = 0; block && j < state->segments[i].length; j += 64)
			(void)block[j];
	}
}

// What comes now is in the record, behind what was there.
static void publish(struct ring *ring, const struct ring_record *record)
{
	struct kept_fds none = {.count = 0};
	struct ring_record_map map;
	struct ring_state state;

	for (unsigned i = 0; i < PACKETS; i++) {
		append(ring, 1 + i * i * 100, i % 3 == 0);
		if (i % 4 == 3)
			ring_trim(ring, UINT64_MAX);
	}
	EXPECT(ring_record_read(ring_record_fd(record), &none, &state, &map) == 0);
	EXPECT(!ring_state_fault(&state));
	EXPECT(state.end_pos == ring->end_pos && state.next_index == ring->next_index);
	EXPECT(state.start_pos == ring->start_pos);
	ring_state_free(&state);
	ring_record_close(&map);
}

static void go_on(struct ring_state *state, const struct ring_record_map *map, bool adopts)
{
	struct ring_restored restored;
	struct ring_record *record;
	struct pipe_pool pool;
	struct ring ring;

	ring_init(&ring, &params);
	EXPECT(pipe_pool_init(&pool, SLOTS, 8, 2) == 0);
	EXPECT(ring_record_new(&params, LONGEST, &record) == 0);
	ring_set_record(&ring, record);
	if (adopts)
		ring_record_adopt(record, state, map);
	EXPECT(ring_restore(&ring, state, &pool, SLOTS, &restored) == 0);
	// Where no number is as good as used up, as it never is in this world.
	if ((ring.end_pos | ring.next_index | ring.next_seq | ring.message_count) >> 62 == 0)
		publish(&ring, record);
	ring_restored_drop(&restored);
	ring_clear(&ring);
	EXPECT(ring_record_is_empty(record));
	ring_record_free(&record);
	pipe_pool_fini(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	static struct sample samples[2];
	static struct same_fds same;
	struct kept_fds none = {.count = 0};
	struct sample *sample;
	struct ring_record_map map;
	struct ring_state state;

	if (count == 0)
		return 0;
	if (!samples[0].map) {
		open_sample(&samples[0], false);
		open_sample(&samples[1], true);
	}
	sample = &samples[bytes[0] & 1];
	restore(sample);
	for (size_t at = 1; at + EDIT_BYTES <= count; at += EDIT_BYTES)
		edit(sample, bytes + at);
	if (!(bytes[0] & 2))
		put_right_ring(sample->map, sample->bytes);
	if (ring_record_read(ring_record_fd(sample->record), bytes[0] & 1 ? same_fds(&same) : &none,
			     &state, &map) < 0) {
		EXPECT(!state.segments && !map.start);
		return 0;
	}
	EXPECT(!ring_state_fault(&state));
	read_blocks(&state);
	if (!(bytes[0] & 1)) // pipes would be closed
		go_on(&state, &map, bytes[0] & 4);
	ring_state_free(&state);
	ring_record_close(&map);
	return 0;
}
