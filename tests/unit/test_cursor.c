// SPDX-License-Identifier: MIT
/*
 * Cursors: where a reader stands, what it reads, and what it is told about it.
 *
 * Packets are copied into blocks or put into pipes; a reader takes bytes in pieces of all sizes and
 * must see the stream without a hole, whatever the ring drops meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "pipe/pipe_io.h"
#include "ring/cursor.h"
#include "tests/unit/cursor_rig.h"
#include "tests/unit/pipe_rig.h"

static void an_empty_ring_is_at_the_live_edge(void **state)
{
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 10000);
	cursor_join_live(&cursor, &rig.ring);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_LIVE);
	assert_true(cursor_is_at_packet_start(&cursor));
	assert_int_equal(cursor_unread_time(&cursor, &rig.ring), 0);
	cursor_join_past(&cursor, &rig.ring, 1000, 0);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_LIVE);
	cursor_rig_put_copy(&rig, 100);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD);
	assert_int_equal(cursor_unread_seq(&cursor), 1);
	cursor_leave(&cursor);
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

static void a_live_reader_gets_what_comes_and_not_what_was(void **state)
{
	(void)state;
	for (int in_pipes = 0; in_pipes < 2; in_pipes++) {
		struct cursor cursor;
		struct cursor_rig rig;

		cursor_rig_open(&rig, 100000);
		if (in_pipes)
			cursor_rig_put_pipes(&rig, 2, 100);
		else
			cursor_rig_put_copy(&rig, 200);
		cursor_join_live(&cursor, &rig.ring);
		assert_int_equal(cursor.pos, 200);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_LIVE);
		assert_int_equal(cursor_unread_seq(&cursor), 3);
		for (int i = 0; i < 3; i++) {
			cursor_rig_put_copy(&rig, 50);
			cursor_rig_put_pipes(&rig, 2, 70);
			assert_int_equal(cursor_unread_seq(&cursor), 3 + 4 * i);
			cursor_rig_take_all(&cursor, &rig.ring, 30);
			assert_int_equal(cursor.pos, rig.ring.end_pos);
			assert_int_equal(cursor_unread_seq(&cursor), 7 + 4 * i);
			assert_int_equal(cursor_unread_time(&cursor, &rig.ring), 0);
		}
		cursor_leave(&cursor);
		cursor_rig_close(&rig);
	}
}

static void every_piece_size_reads_the_whole_stream(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 400; piece += 1 + piece / 7) {
		struct cursor cursor;
		struct cursor_rig rig;

		cursor_rig_open(&rig, 1 << 20);
		cursor_join_live(&cursor, &rig.ring);
		for (int i = 0; i < 5; i++) {
			cursor_rig_put_copy(&rig, 37);
			cursor_rig_put_pipes(&rig, 1 + (size_t)i % 4, 111);
			cursor_rig_put_copy(&rig, 0);
			cursor_rig_put_copy(&rig, 1);
			if (i % 2)
				cursor_rig_take_all(&cursor, &rig.ring, piece);
		}
		cursor_rig_take_all(&cursor, &rig.ring, piece);
		assert_int_equal(cursor.pos, rig.ring.end_pos);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_LIVE);
		cursor_leave(&cursor);
		cursor_rig_close(&rig);
	}
}

static void at_the_live_edge_nothing_is_pinned(void **state)
{
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 100);
	cursor_join_live(&cursor, &rig.ring);
	cursor_rig_put_pipes(&rig, 3, 1000);
	cursor_rig_take_all(&cursor, &rig.ring, 10000);
	assert_null(cursor_segment(&cursor));
	cursor_rig_put_pipes(&rig, 1, 10);
	ring_trim(&rig.ring, UINT64_MAX);
	assert_int_equal(rig.pool.open_count - rig.pool.idle_count, 1);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD); // and is not behind
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

static void whoever_stands_in_a_packet_can_finish_it(void **state)
{
	struct cursor cursor;
	struct cursor_rig rig;
	size_t got;

	(void)state;
	cursor_rig_open(&rig, 100);
	cursor_join_live(&cursor, &rig.ring);
	cursor_rig_put_pipes(&rig, 3, 1000);
	assert_int_equal(cursor_rig_take(&cursor, &rig.ring, 500), 500);
	for (int i = 0; i < 5; i++) {
		cursor_rig_put_pipes(&rig, 1, 100);
		ring_trim(&rig.ring, UINT64_MAX);
	}
	assert_int_equal(ring_first_index(&rig.ring), 7);
	for (got = 500; got < 3000;) {
		assert_false(cursor_is_at_packet_start(&cursor));
		got += cursor_rig_take(&cursor, &rig.ring, 300);
	}
	assert_int_equal(got, 3000);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_BEHIND);
	assert_true(cursor_is_at_packet_start(&cursor));
	assert_int_equal(cursor_unread_seq(&cursor), 3);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_BEHIND); // again the same
	cursor_leave(&cursor);
	cursor_join_live(&cursor, &rig.ring);
	assert_int_equal(cursor_unread_seq(&cursor), rig.next_seq);
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

static void a_reader_of_a_growing_block_follows_it(void **state)
{
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 1 << 20);
	cursor_rig_put_copy(&rig, 100);
	cursor_join_live(&cursor, &rig.ring);
	for (int i = 0; i < 2000; i++) { // over several blocks
		cursor_rig_put_copy(&rig, 150);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD);
		assert_true(cursor_is_at_packet_start(&cursor));
		assert_int_equal(cursor_unread_seq(&cursor), 3 + 2 * i);
		assert_int_equal(cursor_rig_take(&cursor, &rig.ring, 100), 100);
		assert_false(cursor_is_at_packet_start(&cursor));
		assert_int_equal(cursor_rig_take(&cursor, &rig.ring, 100), 50);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_LIVE);
	}
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

// The end of a sealed block of which a slow reader had read all, and then is dropped.
static void a_reader_at_the_end_of_a_dropped_block_is_behind(void **state)
{
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 500);
	cursor_rig_put_copy(&rig, 100);
	cursor_join_live(&cursor, &rig.ring);
	cursor_rig_put_pipes(&rig, 1, 400);
	cursor_rig_put_pipes(&rig, 1, 400);
	ring_trim(&rig.ring, UINT64_MAX);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_BEHIND);
	assert_int_equal(cursor_unread_seq(&cursor), 3);
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

// "When the oldest packet came that is not yet read to its end": at every byte of a chain, too.
static void the_unread_time_is_known_wherever_the_reader_stands(void **state)
{
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 1 << 20);
	cursor_join_live(&cursor, &rig.ring);
	cursor_rig_put_copy(&rig, 10);
	cursor_rig_put_copy(&rig, 10);
	cursor_rig_put_pipes(&rig, 3, 10);
	cursor_rig_put_copy(&rig, 10);
	for (uint64_t pos = 0; pos < 60; pos++) {
		static const uint64_t expected[] = {1000, 2000, 3000, 3000, 3000, 4000};

		assert_int_equal(cursor.pos, pos);
		assert_int_equal(cursor_unread_time(&cursor, &rig.ring), expected[pos / 10]);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD);
		assert_int_equal(cursor_unread_time(&cursor, &rig.ring), expected[pos / 10]);
		assert_int_equal(cursor_rig_take(&cursor, &rig.ring, 1), 1);
	}
	assert_int_equal(cursor_unread_time(&cursor, &rig.ring), 0);
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

// Only what has been read to its last byte counts, in blocks and in chains; news count nothing.
static void messages_are_read_when_their_packet_is(void **state)
{
	const struct ring_packet news = {.first_seq = 7, .next_seq = 70, .arrived_ns = 5000};
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 1 << 20);
	cursor_rig_put_copy(&rig, 10);
	cursor_join_live(&cursor, &rig.ring);
	assert_int_equal(cursor_messages_read(&cursor), 2);
	cursor_rig_put_copy(&rig, 10);
	cursor_rig_put_pipes(&rig, 3, 10);
	assert_int_equal(cursor_rig_append_copy(&rig.ring, pipe_rig_pages, 10, &news), 0);
	cursor_rig_put_copy(&rig, 10);
	for (uint64_t pos = 10; pos < 70; pos++) {
		static const uint64_t expected[] = {0, 2, 4, 4, 4, 6, 6};

		assert_int_equal(cursor_messages_read(&cursor), expected[pos / 10]);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD);
		assert_int_equal(cursor_messages_read(&cursor), expected[pos / 10]);
		cursor_advance(&cursor, 1); // the bytes of the news are not of the stream
	}
	assert_int_equal(cursor_messages_read(&cursor), 8);
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

// Behind, the oldest that can still be had is the best answer.
static void the_unread_time_of_one_behind_is_that_of_the_oldest_retained(void **state)
{
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 250);
	cursor_join_live(&cursor, &rig.ring);
	for (int i = 0; i < 5; i++) {
		cursor_rig_put_pipes(&rig, 1, 100);
		ring_trim(&rig.ring, UINT64_MAX);
	}
	assert_int_equal(cursor_unread_time(&cursor, &rig.ring), 4000);
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

static void a_segment_that_turns_to_memory_under_a_reader_reads_on(void **state)
{
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 1 << 20);
	cursor_join_live(&cursor, &rig.ring);
	cursor_rig_put_pipes(&rig, 3, 1000);
	cursor_rig_put_pipes(&rig, 1, 1000);
	assert_int_equal(cursor_rig_take(&cursor, &rig.ring, 1), 1);
	rig.ring.params.max_pipes = 0;
	ring_trim(&rig.ring, UINT64_MAX);
	assert_int_equal(cursor_segment(&cursor)->kind, SEGMENT_BLOCK);
	cursor_rig_take_all(&cursor, &rig.ring, 333); // compares the bytes, which are blocks' now
	assert_int_equal(cursor.pos, 4000);
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pipe_rig_begin, pipe_rig_end)

// --- joining at a sequence

enum {
	ONE_BLOCK, // packets behind one another
	OWN_BLOCKS // each in a segment of its own
};

static void put_packet(struct cursor_rig *rig, int where, uint64_t first, uint64_t next,
		       uint32_t count)
{
	const struct ring_packet packet = {
		.first_seq = first,
		.next_seq = next,
		.count = count,
		.arrived_ns = 1,
	};
	const struct iovec part = {pipe_rig_pages, where == ONE_BLOCK ? 10 : 65536};

	assert_int_equal(ring_append_copy(&rig->ring, &part, 1, &packet, 0), 0);
}

static void check_join(const struct cursor_rig *rig, uint64_t seq, int packet)
{
	const uint64_t each = rig->ring.end_pos / 10; // ten packets of one length
	struct cursor cursor;
	int r = cursor_join_seq(&cursor, &rig->ring, seq);

	if (packet < 0) {
		assert_int_equal(r, -ERANGE);
		return;
	}
	assert_int_equal(r, 0);
	if (cursor.pos != each * (uint64_t)packet)
		fail_msg("%lu: at packet %lu, expected %d", (unsigned long)seq,
			 (unsigned long)(cursor.pos / each), packet);
	assert_true(cursor_is_at_packet_start(&cursor));
	cursor_leave(&cursor);
}

static void a_reader_may_join_at_a_sequence(void **state)
{
	static const struct {
		uint64_t seq;
		int packet;
	} rows[] = {
		{0, -1}, {2, -1},  {3, 2},   {4, 2},
		{5, 3},  {7, 3},   {8, 5},            // news come before a message, but are not it
		{9, 5},  {10, 6},  {15, 6},           // a gap that is told
		{20, 7}, {21, 7},  {22, 8},  {29, 8}, // news come before a jump
		{30, 9}, {31, 10}, {99, 10},
	};

	(void)state;
	for (unsigned look = 0; look < 4; look++) {
		int where = look % 2 ? ONE_BLOCK : OWN_BLOCKS;
		// It begins anew in another session, or at a lower number.
		uint32_t session = look / 2;
		uint64_t old = session ? 0 : 5;
		struct cursor cursor;
		struct cursor_rig rig;

		cursor_rig_open(&rig, 1 << 24);
		assert_int_equal(cursor_oldest_seq(&rig.ring), 0);
		put_packet(&rig, where, old, old + 2, 2);
		put_packet(&rig, where, old + 2, old + 3, 1);
		ring_set_sequence(&rig.ring, session, 3);
		cursor_join_past(&cursor, &rig.ring, 0, 0);
		assert_int_equal(cursor_unread_session(&cursor), 0);
		assert_int_equal(cursor_unread_seq(&cursor), old);
		cursor_leave(&cursor);
		cursor_join_live(&cursor, &rig.ring);
		assert_int_equal(cursor_unread_session(&cursor), session);
		assert_int_equal(cursor_unread_seq(&cursor), 3);
		cursor_leave(&cursor);
		assert_int_equal(cursor_oldest_seq(&rig.ring), 3);
		put_packet(&rig, where, 3, 5, 2);
		put_packet(&rig, where, 5, 8, 3);
		put_packet(&rig, where, 8, 8, 0); // a heartbeat
		put_packet(&rig, where, 8, 10, 2);
		put_packet(&rig, where, 10, 20, 0); // a gap
		put_packet(&rig, where, 20, 22, 2);
		put_packet(&rig, where, 22, 22, 0); // a heartbeat
		put_packet(&rig, where, 30, 31, 1);
		assert_int_equal(cursor_oldest_seq(&rig.ring), 3);
		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			check_join(&rig, rows[i].seq, rows[i].packet);
		cursor_rig_close(&rig);
	}
}

/* Where no news stand at a jump, the packet behind it; at the live edge, nothing. */
static void a_reader_joins_behind_a_jump(void **state)
{
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 1 << 20);
	put_packet(&rig, ONE_BLOCK, 1, 3, 2);
	put_packet(&rig, ONE_BLOCK, 9, 10, 1);
	ring_set_sequence(&rig.ring, 0, 20);
	assert_int_equal(cursor_join_seq(&cursor, &rig.ring, 5), 0);
	assert_int_equal(cursor.pos, 10);
	cursor_leave(&cursor);
	assert_int_equal(cursor_join_seq(&cursor, &rig.ring, 15), 0);
	assert_int_equal(cursor.pos, 20);
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_may_join_at_a_sequence),
		cmocka_unit_test(a_reader_joins_behind_a_jump),
		TEST(an_empty_ring_is_at_the_live_edge),
		TEST(a_live_reader_gets_what_comes_and_not_what_was),
		TEST(every_piece_size_reads_the_whole_stream),
		TEST(at_the_live_edge_nothing_is_pinned),
		TEST(whoever_stands_in_a_packet_can_finish_it),
		TEST(a_reader_of_a_growing_block_follows_it),
		TEST(a_reader_at_the_end_of_a_dropped_block_is_behind),
		TEST(the_unread_time_is_known_wherever_the_reader_stands),
		TEST(messages_are_read_when_their_packet_is),
		TEST(the_unread_time_of_one_behind_is_that_of_the_oldest_retained),
		TEST(a_segment_that_turns_to_memory_under_a_reader_reads_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
