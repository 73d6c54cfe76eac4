// SPDX-License-Identifier: MIT
/*
 * Where a cursor begins in the past: at a message, at most so many bytes or so long ago, and never
 * at nothing while there is a past.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/clock.h"
#include "ring/cursor.h"
#include "tests/unit/cursor_rig.h"
#include "tests/unit/pipe_rig.h"

static void the_past_begins_at_a_message_within_the_limits(void **state)
{
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 1 << 20);
	for (int i = 0; i < 5;
	     i++) // packets at 0 100 400 500 800 ...: seq 1 3 5 7 ..., ns 1000 ...
	{
		cursor_rig_put_copy(&rig, 100);
		cursor_rig_put_pipes(&rig, 3, 100);
	}
	for (uint64_t bytes = 1; bytes <= 2100; bytes += 7) {
		uint64_t from = bytes < 2000 ? 2000 - bytes : 0;

		cursor_join_past(&cursor, &rig.ring, bytes, 0);
		if (bytes < 300) // less than the newest packet: then that one
			from = 1700;
		assert_true(cursor.pos >= from && cursor.pos < 2000);
		assert_true(cursor.pos % 400 == 0 || cursor.pos % 400 == 100);
		assert_true(cursor.pos - from < 300);
		assert_true(cursor_is_at_packet_start(&cursor));
		assert_int_equal(cursor_unread_seq(&cursor),
				 1 + cursor.pos / 400 * 4 + (cursor.pos % 400 ? 2 : 0));
		cursor_rig_take_all(&cursor, &rig.ring, 130);
		assert_int_equal(cursor.pos, 2000);
		cursor_leave(&cursor);
	}
	for (uint64_t since = 500; since <= 11500; since += 500) {
		uint64_t first = (since + 999) / 1000 * 1000; // of the packets' times

		cursor_join_past(&cursor, &rig.ring, 0, since);
		if (first > 10000) // nothing has come since then: the newest packet
			first = 10000;
		assert_int_equal(cursor_unread_time(&cursor, &rig.ring), first);
		cursor_leave(&cursor);
	}
	cursor_join_past(&cursor, &rig.ring, 450, 3000); // both limits: the narrower
	assert_int_equal(cursor.pos, 1600);
	cursor_leave(&cursor);
	cursor_join_past(&cursor, &rig.ring, 0, 0);
	assert_int_equal(cursor.pos, 0);
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

// What came at a time or later; a ring that may have given up such says so.
static void a_time_is_exact_or_refused(void **state)
{
	struct ring_packet packet;
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 500);
	assert_int_equal(cursor_join_since(&cursor, &rig.ring, 1), 0); // nothing has ever come
	assert_int_equal(cursor.pos, 0);
	assert_int_equal(cursor_oldest_time(&rig.ring), 0);
	for (int i = 0; i < 4; i++) { // 2, 4, 6 and 8 seconds; 100 bytes each
		packet = cursor_rig_next_packet(&rig);
		packet.arrived_ns = (uint64_t)(2 * i + 2) * NS_PER_S;
		assert_int_equal(cursor_rig_append_copy(&rig.ring, pipe_rig_pages, 100, &packet),
				 0);
	}
	for (uint64_t since = 0; since <= 9; since++) { // the first message of all is there
		uint64_t first = since < 2 ? 0 : (since - 1) / 2 * 100;

		assert_int_equal(cursor_join_since(&cursor, &rig.ring, since * NS_PER_S), 0);
		assert_int_equal(cursor.pos, first);
		cursor_leave(&cursor);
	}
	cursor_join_past(&cursor, &rig.ring, 0, 1);
	assert_int_equal(cursor_find_later(&cursor, &rig.ring, 4 * NS_PER_S), 200);
	assert_int_equal(cursor_find_later(&cursor, &rig.ring, 8 * NS_PER_S), UINT64_MAX);
	packet = cursor_rig_next_packet(&rig);
	packet.arrived_ns = 5 * NS_PER_S; // no earlier than the one ahead of it
	assert_int_equal(cursor_rig_append_copy(&rig.ring, pipe_rig_pages, 100, &packet), 0);
	assert_int_equal(cursor_find_later(&cursor, &rig.ring, 6 * NS_PER_S), 300);
	assert_int_equal(cursor_find_later(&cursor, &rig.ring, 8 * NS_PER_S), UINT64_MAX);
	for (int i = 0; i < 3000; i++) {
		packet = cursor_rig_next_packet(&rig);
		packet.arrived_ns = (uint64_t)(10 + i) * NS_PER_S;
		assert_int_equal(cursor_rig_append_copy(&rig.ring, pipe_rig_pages, 100, &packet),
				 0);
		ring_trim(&rig.ring, UINT64_MAX);
	}
	// A laggard in what the ring has given up, and one in the ring.
	assert_true(cursor.segment->index < ring_first_index(&rig.ring));
	assert_int_equal(cursor_find_later(&cursor, &rig.ring, 4 * NS_PER_S), 200);
	assert_int_equal(cursor_find_later(&cursor, &rig.ring, 3008 * NS_PER_S), 500 + 2999 * 100);
	cursor_leave(&cursor);
	packet.arrived_ns = cursor_oldest_time(&rig.ring);
	assert_true(packet.arrived_ns > 10 * NS_PER_S);
	assert_int_equal(cursor_join_since(&cursor, &rig.ring, packet.arrived_ns - NS_PER_S),
			 -ERANGE);
	assert_int_equal(cursor_join_since(&cursor, &rig.ring, packet.arrived_ns - NS_PER_MS), 0);
	assert_int_equal(cursor.pos, rig.ring.start_pos);
	cursor_leave(&cursor);
	cursor_rig_close(&rig);
}

// What a burst gives is a message, not only the news behind it; where there was none, nothing.
static void news_is_no_past(void **state)
{
	struct ring_packet news;
	struct cursor cursor;
	struct cursor_rig rig;

	(void)state;
	cursor_rig_open(&rig, 1 << 20);
	for (int has_message = 0; has_message < 2; has_message++) {
		if (has_message) {
			cursor_rig_put_copy(&rig, 100);
			cursor_rig_put_copy(&rig, 100);
		}
		for (int i = 0; i < 3; i++) {
			news = cursor_rig_next_packet(&rig);
			news.next_seq = rig.next_seq = news.first_seq;
			news.count = 0;
			assert_int_equal(
				cursor_rig_append_copy(&rig.ring, pipe_rig_pages, 32, &news), 0);
		}
		cursor_join_past(&cursor, &rig.ring, 64, 0);
		assert_int_equal(cursor.pos, has_message ? 96 + 100 : 96);
		cursor_leave(&cursor);
		cursor_join_past(&cursor, &rig.ring, 0, news.arrived_ns);
		assert_int_equal(cursor.pos, has_message ? 96 + 100 : 96);
		cursor_leave(&cursor);
		cursor_join_past(&cursor, &rig.ring, 1000, 0);
		assert_int_equal(cursor.pos, has_message ? 0 : 96);
		cursor_leave(&cursor);
	}
	cursor_rig_close(&rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pipe_rig_begin, pipe_rig_end)

// In a block, or in pipes of its own.
static void put_start(struct cursor_rig *rig, enum media_start media_start, bool in_pipe)
{
	struct ring_packet packet = cursor_rig_next_packet(rig);
	struct pipe pipe;

	packet.media_start = media_start;
	if (in_pipe) {
		assert_int_equal(pipe_pool_get(&rig->pool, &pipe), 0);
		pipe_rig_put_pieces(&pipe, 1, 100);
		assert_int_equal(ring_append_pipes(&rig->ring, &pipe, 1, &rig->pool, &packet, 0),
				 0);
	} else {
		assert_int_equal(cursor_rig_append_copy(&rig->ring, pipe_rig_pages, 100, &packet),
				 0);
	}
}

static uint64_t begin_of(const struct ring *ring)
{
	struct cursor cursor;
	uint64_t pos;

	cursor_join_key_frame(&cursor, ring);
	pos = cursor.pos;
	assert_true(cursor_is_at_packet_start(&cursor));
	cursor_leave(&cursor);
	return pos;
}

static void a_key_frame_is_begun_with(void **state)
{
	struct cursor_rig rig;

	(void)state;
	for (int in_pipes = 0; in_pipes < 2; in_pipes++) {
		cursor_rig_open(&rig, 1 << 20);
		assert_int_equal(begin_of(&rig.ring), 0);
		put_start(&rig, MEDIA_START_NONE, in_pipes);
		assert_int_equal(begin_of(&rig.ring), 100); // none: the live edge
		put_start(&rig, MEDIA_START_TABLES, in_pipes);
		put_start(&rig, MEDIA_START_NONE, in_pipes);
		assert_int_equal(begin_of(&rig.ring), 300);
		put_start(&rig, MEDIA_START_KEY_FRAME, in_pipes);
		put_start(&rig, MEDIA_START_NONE, in_pipes);
		assert_int_equal(begin_of(&rig.ring), 100); // the tables before it
		put_start(&rig, MEDIA_START_TABLES, in_pipes);
		assert_int_equal(begin_of(&rig.ring), 100); // which belong to no key frame yet
		rig.arrived_ns += 500000001;                // far from these
		put_start(&rig, MEDIA_START_KEY_FRAME, in_pipes);
		put_start(&rig, MEDIA_START_NONE, in_pipes);
		assert_int_equal(begin_of(&rig.ring), 600);
		put_start(&rig, MEDIA_START_TABLES, in_pipes);
		rig.arrived_ns += 500000000 - 1000; // near enough
		put_start(&rig, MEDIA_START_KEY_FRAME, in_pipes);
		assert_int_equal(begin_of(&rig.ring), 800);
		cursor_rig_close(&rig);
	}
}

// The tables go before their key frame does.
static void a_key_frame_that_is_gone_is_none(void **state)
{
	struct cursor_rig rig;
	uint64_t pos;

	(void)state;
	cursor_rig_open(&rig, 1 << 20);
	put_start(&rig, MEDIA_START_TABLES, true);
	put_start(&rig, MEDIA_START_KEY_FRAME, true);
	put_start(&rig, MEDIA_START_NONE, true);
	put_start(&rig, MEDIA_START_NONE, true);
	for (size_t packets = 4; packets > 0; packets--) {
		rig.ring.params.max_bytes = packets * 100;
		ring_trim(&rig.ring, UINT64_MAX);
		pos = begin_of(&rig.ring);
		assert_int_equal(pos, packets == 4 ? 0 : packets == 3 ? 100 : 400);
	}
	ring_clear(&rig.ring);
	assert_int_equal(begin_of(&rig.ring), 400);
	cursor_rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_past_begins_at_a_message_within_the_limits),
		TEST(a_time_is_exact_or_refused),
		TEST(news_is_no_past),
		cmocka_unit_test(a_key_frame_is_begun_with),
		cmocka_unit_test(a_key_frame_that_is_gone_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
