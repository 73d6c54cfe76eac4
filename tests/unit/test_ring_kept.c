// SPDX-License-Identifier: MIT
/*
 * A ring's record: what is read of it is the ring, for every kind of segment, also when there was
 * no room, and nothing but a fault for bytes that no ring has written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "ring/ring_kept_layout.h"
#include "tests/unit/pipe_rig.h"
#include "tests/unit/put_right.h"
#include "tests/unit/ring_kept_rig.h"
#include "tests/unit/same_fds.h"

enum {
	LONG_BYTES = 3000000,
	NEW_BLOCK_BYTES = 64 * 1024,
	ALTERNATING_BLOCKS = 4300, /* more than there are slots */
	CORRUPTED_ROUNDS = 6000,
};

struct read_back {
	struct ring_state state;
	struct ring_record_map map;
};

static struct read_back read_record(const struct ring_record *record)
{
	struct read_back ret;
	struct same_fds same;

	assert_int_equal(
		ring_record_read(ring_record_fd(record), same_fds(&same), &ret.state, &ret.map), 0);
	return ret;
}

static void free_read(struct read_back *read)
{
	ring_state_free(&read->state);
	ring_record_close(&read->map);
}

/* The record says what the ring is, and that it has all of it; `held`: segments that
 * only cursors hold. */
static void check_record(const struct ring *ring, struct segment *const *held, size_t held_count)
{
	struct read_back read = read_record(ring->record);
	const char *difference = rig_find_difference(ring, held, held_count, &read.state);

	if (difference)
		fail_msg("%s", difference);
	assert_true(ring_record_is_whole(ring));
	for (size_t i = 0; i < held_count; i++)
		assert_true(ring_record_has(held[i]));
	free_read(&read);
}

struct rig {
	struct ring ring;
	struct ring_record *record;
	struct pipe_pool pool;
	uint64_t sequence;
};

static void open_rig(struct rig *rig, size_t max_bytes, size_t max_pipes)
{
	const struct ring_params params = {.max_bytes = max_bytes, .max_pipes = max_pipes};

	*rig = (struct rig){.sequence = 1};
	ring_init(&rig->ring, &params);
	assert_int_equal(pipe_pool_init(&rig->pool, 16, 100, 4), 0);
	assert_int_equal(ring_record_new(&params, LONG_BYTES, &rig->record), 0);
	ring_set_record(&rig->ring, rig->record);
	check_record(&rig->ring, NULL, 0);
}

static void close_rig(struct rig *rig)
{
	ring_clear(&rig->ring);
	pipe_pool_fini(&rig->pool);
	ring_record_free(&rig->record);
	ring_record_free(&rig->record); // NULL inside is fine
}

static struct ring_packet next_packet(struct rig *rig)
{
	rig->sequence++;
	return (struct ring_packet){
		.first_seq = rig->sequence - 1,
		.next_seq = rig->sequence,
		.count = 1,
		.arrived_ns = rig->sequence * 1000,
		.media_start = (enum media_start)(rig->sequence % 3),
	};
}

static void append_copy(struct rig *rig, size_t bytes, unsigned tag)
{
	struct ring_packet packet = next_packet(rig);
	uint8_t *text = malloc(bytes + 1);
	struct iovec part = {text, bytes};

	assert_non_null(text);
	memset(text, (int)rig->sequence, bytes);
	assert_int_equal(ring_append_copy(&rig->ring, &part, 1, &packet, tag), 0);
	free(text);
}

static void append_pipes(struct rig *rig, size_t count)
{
	struct ring_packet packet = next_packet(rig);
	struct pipe pipes[4];

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(pipe_pool_get(&rig->pool, &pipes[i]), 0);
		pipe_rig_put_pieces(&pipes[i], 3, 100 + i);
	}
	assert_int_equal(ring_append_pipes(&rig->ring, pipes, count, &rig->pool, &packet, 2), 0);
}

static void every_kind_of_segment_is_recorded(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20, 100);
	append_copy(&rig, 10, 0);
	check_record(&rig.ring, NULL, 0);
	for (int i = 0; i < 3000; i++)
		append_copy(&rig, 10, 0); // marks of several pages, in a growing block
	check_record(&rig.ring, NULL, 0);
	append_copy(&rig, 0, 0);
	check_record(&rig.ring, NULL, 0);
	append_copy(&rig, 7, 1); // another owner's block
	check_record(&rig.ring, NULL, 0);
	append_pipes(&rig, 1);
	check_record(&rig.ring, NULL, 0);
	append_pipes(&rig, 3);
	check_record(&rig.ring, NULL, 0);
	append_copy(&rig, LONG_BYTES - 3000, 0); // in several blocks, of which the last one grows
	check_record(&rig.ring, NULL, 0);
	append_copy(&rig, 100, 0);
	check_record(&rig.ring, NULL, 0);
	ring_set_sequence(&rig.ring, 7, rig.sequence += 10);
	check_record(&rig.ring, NULL, 0);
	append_copy(&rig, 100, 0);
	check_record(&rig.ring, NULL, 0);
	ring_clear(&rig.ring);
	check_record(&rig.ring, NULL, 0);
	append_copy(&rig, 100, 0);
	check_record(&rig.ring, NULL, 0);
	close_rig(&rig);
}

static void pipes_that_become_blocks_are_recorded(void **state)
{
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20, 2);
	for (int i = 0; i < 20; i++) {
		append_pipes(&rig, 1 + (size_t)i % 3);
		check_record(&rig.ring, NULL, 0);
		ring_trim(&rig.ring, UINT64_MAX);
		check_record(&rig.ring, NULL, 0);
	}
	assert_int_equal(rig.ring.pipe_count, 2);
	assert_true(rig.ring.blocks_made > 30);
	close_rig(&rig);
}

// What is given up is recorded as long as a cursor stands in it, and no longer.
static void held_segments_are_recorded(void **state)
{
	struct segment *held[2];
	struct cursor cursors[2];
	struct rig rig;

	(void)state;
	open_rig(&rig, 2000, 100);
	append_pipes(&rig, 3);
	cursor_join_past(&cursors[0], &rig.ring, 0, 0);
	append_copy(&rig, 1200, 0);
	cursor_join_past(&cursors[1], &rig.ring, 1200, 0);
	append_copy(&rig, 10, 0);
	append_pipes(&rig, 2);
	append_copy(&rig, 1200, 1);
	ring_trim(&rig.ring, UINT64_MAX);
	held[0] = cursor_segment(&cursors[0]);
	held[1] = cursor_segment(&cursors[1]);
	assert_true(held[1]->index < ring_first_index(&rig.ring));
	check_record(&rig.ring, held, 2);
	assert_int_equal(ring_make_block(&rig.ring, held[0]), 0);
	check_record(&rig.ring, held, 2);
	cursor_leave(&cursors[0]);
	check_record(&rig.ring, held + 1, 1);
	// The newest one too, when the ring is cleared: it has grown since its slot was written.
	append_copy(&rig, 20, 1);
	cursor_leave(&cursors[1]);
	cursor_join_past(&cursors[1], &rig.ring, 20, 0);
	held[1] = cursor_segment(&cursors[1]);
	ring_clear(&rig.ring);
	check_record(&rig.ring, held + 1, 1);
	append_copy(&rig, 20, 1);
	check_record(&rig.ring, held + 1, 1);
	cursor_leave(&cursors[1]);
	check_record(&rig.ring, NULL, 0);
	close_rig(&rig);
}

// Every block its own, until there is neither room nor a slot: the ring goes on, the record knows
// less.
static void without_room_the_ring_goes_on(void **state)
{
	const struct segment_state *last;
	struct read_back read;
	struct rig rig;

	(void)state;
	open_rig(&rig, 10000, 100);
	for (unsigned i = 0; i < ALTERNATING_BLOCKS; i++)
		append_copy(&rig, 5, i % 2);
	assert_int_equal(rig.ring.segment_count, ALTERNATING_BLOCKS);
	read = read_record(rig.record);
	assert_int_equal(read.state.start_pos, rig.ring.end_pos);
	assert_int_equal(read.state.end_pos, rig.ring.end_pos);
	assert_true(read.state.segment_count > 100);
	assert_false(ring_record_is_whole(&rig.ring));
	assert_false(ring_record_has(ring_newest(&rig.ring)));
	assert_false(read.state.segments[read.state.segment_count - 1].is_retained);
	free_read(&read);
	// What comes when there is room again is retained in the record too.
	ring_trim(&rig.ring, UINT64_MAX);
	for (unsigned i = 0; i < 10; i++) {
		append_copy(&rig, 5, i % 2);
		ring_trim(&rig.ring, UINT64_MAX);
	}
	read = read_record(rig.record);
	last = &read.state.segments[read.state.segment_count - 1];
	assert_int_equal(last->index + 1, rig.ring.next_index);
	assert_true(last->is_retained);
	assert_true(read.state.start_pos > rig.ring.start_pos);
	free_read(&read);
	ring_clear(&rig.ring);
	append_copy(&rig, 5, 0);
	check_record(&rig.ring, NULL, 0);
	close_rig(&rig);
}

// In the room that is left a block fits, but what its packets need does not.
static void marks_without_room_hide_their_block(void **state)
{
	struct read_back read;
	struct rig rig;
	unsigned tag = 0;
	uint64_t end_pos;

	(void)state;
	open_rig(&rig, 1 << 20, 100);
	append_copy(&rig, NEW_BLOCK_BYTES, tag);
	for (;;) {
		append_copy(&rig, 40000, ++tag % 2); // its pages, exactly
		read = read_record(rig.record);
		if (read.state.start_pos > 0)
			break;
		free_read(&read);
	}
	free_read(&read);
	// The first block goes, and a new one takes its place; nothing is left for its marks.
	rig.ring.params.max_bytes = rig.ring.end_pos - NEW_BLOCK_BYTES;
	ring_trim(&rig.ring, UINT64_MAX);
	assert_int_equal(rig.ring.start_pos, NEW_BLOCK_BYTES);
	append_copy(&rig, 1, ++tag % 2);
	read = read_record(rig.record);
	assert_int_equal(read.state.start_pos + 1, rig.ring.end_pos);
	free_read(&read);
	end_pos = rig.ring.end_pos;
	for (int i = 0; i < 40000; i++)
		append_copy(&rig, 1, tag % 2);
	assert_int_equal(rig.ring.end_pos, end_pos + 40000);
	read = read_record(rig.record);
	assert_int_equal(read.state.end_pos, rig.ring.end_pos);
	assert_int_equal(read.state.start_pos, rig.ring.end_pos);
	free_read(&read);
	ring_clear(&rig.ring);
	append_copy(&rig, 5, 0);
	check_record(&rig.ring, NULL, 0);
	close_rig(&rig);
}

/* ---- what no ring has written ---- */

static int read_result(int memfd)
{
	struct kept_fds none = {.count = 0};
	struct ring_record_map map;
	struct ring_state state;
	int r = ring_record_read(memfd, &none, &state, &map);

	if (r < 0) {
		assert_null(state.segments);
		assert_null(map.start);
	}
	ring_state_free(&state);
	ring_record_close(&map);
	ring_record_close(&map);
	return r;
}

static void what_is_no_record_is_refused(void **state)
{
	const struct ring_params params = {.max_bytes = 1000, .max_pipes = 10};
	struct ring_record *record;
	struct ring_record_head *head;
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_int_equal(read_result(-1), -EBADMSG);
	assert_int_equal(read_result(STDIN_FILENO), -EBADMSG);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(read_result(fd), -EBADMSG); // could shrink
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(read_result(fd), -EBADMSG); // all zeros
	assert_int_equal(ring_record_new(&params, 1000, &record), 0);
	assert_int_equal(read_result(ring_record_fd(record)), -ENODATA);
	// A whole head, but of a longer memfd.
	head = mmap(NULL, sizeof(*head), PROT_READ, MAP_SHARED, ring_record_fd(record), 0);
	assert_true(head != MAP_FAILED);
	assert_int_equal(pwrite(fd, head, sizeof(*head), 0), sizeof(*head));
	assert_int_equal(read_result(fd), -EBADMSG);
	assert_int_equal(munmap(head, sizeof(*head)), 0);
	assert_int_equal(close(fd), 0);
	ring_record_free(&record);
	assert_int_equal(ring_record_new(&(struct ring_params){.max_bytes = SIZE_MAX}, 1, &record),
			 -ENOMEM);
	assert_null(record);
}

struct allowed {
	uint64_t random;
	int fds[400];
	size_t count;
};

/* What is none of the ring's descriptors is some of them, or gone. */
static struct kept_fds *any_pipes(struct allowed *allowed, struct same_fds *ret)
{
	struct kept_fds *list = same_fds(ret);

	for (int i = 0; i < SAME_FDS; i++)
		ret->fds[i] =
			rig_random_below(&allowed->random, 2)
				? allowed->fds[rig_random_below(&allowed->random, allowed->count)]
				: -1;
	for (size_t i = 0; i < allowed->count; i++)
		ret->fds[allowed->fds[i]] = allowed->fds[i];
	return list;
}

/* A block that is not all there would end this test. */
static void read_block(const volatile uint8_t *block, size_t length)
{
	for (size_t i = 0; i < length; i += 64)
		(void)block[i];
}

static void check_sound(const struct ring_state *state)
{
	assert_null(ring_state_fault(state));
	for (size_t i = 0; i < state->segment_count; i++) {
		const struct segment_state *segment = &state->segments[i];

		for (size_t j = 0; j < segment->mark_count; j++)
			assert_in_range(segment->marks[j].offset, 0, segment->length);
		if (segment->read_fd < 0)
			read_block(segment->block, segment->length);
	}
}

static void corrupt(uint8_t *map, size_t bytes, uint64_t *random)
{
	static const uint8_t likely[] = {0, 1, 2, 3, 0x7f, 0x80, 0xff};
	size_t offset = rig_random_below(random, bytes);
	size_t count = rig_random_below(random, 3) ? 1 : 1 + rig_random_below(random, 8);

	for (size_t i = offset; i < bytes && i < offset + count; i++) {
		if (rig_random_below(random, 2))
			map[i] ^= (uint8_t)(1U << rig_random_below(random, 8));
		else
			map[i] = likely[rig_random_below(random, ARRAY_LEN(likely))];
	}
}

/* What is corrupted: the head, the slots in use, and pages of marks. */
static void corrupt_somewhere(uint8_t *map, size_t head_bytes, size_t used_bytes,
			      size_t marks_offset, uint64_t *random)
{
	switch (rig_random_below(random, 8)) {
	case 0:
		corrupt(map, head_bytes, random);
		break;
	case 1:
		corrupt(map + marks_offset, 4096, random);
		break;
	default:
		corrupt(map + ring_record_layout(1, 1).slots_offset, used_bytes, random);
	}
}

static void list_pipes(const struct ring_state *state, struct allowed *allowed)
{
	for (size_t i = 0; i < state->segment_count; i++) {
		if (state->segments[i].read_fd < 0)
			continue;
		allowed->fds[allowed->count++] = state->segments[i].read_fd;
		allowed->fds[allowed->count++] = state->segments[i].write_fd;
	}
}

/* The page of some marks; a growing block of many packets is the newest. */
static size_t find_marks(const uint8_t *map, size_t slot_count)
{
	const struct ring_record_slot *slots =
		(const struct ring_record_slot *)(map + ring_record_layout(1, 1).slots_offset);
	size_t found = 0;

	for (size_t i = 0; i < slot_count; i++) {
		if (slots[i].marks_offset)
			found = slots[i].marks_offset;
	}
	assert_true(found > 0);
	return found;
}

static void corrupted_bytes_do_no_harm(void **state)
{
	struct allowed allowed = {0};
	struct rig_progress progress = {0};
	struct ring_record_head *head;
	struct rig_writer writer;
	size_t bytes, used_bytes, marks_offset, refused = 0;
	uint8_t *map, *before;
	uint64_t seed;
	struct read_back read;
	struct stat about;

	(void)state;
	assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	seed %= 1000000;
	print_message("seed %llu\n", (unsigned long long)seed);
	allowed.random = seed + 1;
	assert_true(rig_writer_open(&writer, seed, false, &progress));
	for (int i = 0; i < 400; i++)
		assert_true(rig_writer_operate(&writer));
	for (int i = 0; i < 40; i++)
		assert_true(rig_writer_publish(&writer));
	assert_int_equal(fstat(progress.record_fd, &about), 0);
	bytes = (size_t)about.st_size;
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, progress.record_fd, 0);
	assert_true(map != MAP_FAILED);
	head = (struct ring_record_head *)map;
	used_bytes = head->slots_used * sizeof(struct ring_record_slot);
	marks_offset = find_marks(map, head->slots_used);
	before = malloc(marks_offset + 4096);
	assert_non_null(before);
	memcpy(before, map, marks_offset + 4096);
	read = read_record(writer.record);
	list_pipes(&read.state, &allowed);
	free_read(&read);
	for (int i = 0; i < CORRUPTED_ROUNDS; i++) {
		uint64_t times = 1 + rig_random_below(&allowed.random, 4);
		struct same_fds some;
		int r;

		while (times--)
			corrupt_somewhere(map, sizeof(*head), used_bytes, marks_offset,
					  &allowed.random);
		if (i % 2)
			put_right_ring(map, bytes);
		r = ring_record_read(progress.record_fd, any_pipes(&allowed, &some), &read.state,
				     &read.map);
		refused += r < 0;
		if (r == 0) {
			check_sound(&read.state);
			free_read(&read);
		}
		memcpy(map, before, ring_record_layout(1, 1).slots_offset + used_bytes);
		memcpy(map + marks_offset, before + marks_offset, 4096);
	}
	print_message("%zu of %d refused\n", refused, CORRUPTED_ROUNDS);
	assert_in_range(refused, CORRUPTED_ROUNDS / 10, CORRUPTED_ROUNDS - 1);
	assert_int_equal(munmap(map, bytes), 0);
	free(before);
	rig_writer_close(&writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_kind_of_segment_is_recorded, pipe_rig_begin,
						pipe_rig_end),
		cmocka_unit_test_setup_teardown(pipes_that_become_blocks_are_recorded,
						pipe_rig_begin, pipe_rig_end),
		cmocka_unit_test_setup_teardown(held_segments_are_recorded, pipe_rig_begin,
						pipe_rig_end),
		cmocka_unit_test_setup_teardown(without_room_the_ring_goes_on, pipe_rig_begin,
						pipe_rig_end),
		cmocka_unit_test_setup_teardown(marks_without_room_hide_their_block, pipe_rig_begin,
						pipe_rig_end),
		cmocka_unit_test_setup_teardown(what_is_no_record_is_refused, pipe_rig_begin,
						pipe_rig_end),
		cmocka_unit_test_setup_teardown(corrupted_bytes_do_no_harm, pipe_rig_begin,
						pipe_rig_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
