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
#include "tests/unit/pipe_rig.h"

struct rig {
	struct ring ring;
	struct pipe_pool pool;
	uint64_t next_seq;
	uint64_t arrived_ns;
};

static void open_rig(struct rig *rig, size_t max_bytes)
{
	const struct ring_params params = {.max_bytes = max_bytes, .max_pipes = 100};

	*rig = (struct rig){.next_seq = 1, .arrived_ns = 1000};
	ring_init(&rig->ring, &params);
	assert_int_equal(pipe_pool_init(&rig->pool, 16, 1000, 1000), 0);
}

static void close_rig(struct rig *rig)
{
	ring_clear(&rig->ring);
	assert_int_equal(rig->pool.open_count, rig->pool.idle_count);
	pipe_pool_fini(&rig->pool);
}

static uint8_t byte_at(uint64_t pos)
{
	return (uint8_t)(pos * 2654435761u >> 13);
}

static struct ring_packet next_packet(struct rig *rig)
{
	const struct ring_packet packet = {
		.first_seq = rig->next_seq,
		.next_seq = rig->next_seq + 2,
		.count = 2,
		.arrived_ns = rig->arrived_ns,
		.starts_message = true,
	};

	rig->next_seq += 2;
	rig->arrived_ns += 1000;
	return packet;
}

static int append_copy(struct ring *ring, uint8_t *bytes, size_t length,
		       const struct ring_packet *packet)
{
	const struct iovec part = {bytes, length};

	return ring_append_copy(ring, &part, 1, packet, 0);
}

// Two messages a packet; the time goes on by 1000 with each.
static void put_copy(struct rig *rig, size_t length)
{
	uint8_t *bytes = malloc(length + 1);
	const struct ring_packet packet = next_packet(rig);

	for (size_t i = 0; i < length; i++)
		bytes[i] = byte_at(rig->ring.end_pos + i);
	assert_int_equal(append_copy(&rig->ring, bytes, length, &packet), 0);
	free(bytes);
}

static void put_pipes(struct rig *rig, size_t count, size_t bytes_each)
{
	struct pipe pipes[4];
	const struct ring_packet packet = next_packet(rig);
	uint64_t pos = rig->ring.end_pos;

	for (size_t i = 0; i < count; i++) {
		uint8_t bytes[4096];
		size_t n;
		int err;

		for (size_t k = 0; k < bytes_each; k++)
			bytes[k] = byte_at(pos++);
		assert_int_equal(pipe_pool_get(&rig->pool, &pipes[i]), 0);
		assert_int_equal(pipe_write(&pipes[i], bytes, bytes_each, &n, &err), PIPE_IO_OK);
	}
	assert_int_equal(ring_append_pipes(&rig->ring, pipes, count, &rig->pool, &packet, 1), 0);
}

// Reads up to `max` bytes; a pipe is not looked into, its length is enough.
static size_t take(struct cursor *cursor, const struct ring *ring, size_t max)
{
	if (cursor_settle(cursor, ring) != CURSOR_UNREAD)
		return 0;

	const struct segment *segment = cursor_segment(cursor);
	const size_t offset = cursor_offset(cursor);
	const size_t n = size_min(max, segment->length - offset);

	assert_int_equal(cursor->pos, segment->start_pos + offset);
	for (size_t i = 0; segment->kind == SEGMENT_BLOCK && i < n; i++)
		assert_int_equal(segment->block[offset + i], byte_at(cursor->pos + i));
	cursor_advance(cursor, n);
	return n;
}

static void take_all(struct cursor *cursor, const struct ring *ring, size_t piece)
{
	while (take(cursor, ring, piece))
		;
}

static void an_empty_ring_is_at_the_live_edge(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 10000);
	cursor_join_live(&cursor, &rig.ring);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_LIVE);
	assert_true(cursor_is_at_message_start(&cursor, &rig.ring));
	assert_int_equal(cursor_unread_time(&cursor, &rig.ring), 0);
	cursor_join_past(&cursor, &rig.ring, 1000, 0);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_LIVE);
	put_copy(&rig, 100);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD);
	assert_int_equal(cursor_unread_seq(&cursor), 1);
	cursor_leave(&cursor);
	cursor_leave(&cursor);
	close_rig(&rig);
}

static void a_live_reader_gets_what_comes_and_not_what_was(void **state)
{
	(void)state;
	for (int in_pipes = 0; in_pipes < 2; in_pipes++) {
		struct cursor cursor;
		struct rig rig;

		open_rig(&rig, 100000);
		if (in_pipes)
			put_pipes(&rig, 2, 100);
		else
			put_copy(&rig, 200);
		cursor_join_live(&cursor, &rig.ring);
		assert_int_equal(cursor.pos, 200);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_LIVE);
		assert_int_equal(cursor_unread_seq(&cursor), 3);
		for (int i = 0; i < 3; i++) {
			put_copy(&rig, 50);
			put_pipes(&rig, 2, 70);
			assert_int_equal(cursor_unread_seq(&cursor), 3 + 4 * i);
			take_all(&cursor, &rig.ring, 30);
			assert_int_equal(cursor.pos, rig.ring.end_pos);
			assert_int_equal(cursor_unread_seq(&cursor), 7 + 4 * i);
			assert_int_equal(cursor_unread_time(&cursor, &rig.ring), 0);
		}
		cursor_leave(&cursor);
		close_rig(&rig);
	}
}

static void every_piece_size_reads_the_whole_stream(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 400; piece += 1 + piece / 7) {
		struct cursor cursor;
		struct rig rig;

		open_rig(&rig, 1 << 20);
		cursor_join_live(&cursor, &rig.ring);
		for (int i = 0; i < 5; i++) {
			put_copy(&rig, 37);
			put_pipes(&rig, 1 + (size_t)i % 4, 111);
			put_copy(&rig, 0);
			put_copy(&rig, 1);
			if (i % 2)
				take_all(&cursor, &rig.ring, piece);
		}
		take_all(&cursor, &rig.ring, piece);
		assert_int_equal(cursor.pos, rig.ring.end_pos);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_LIVE);
		cursor_leave(&cursor);
		close_rig(&rig);
	}
}

static void at_the_live_edge_nothing_is_pinned(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 100);
	cursor_join_live(&cursor, &rig.ring);
	put_pipes(&rig, 3, 1000);
	take_all(&cursor, &rig.ring, 10000);
	assert_null(cursor_segment(&cursor));
	put_pipes(&rig, 1, 10);
	ring_trim(&rig.ring, UINT64_MAX);
	assert_int_equal(rig.pool.open_count - rig.pool.idle_count, 1);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD); // and is not behind
	cursor_leave(&cursor);
	close_rig(&rig);
}

static void whoever_stands_in_a_packet_can_finish_it(void **state)
{
	struct cursor cursor;
	struct rig rig;
	size_t got;

	(void)state;
	open_rig(&rig, 100);
	cursor_join_live(&cursor, &rig.ring);
	put_pipes(&rig, 3, 1000);
	assert_int_equal(take(&cursor, &rig.ring, 500), 500);
	for (int i = 0; i < 5; i++) {
		put_pipes(&rig, 1, 100);
		ring_trim(&rig.ring, UINT64_MAX);
	}
	assert_int_equal(ring_first_index(&rig.ring), 7);
	for (got = 500; got < 3000;) {
		assert_false(cursor_is_at_message_start(&cursor, &rig.ring));
		got += take(&cursor, &rig.ring, 300);
	}
	assert_int_equal(got, 3000);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_BEHIND);
	assert_true(cursor_is_at_message_start(&cursor, &rig.ring));
	assert_int_equal(cursor_unread_seq(&cursor), 3);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_BEHIND); // again the same
	cursor_leave(&cursor);
	cursor_join_live(&cursor, &rig.ring);
	assert_int_equal(cursor_unread_seq(&cursor), rig.next_seq);
	cursor_leave(&cursor);
	close_rig(&rig);
}

static void a_reader_of_a_growing_block_follows_it(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20);
	put_copy(&rig, 100);
	cursor_join_live(&cursor, &rig.ring);
	for (int i = 0; i < 2000; i++) { // over several blocks
		put_copy(&rig, 150);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD);
		assert_true(cursor_is_at_message_start(&cursor, &rig.ring));
		assert_int_equal(cursor_unread_seq(&cursor), 3 + 2 * i);
		assert_int_equal(take(&cursor, &rig.ring, 100), 100);
		assert_false(cursor_is_at_message_start(&cursor, &rig.ring));
		assert_int_equal(take(&cursor, &rig.ring, 100), 50);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_LIVE);
	}
	cursor_leave(&cursor);
	close_rig(&rig);
}

// The end of a sealed block of which a slow reader had read all, and then is dropped.
static void a_reader_at_the_end_of_a_dropped_block_is_behind(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 500);
	put_copy(&rig, 100);
	cursor_join_live(&cursor, &rig.ring);
	put_pipes(&rig, 1, 400);
	put_pipes(&rig, 1, 400);
	ring_trim(&rig.ring, UINT64_MAX);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_BEHIND);
	assert_int_equal(cursor_unread_seq(&cursor), 3);
	cursor_leave(&cursor);
	close_rig(&rig);
}

static void the_past_begins_at_a_message_within_the_limits(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20);
	for (int i = 0; i < 5;
	     i++) // packets at 0 100 400 500 800 ...: seq 1 3 5 7 ..., ns 1000 ...
	{
		put_copy(&rig, 100);
		put_pipes(&rig, 3, 100);
	}
	for (uint64_t bytes = 1; bytes <= 2100; bytes += 7) {
		uint64_t from = bytes < 2000 ? 2000 - bytes : 0;

		cursor_join_past(&cursor, &rig.ring, bytes, 0);
		if (bytes < 300) // less than the newest packet: then that one
			from = 1700;
		assert_true(cursor.pos >= from && cursor.pos < 2000);
		assert_true(cursor.pos % 400 == 0 || cursor.pos % 400 == 100);
		assert_true(cursor.pos - from < 300);
		assert_true(cursor_is_at_message_start(&cursor, &rig.ring));
		assert_int_equal(cursor_unread_seq(&cursor),
				 1 + cursor.pos / 400 * 4 + (cursor.pos % 400 ? 2 : 0));
		take_all(&cursor, &rig.ring, 130);
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
	close_rig(&rig);
}

// What a burst gives is a message, not only the news behind it; where there was none, nothing.
static void news_is_no_past(void **state)
{
	struct ring_packet news;
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20);
	for (int has_message = 0; has_message < 2; has_message++) {
		if (has_message) {
			put_copy(&rig, 100);
			put_copy(&rig, 100);
		}
		for (int i = 0; i < 3; i++) {
			news = next_packet(&rig);
			news.next_seq = rig.next_seq = news.first_seq;
			news.count = 0;
			assert_int_equal(append_copy(&rig.ring, pipe_rig_pages, 32, &news), 0);
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
	close_rig(&rig);
}

// A process that did nothing for a while: what it has came later by as much, but not in the future.
static void arrivals_move_with_a_pause(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20);
	put_copy(&rig, 100); // at 1000 ns, ...
	put_pipes(&rig, 2, 100);
	put_copy(&rig, 100);
	ring_move_arrivals(&rig.ring, 5000, 7500);
	cursor_join_past(&cursor, &rig.ring, 0, 6000);
	assert_int_equal(cursor.pos, 0);
	assert_int_equal(cursor_unread_time(&cursor, &rig.ring), 6000);
	cursor_leave(&cursor);
	cursor_join_past(&cursor, &rig.ring, 0, 7001);
	assert_int_equal(cursor.pos, 300);
	assert_int_equal(cursor_unread_time(&cursor, &rig.ring), 7500);
	cursor_leave(&cursor);
	close_rig(&rig);
}

static void a_packet_that_goes_on_with_a_message_is_no_place_to_join(void **state)
{
	struct ring_packet packet;
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20);
	put_copy(&rig, 100);
	packet = next_packet(&rig);
	packet.starts_message = false;
	assert_int_equal(append_copy(&rig.ring, pipe_rig_pages, 100, &packet), 0);
	cursor_join_past(&cursor, &rig.ring, 150, 0);
	assert_int_equal(cursor.pos, 0);
	cursor_leave(&cursor);
	cursor_join_past(&cursor, &rig.ring, 200, 0);
	assert_int_equal(cursor.pos, 0);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD);
	cursor_advance(&cursor, 100);
	assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD);
	assert_false(cursor_is_at_message_start(&cursor, &rig.ring));
	cursor_leave(&cursor);
	close_rig(&rig);
}

// "When the oldest packet came that is not yet read to its end": at every byte of a chain, too.
static void the_unread_time_is_known_wherever_the_reader_stands(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20);
	cursor_join_live(&cursor, &rig.ring);
	put_copy(&rig, 10);
	put_copy(&rig, 10);
	put_pipes(&rig, 3, 10);
	put_copy(&rig, 10);
	for (uint64_t pos = 0; pos < 60; pos++) {
		static const uint64_t expected[] = {1000, 2000, 3000, 3000, 3000, 4000};

		assert_int_equal(cursor.pos, pos);
		assert_int_equal(cursor_unread_time(&cursor, &rig.ring), expected[pos / 10]);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD);
		assert_int_equal(cursor_unread_time(&cursor, &rig.ring), expected[pos / 10]);
		assert_int_equal(take(&cursor, &rig.ring, 1), 1);
	}
	assert_int_equal(cursor_unread_time(&cursor, &rig.ring), 0);
	cursor_leave(&cursor);
	close_rig(&rig);
}

// Only what has been read to its last byte counts, in blocks and in chains; news count nothing.
static void messages_are_read_when_their_packet_is(void **state)
{
	struct ring_packet news = {.first_seq = 7, .next_seq = 70, .arrived_ns = 5000};
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20);
	put_copy(&rig, 10);
	cursor_join_live(&cursor, &rig.ring);
	assert_int_equal(cursor_messages_read(&cursor), 2);
	put_copy(&rig, 10);
	put_pipes(&rig, 3, 10);
	news.starts_message = true;
	assert_int_equal(append_copy(&rig.ring, pipe_rig_pages, 10, &news), 0);
	put_copy(&rig, 10);
	for (uint64_t pos = 10; pos < 70; pos++) {
		static const uint64_t expected[] = {0, 2, 4, 4, 4, 6, 6};

		assert_int_equal(cursor_messages_read(&cursor), expected[pos / 10]);
		assert_int_equal(cursor_settle(&cursor, &rig.ring), CURSOR_UNREAD);
		assert_int_equal(cursor_messages_read(&cursor), expected[pos / 10]);
		cursor_advance(&cursor, 1); // the bytes of the news are not of the stream
	}
	assert_int_equal(cursor_messages_read(&cursor), 8);
	cursor_leave(&cursor);
	close_rig(&rig);
}

// Behind, the oldest that can still be had is the best answer.
static void the_unread_time_of_one_behind_is_that_of_the_oldest_retained(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 250);
	cursor_join_live(&cursor, &rig.ring);
	for (int i = 0; i < 5; i++) {
		put_pipes(&rig, 1, 100);
		ring_trim(&rig.ring, UINT64_MAX);
	}
	assert_int_equal(cursor_unread_time(&cursor, &rig.ring), 4000);
	cursor_leave(&cursor);
	close_rig(&rig);
}

static void a_segment_that_turns_to_memory_under_a_reader_reads_on(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20);
	cursor_join_live(&cursor, &rig.ring);
	put_pipes(&rig, 3, 1000);
	put_pipes(&rig, 1, 1000);
	assert_int_equal(take(&cursor, &rig.ring, 1), 1);
	rig.ring.params.max_pipes = 0;
	ring_trim(&rig.ring, UINT64_MAX);
	assert_int_equal(cursor_segment(&cursor)->kind, SEGMENT_BLOCK);
	take_all(&cursor, &rig.ring, 333); // compares the bytes, which are blocks' now
	assert_int_equal(cursor.pos, 4000);
	cursor_leave(&cursor);
	close_rig(&rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pipe_rig_begin, pipe_rig_end)

// --- joining at a sequence

enum {
	ONE_BLOCK, // packets behind one another
	OWN_BLOCKS // each in a segment of its own
};

static void put_packet(struct rig *rig, int where, uint64_t first, uint64_t next, uint32_t count,
		       bool starts_message)
{
	const struct ring_packet packet = {
		.first_seq = first,
		.next_seq = next,
		.count = count,
		.arrived_ns = 1,
		.starts_message = starts_message,
	};
	const struct iovec part = {pipe_rig_pages, where == ONE_BLOCK ? 10 : 65536};

	assert_int_equal(ring_append_copy(&rig->ring, &part, 1, &packet, 0), 0);
}

static void check_join(const struct rig *rig, uint64_t seq, int packet)
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
		{0, -1},
		{2, -1},
		{3, 2},
		{4, 2},
		{5, 3},
		{7, 3},
		{8, 4},
		{9, 4}, // 8 begins in packet 4 and ends in 5, which has 9 as
			// well
		{10, 6},
		{15, 6}, // a gap that is told
		{20, 7},
		{21, 7},
		{22, 8},
		{29, 8}, // news come before a jump
		{30, 9},
		{31, 10},
		{99, 10},
	};

	(void)state;
	for (int where = ONE_BLOCK; where <= OWN_BLOCKS; where++) {
		struct rig rig;

		open_rig(&rig, 1 << 24);
		assert_int_equal(cursor_oldest_seq(&rig.ring), 0);
		put_packet(&rig, where, 5, 7, 2, true);
		put_packet(&rig, where, 7, 8, 1, true);
		ring_set_sequence(&rig.ring, 3);
		assert_int_equal(cursor_oldest_seq(&rig.ring), 3);
		put_packet(&rig, where, 3, 5, 2, true);
		put_packet(&rig, where, 5, 8, 3, true);
		put_packet(&rig, where, 8, 8, 0, true);   // leaves 8 open
		put_packet(&rig, where, 8, 10, 2, false); // ends it, and has 9
		put_packet(&rig, where, 10, 20, 0, true); // a gap
		put_packet(&rig, where, 20, 22, 2, true);
		put_packet(&rig, where, 22, 22, 0, true); // a heartbeat
		put_packet(&rig, where, 30, 31, 1, true);
		assert_int_equal(cursor_oldest_seq(&rig.ring), 3);
		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			check_join(&rig, rows[i].seq, rows[i].packet);
		close_rig(&rig);
	}
}

/* Where no news stand at a jump, the packet behind it; at the live edge, nothing. */
static void a_reader_joins_behind_a_jump(void **state)
{
	struct cursor cursor;
	struct rig rig;

	(void)state;
	open_rig(&rig, 1 << 20);
	put_packet(&rig, ONE_BLOCK, 1, 3, 2, true);
	put_packet(&rig, ONE_BLOCK, 9, 10, 1, true);
	ring_set_sequence(&rig.ring, 20);
	assert_int_equal(cursor_join_seq(&cursor, &rig.ring, 5), 0);
	assert_int_equal(cursor.pos, 10);
	cursor_leave(&cursor);
	assert_int_equal(cursor_join_seq(&cursor, &rig.ring, 15), 0);
	assert_int_equal(cursor.pos, 20);
	cursor_leave(&cursor);
	close_rig(&rig);
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
		TEST(the_past_begins_at_a_message_within_the_limits),
		TEST(news_is_no_past),
		TEST(arrivals_move_with_a_pause),
		TEST(a_packet_that_goes_on_with_a_message_is_no_place_to_join),
		TEST(the_unread_time_is_known_wherever_the_reader_stands),
		TEST(messages_are_read_when_their_packet_is),
		TEST(the_unread_time_of_one_behind_is_that_of_the_oldest_retained),
		TEST(a_segment_that_turns_to_memory_under_a_reader_reads_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
