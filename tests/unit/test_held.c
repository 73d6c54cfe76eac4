// SPDX-License-Identifier: MIT
/*
 * Subscribers of a feed that waits for the disk: they get what is on it, to the message, and no
 * more; wherever they begin, whatever they skip, and in whatever session.  What waits holds the
 * publisher before it takes the ring.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/compiler.h"
#include "fanout/fanout.h"
#include "feed/number.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/line_rig.h"

enum {
	RING_BYTES = 1 << 20,
	PACKET_BYTES = PACKET_HEADER_BYTES + LINE_BYTES,
};

static struct feed_rig rig;

static void open_feed(enum engine engine)
{
	line_rig_open(&rig, engine, RING_BYTES);
	fanout_wait_for_disk(&rig.feed->fanout);
}

static void on_disk(uint32_t session, uint64_t next_seq)
{
	const struct fanout_disk answer = {session, next_seq};

	fanout_note_on_disk(&rig.feed->fanout, &answer);
	feed_rig_settle(&rig);
}

static uint32_t session_of(void)
{
	return rig.feed->publish.sequence.session;
}

static void check_raw(size_t reader, unsigned first, unsigned count)
{
	uint8_t *lines = line_rig_make(first, count);

	assert_int_equal(rig.readers[reader].size, (size_t)count * LINE_BYTES);
	assert_memory_equal(rig.readers[reader].bytes, lines, (size_t)count * LINE_BYTES);
	free(lines);
}

// As many lines, the last of which is `count`, and no more; beginning with `first`.
static void check_framed(size_t reader, uint64_t first, unsigned count)
{
	struct rig_wire wire = feed_rig_parse(&rig.readers[reader]);

	assert_int_equal(wire.messages, count);
	if (count)
		assert_int_equal(wire.first_seq, first);
	assert_int_equal(wire.gaps + wire.torn_bytes, 0);
	free(wire.payload);
}

static void they_get_what_is_on_the_disk(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		open_feed(engine);
		on_disk(session_of(), 1);
		line_rig_join(&rig, false, false, 0, ON_SLOW_SKIP);
		line_rig_join(&rig, true, false, 0, ON_SLOW_WAIT);
		for (unsigned i = 0; i < 20; i++)
			line_rig_publish(&rig, i, 1);
		check_raw(0, 0, 0);
		check_framed(1, 1, 0);
		for (unsigned count = 1; count <= 20; count++) {
			on_disk(session_of(), count + 1);
			check_raw(0, 0, count);
			check_framed(1, 1, count);
		}
		// The answer came before the packets did.
		on_disk(session_of(), 31);
		line_rig_publish(&rig, 20, 10);
		check_raw(0, 0, 30);
		check_framed(1, 1, 30);
		(void)line_rig_metrics(&rig);
		feed_rig_close(&rig);
	}
}

// Only the recorder does not wait.
static void who_is_of_relay_gets_all_at_once(void **state)
{
	const struct subscriber_params own = {.on_slow = ON_SLOW_WAIT, .is_relays_own = true};

	(void)state;
	open_feed(ENGINE_COPY);
	feed_set_recorded(rig.framed, true);
	feed_rig_join(&rig, true, false, 0, &own);
	line_rig_join(&rig, true, false, 0, ON_SLOW_WAIT);
	for (unsigned i = 0; i < 5; i++)
		line_rig_publish(&rig, i, 3);
	check_framed(0, 1, 15);
	check_framed(1, 1, 0);
	on_disk(session_of(), 16);
	check_framed(1, 1, 15);
	feed_rig_close(&rig);
}

// It gets what was published before it came, but not on the disk then.
static void a_newcomer_begins_before_what_waits(void **state)
{
	(void)state;
	open_feed(ENGINE_COPY);
	for (unsigned i = 0; i < 10; i++)
		line_rig_publish(&rig, i, 1);
	on_disk(session_of(), 6);
	line_rig_join(&rig, true, false, 0, ON_SLOW_SKIP);
	line_rig_join(&rig, false, false, 0, ON_SLOW_SKIP);
	feed_rig_settle(&rig);
	check_framed(0, 6, 0);
	on_disk(session_of(), 11);
	check_framed(0, 6, 5);
	check_raw(1, 5, 5);
	feed_rig_close(&rig);
}

// Nobody is told of a number that another message may get after a power cut.
static void who_skips_is_told_of_nothing_that_waits(void **state)
{
	struct subscriber *slow;
	struct rig_wire wire;

	(void)state;
	open_feed(ENGINE_COPY);
	on_disk(session_of(), 1);
	line_rig_join(&rig, true, false, FEED_RIG_SMALL, ON_SLOW_SKIP);
	slow = feed_rig_newest(rig.framed);
	rig.readers[0].is_paused = true;
	rig.chunk_bytes = (size_t)2 * LINE_BYTES; // a packet
	line_rig_publish(&rig, 0, 3000);
	on_disk(session_of(), 2001);
	assert_int_equal(slow->state, SUBSCRIBER_BLOCKED);
	slow->must_skip = true;
	rig.readers[0].is_paused = false;
	feed_rig_settle(&rig);
	wire = feed_rig_parse(&rig.readers[0]);
	assert_int_equal(wire.gaps, 1);
	assert_int_equal(wire.gap_to, 2001);
	assert_int_equal(wire.messages + wire.missed, 2000);
	free(wire.payload);
	on_disk(session_of(), 3001);
	wire = feed_rig_parse(&rig.readers[0]);
	assert_int_equal(wire.messages + wire.missed, 3000);
	assert_int_equal(wire.torn_bytes, 0);
	free(wire.payload);
	feed_rig_close(&rig);
}

// The end of the session before, and then the new one.
static void a_session_waits_for_the_one_before(void **state)
{
	uint32_t before;

	(void)state;
	open_feed(ENGINE_COPY);
	before = session_of();
	on_disk(before, 1);
	line_rig_join(&rig, false, false, 0, ON_SLOW_WAIT);
	for (unsigned i = 0; i < 4; i++)
		line_rig_publish(&rig, i, 1);
	number_set(&rig.feed->publish, before + 2, 100);
	for (unsigned i = 4; i < 8; i++)
		line_rig_publish(&rig, i, 1);
	on_disk(before, 3);
	check_raw(0, 0, 0); // not all of its session: that waits
	on_disk(before, 5);
	check_raw(0, 0, 4);
	on_disk(before + 2, 102);
	check_raw(0, 0, 6);
	on_disk(before + 2, 104);
	check_raw(0, 0, 8);
	feed_rig_close(&rig);
}

// Half a ring may wait.  Nothing is given up that waits, and the publisher goes on when it does
// not.
static void the_publisher_is_held(void **state)
{
	enum {
		COUNT = 2 * RING_BYTES / LINE_BYTES
	};
	uint8_t *lines = line_rig_make(0, COUNT);
	struct metrics metrics;

	(void)state;
	open_feed(ENGINE_COPY);
	on_disk(session_of(), 1);
	line_rig_join(&rig, false, false, 0, ON_SLOW_SKIP);
	line_rig_join(&rig, true, false, 0, ON_SLOW_SKIP);
	rig.left = lines;
	rig.left_bytes = (size_t)COUNT * LINE_BYTES;
	while (feed_can_take(rig.feed))
		assert_true(feed_rig_turn(&rig));
	assert_true(rig.left_bytes > 0);
	metrics = line_rig_metrics(&rig);
	assert_in_range(metrics.held_bytes, RING_BYTES / 2, 2 * RING_BYTES + (1 << 17));
	assert_int_equal(rig.readers[0].size, 0);
	for (int turn = 0; rig.left_bytes; turn++) {
		const struct fanout_disk answer = {session_of(),
						   rig.feed->publish.sequence.next_seq};

		fanout_note_on_disk(&rig.feed->fanout, &answer);
		(void)feed_rig_turn(&rig);
		assert_true(turn < 100000);
	}
	feed_rig_settle(&rig);
	on_disk(session_of(), rig.feed->publish.sequence.next_seq);
	check_raw(0, 0, COUNT);
	check_framed(1, 1, COUNT);
	assert_int_equal(line_rig_metrics(&rig).held_bytes, 0);
	assert_int_equal(line_rig_metrics(&rig).skipped_messages, 0);
	free(lines);
	feed_rig_close(&rig);
}

// It gets what was published, the end of it when that is on the disk.
static void the_end_waits_as_well(void **state)
{
	(void)state;
	open_feed(ENGINE_COPY);
	on_disk(session_of(), 1);
	line_rig_join(&rig, true, false, 0, ON_SLOW_SKIP);
	for (unsigned i = 0; i < 4; i++)
		line_rig_publish(&rig, i, 1);
	feed_drain(rig.feed);
	feed_rig_settle(&rig);
	assert_false(rig.readers[0].has_ended);
	check_framed(0, 1, 0);
	on_disk(session_of(), 5);
	check_framed(0, 1, 4);
	assert_true(rig.readers[0].has_ended);
	assert_int_equal(rig.readers[0].end_errno, 0);
	feed_rig_close(&rig);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(they_get_what_is_on_the_disk),
		TEST(who_is_of_relay_gets_all_at_once),
		TEST(a_newcomer_begins_before_what_waits),
		TEST(who_skips_is_told_of_nothing_that_waits),
		TEST(a_session_waits_for_the_one_before),
		TEST(the_publisher_is_held),
		TEST(the_end_waits_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
