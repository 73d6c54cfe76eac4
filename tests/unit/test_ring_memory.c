// SPDX-License-Identifier: MIT
/*
 * What a ring takes: never more than ring_max_cost() says, whatever a publisher sends, and what it
 * counts is what malloc(3) and the record's memory really give.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/compiler.h"
#include "ring/cursor.h"
#include "ring/ring_kept.h"
#include "tests/unit/leave_out.h"
#include "tests/unit/pipe_rig.h"

enum {
	RING_BYTES = 1 << 20,
	BYTES_MAX = 300000,
	ROUNDS = 40000,
	MAX_PIPES = 8,
};

struct rig {
	struct ring ring;
	struct pipe_pool pool;
	struct ring_record *record; // NULL: none
	uint64_t next_seq;
	uint64_t longest; // of the packets
};

static uint8_t bytes[BYTES_MAX];

static void open_rig(struct rig *rig, bool is_recorded)
{
	const struct ring_params params = {.max_bytes = RING_BYTES, .max_pipes = MAX_PIPES};

	*rig = (struct rig){.next_seq = 1};
	ring_init(&rig->ring, &params);
	rig->ring.next_seq = 1;
	assert_int_equal(pipe_pool_init(&rig->pool, 16, 1000, 4), 0);
	if (!is_recorded)
		return;
	assert_int_equal(ring_record_new(&params, BYTES_MAX, &rig->record), 0);
	ring_set_record(&rig->ring, rig->record);
}

static void close_rig(struct rig *rig)
{
	ring_clear(&rig->ring);
	assert_int_equal(rig->ring.cost, 0);
	pipe_pool_fini(&rig->pool);
	ring_record_free(&rig->record);
}

static struct ring_packet next_packet(struct rig *rig)
{
	rig->next_seq++;
	return (struct ring_packet){
		.first_seq = rig->next_seq - 1,
		.next_seq = rig->next_seq,
		.count = 1,
		.arrived_ns = 1,
	};
}

static void put(struct rig *rig, size_t length, unsigned tag)
{
	const struct ring_packet packet = next_packet(rig);
	const struct iovec part = {bytes, length};

	assert_int_equal(ring_append_copy(&rig->ring, &part, 1, &packet, tag), 0);
	rig->longest = u64_max(rig->longest, length);
}

static void put_pipes(struct rig *rig, size_t count, unsigned pieces)
{
	const struct ring_packet packet = next_packet(rig);
	struct pipe pipes[4];

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(pipe_pool_get(&rig->pool, &pipes[i]), 0);
		pipe_rig_put_pieces(&pipes[i], pieces, 100);
	}
	assert_int_equal(ring_append_pipes(&rig->ring, pipes, count, &rig->pool, &packet, 2), 0);
}

static void set_sequence(struct rig *rig, uint64_t next_seq)
{
	rig->next_seq = next_seq;
	ring_set_sequence(&rig->ring, 0, next_seq);
}

// --- what publishers may do

static void single_bytes(struct rig *rig, int round)
{
	(void)round;
	put(rig, 1, 0);
}

static void nothing(struct rig *rig, int round)
{
	(void)round;
	put(rig, 0, 0);
}

static void gaps(struct rig *rig, int round)
{
	(void)round;
	set_sequence(rig, rig->next_seq + 1);
	put(rig, 1, 0);
}

static void sessions(struct rig *rig, int round)
{
	(void)round;
	set_sequence(rig, 1);
	put(rig, 1, 0);
}

static void engines_by_turns(struct rig *rig, int round)
{
	put(rig, 1, (unsigned)round % 2);
}

static void pipes_and_bytes_by_turns(struct rig *rig, int round)
{
	if (round % 2)
		put(rig, 1, 0);
	else if (round < ROUNDS / 20)
		put_pipes(rig, 1, 1 + (unsigned)round % 16);
}

static void any_length(struct rig *rig, int round)
{
	if (round < ROUNDS / 20)
		put(rig, (size_t)round * 7919 % BYTES_MAX, 0);
}

static void just_too_long_for_two_in_a_block(struct rig *rig, int round)
{
	if (round < ROUNDS / 20)
		put(rig, 32 * 1024 - (size_t)(round % 2), 0);
}

static void ordinary_packets(struct rig *rig, int round)
{
	(void)round;
	put(rig, 256, 0);
}

static const struct attack {
	const char *name;
	void (*step)(struct rig *rig, int round);
} attacks[] = {
	{"single bytes", single_bytes},
	{"nothing", nothing},
	{"gaps", gaps},
	{"sessions", sessions},
	{"engines by turns", engines_by_turns},
	{"pipes and bytes by turns", pipes_and_bytes_by_turns},
	{"any length", any_length},
	{"just too long for two in a block", just_too_long_for_two_in_a_block},
	{"ordinary packets", ordinary_packets},
};

static void a_ring_takes_what_it_may(void **state)
{
	size_t before = mallinfo2().uordblks, arena = mallinfo2().arena;
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
		uint64_t most = 0;
		size_t used;

		open_rig(&rig, false);
		for (int round = 0; round < ROUNDS; round++) {
			attacks[i].step(&rig, round);
			ring_trim(&rig.ring, UINT64_MAX);
			most = u64_max(most, rig.ring.cost);
		}
		used = mallinfo2().uordblks - before;
		print_message("%s: %zu bytes by malloc, counted %lu, payload %lu\n",
			      attacks[i].name, used, (unsigned long)rig.ring.cost,
			      (unsigned long)(rig.ring.end_pos - rig.ring.start_pos));
		assert_true(most <= ring_max_cost(&rig.ring) + rig.longest);
		if (before) {
			// The heap of one ring serves the next: holes would add up.
			assert_true(mallinfo2().arena - arena <= 2 * ring_max_cost(&rig.ring));
			assert_true(used <= rig.ring.cost * 11 / 10 + 20000);
			assert_true(rig.ring.cost <= used * 13 / 10 + 20000);
		}
		close_rig(&rig);
	}
	if (!before)
		leave_out_part("what malloc(3) gave is not known here: mallinfo2(3) says 0");
}

static void a_record_takes_what_its_ring_may(void **state)
{
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
		struct stat about;

		open_rig(&rig, true);
		for (int round = 0; round < ROUNDS; round++) {
			attacks[i].step(&rig, round);
			ring_trim(&rig.ring, UINT64_MAX);
		}
		assert_int_equal(fstat(ring_record_fd(rig.record), &about), 0);
		print_message("%s: memfd %lu bytes, counted %lu, payload %lu\n", attacks[i].name,
			      (unsigned long)about.st_blocks * 512, (unsigned long)rig.ring.cost,
			      (unsigned long)(rig.ring.end_pos - rig.ring.start_pos));
		// Pages that were in use once stay the memfd's, also where a long packet lay.
		assert_true((uint64_t)about.st_blocks * 512 <=
			    ring_max_cost(&rig.ring) + 2 * rig.longest + (1 << 17));
		close_rig(&rig);
	}
}

// --- what stays as it was

static void ordinary_packets_reach_back_as_far_as_max_bytes_says(void **state)
{
	static const size_t lengths[] = {256, 1024, 16384, 16384 + 32};
	struct rig rig;

	(void)state;
	for (int is_recorded = 0; is_recorded < 2; is_recorded++) {
		for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
			open_rig(&rig, is_recorded);
			for (size_t sum = 0; sum < 3 * RING_BYTES; sum += lengths[i]) {
				put(&rig, lengths[i], 0);
				ring_trim(&rig.ring, UINT64_MAX);
			}
			// A block is given up whole.
			assert_in_range(rig.ring.end_pos - rig.ring.start_pos,
					RING_BYTES - 64 * 1024 - RING_BYTES / 50, RING_BYTES);
			close_rig(&rig);
		}
	}
}

// --- packets without bytes, and jumps

static void a_packet_without_bytes_counts_and_takes_nothing(void **state)
{
	struct cursor inside, between;
	struct rig rig;

	(void)state;
	open_rig(&rig, false);
	put(&rig, 0, 0);
	assert_int_equal(rig.ring.cost, 0);
	assert_int_equal(rig.ring.next_seq, 2);
	put_pipes(&rig, 1, 1);
	cursor_join_live(&between, &rig.ring);
	put(&rig, 0, 0);
	assert_int_equal(rig.ring.segment_count, 1);
	assert_int_equal(cursor_settle(&between, &rig.ring), CURSOR_LIVE);
	assert_int_equal(cursor_messages_read(&between), 3);
	assert_int_equal(cursor_unread_seq(&between), 4);
	put(&rig, 10, 0);
	cursor_join_live(&inside, &rig.ring);
	put(&rig, 0, 0);
	assert_int_equal(cursor_settle(&inside, &rig.ring), CURSOR_LIVE);
	assert_int_equal(cursor_messages_read(&inside), 5);
	assert_int_equal(cursor_unread_seq(&inside), 6);
	assert_int_equal(ring_newest(&rig.ring)->mark_count, 1);
	cursor_leave(&inside);
	cursor_leave(&between);
	close_rig(&rig);
}

static void a_block_goes_on_over_a_gap_and_not_over_a_new_session(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, false);
	put(&rig, 10, 0);
	set_sequence(&rig, 20);
	cursor_join_live(&cursor, &rig.ring);
	assert_int_equal(cursor_unread_seq(&cursor), 20);
	cursor_leave(&cursor);
	put(&rig, 10, 0);
	assert_int_equal(rig.ring.segment_count, 1);
	assert_int_equal(cursor_oldest_seq(&rig.ring), 1);
	set_sequence(&rig, 5);
	put(&rig, 10, 0);
	assert_int_equal(rig.ring.segment_count, 2);
	assert_in_range(ring_find_segment(&rig.ring, 0)->block_bytes, 20, 64);
	assert_int_equal(cursor_oldest_seq(&rig.ring), 5);
	assert_int_equal(cursor_join_seq(&cursor, &rig.ring, 4), -ERANGE);
	close_rig(&rig);
}

// --- who stands in what the ring has given up

static void laggards_in_long_messages_hold_few_descriptors(void **state)
{
	enum {
		LAGGARDS = 40
	};
	static struct cursor cursors[LAGGARDS];
	struct rig rig;

	(void)state;
	open_rig(&rig, false);
	rig.ring.params.max_bytes = 10000;
	for (size_t i = 0; i < LAGGARDS; i++) {
		put_pipes(&rig, 4, 16);
		cursor_join_past(&cursors[i], &rig.ring, 6000, 0);
		assert_int_equal(cursor_settle(&cursors[i], &rig.ring), CURSOR_UNREAD);
		cursor_advance(&cursors[i], 1);
		ring_trim(&rig.ring, UINT64_MAX);
		assert_true(rig.pool.open_count <= 2 * MAX_PIPES + 16 + 4);
	}
	// Each still gets all of the message that it stands in.
	for (size_t i = 0; i < LAGGARDS; i++) {
		uint64_t pos = cursors[i].pos;

		while (cursors[i].segment) {
			cursor_advance(&cursors[i], cursors[i].segment->length - cursors[i].offset);
			if (!cursors[i].segment->continued_by)
				break;
			assert_int_equal(cursor_settle(&cursors[i], &rig.ring), CURSOR_UNREAD);
		}
		assert_int_equal(cursors[i].pos, pos + 4 * 16 * 100 - 1);
		cursor_leave(&cursors[i]);
	}
	close_rig(&rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pipe_rig_begin, pipe_rig_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_ring_takes_what_it_may),
		TEST(a_record_takes_what_its_ring_may),
		TEST(ordinary_packets_reach_back_as_far_as_max_bytes_says),
		TEST(a_packet_without_bytes_counts_and_takes_nothing),
		TEST(a_block_goes_on_over_a_gap_and_not_over_a_new_session),
		TEST(laggards_in_long_messages_hold_few_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
