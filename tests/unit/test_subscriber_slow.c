// SPDX-License-Identifier: MIT
/* Subscribers of a real feed that are slow, in each of the three ways, and the limits of lag. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "net/sockopt.h"
#include "tests/unit/line_rig.h"

static struct feed_rig rig;

// What came is numbered lines in order, whole ones; returns how many.
static unsigned count_lines(const uint8_t *bytes, size_t size, unsigned *ret_last)
{
	long last = -1;

	assert_int_equal(size % LINE_BYTES, 0);
	for (size_t at = 0; at < size; at += LINE_BYTES) {
		long number = strtol((const char *)bytes + at, NULL, 10);

		assert_memory_equal(bytes + at + 98, ".\n", 2);
		assert_true(number > last);
		last = number;
	}
	*ret_last = (unsigned)last;
	return (unsigned)(size / LINE_BYTES);
}

static void one_that_skips_is_told_what_it_missed(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		struct metrics metrics;
		struct rig_wire wire;
		unsigned last, raw_count;

		line_rig_open(&rig, engine, 200000);
		line_rig_join(&rig, true, true, FEED_RIG_SMALL, ON_SLOW_SKIP);
		line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_SKIP);
		line_rig_join(&rig, true, true, 0, ON_SLOW_SKIP);
		rig.readers[0].is_paused = rig.readers[1].is_paused = true;
		for (unsigned i = 0; i < 30; i++)
			line_rig_publish(&rig, i * 1000, 1000);
		rig.readers[0].is_paused = rig.readers[1].is_paused = false;
		line_rig_publish(&rig, 30000, 10);
		feed_rig_settle(&rig);
		line_rig_publish(&rig, 30010, 10);

		wire = feed_rig_parse(&rig.readers[0]);
		assert_int_equal(wire.torn_bytes, 0);
		assert_true(wire.gaps >= 1);
		assert_int_equal(wire.messages + wire.missed, 30020);
		assert_int_equal(count_lines(wire.payload, wire.size, &last), wire.messages);
		assert_int_equal(last, 30019);
		raw_count = count_lines(rig.readers[1].bytes, rig.readers[1].size, &last);
		assert_int_equal(last, 30019);
		assert_true(raw_count < 30020);
		metrics = line_rig_metrics(&rig);
		assert_int_equal(metrics.skipped_messages, wire.missed + 30020 - raw_count);
		// the sum of promise 2
		assert_int_equal(metrics.delivered_messages + metrics.skipped_messages, 3 * 30020);
		free(wire.payload);
		wire = feed_rig_parse(&rig.readers[2]); // the quick one lost nothing
		assert_int_equal(wire.messages, 30020);
		assert_int_equal(wire.gaps, 0);
		free(wire.payload);
		feed_rig_close(&rig);
	}
}

static void one_that_lags_is_disconnected_by_reset(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		line_rig_open(&rig, engine, 200000);
		line_rig_join(&rig, true, true, FEED_RIG_SMALL, ON_SLOW_DISCONNECT);
		line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_DISCONNECT);
		line_rig_join(&rig, false, true, 0, ON_SLOW_DISCONNECT);
		rig.readers[0].is_paused = rig.readers[1].is_paused = true;
		for (unsigned i = 0; i < 30; i++)
			line_rig_publish(&rig, i * 1000, 1000);
		feed_tick(rig.feed, line_rig_now_ms());
		rig.readers[0].is_paused = rig.readers[1].is_paused = false;
		feed_rig_settle(&rig);
		assert_int_equal(rig.feed->fanout.closed[CLOSE_LAG], 2);
		assert_int_equal(feed_subscriber_count(rig.feed), 1);
		assert_int_equal(rig.readers[0].end_errno, ECONNRESET);
		assert_int_equal(rig.readers[1].end_errno, ECONNRESET);
		assert_int_equal(rig.readers[2].size, 30000 * LINE_BYTES);
		(void)line_rig_metrics(&rig);
		feed_rig_close(&rig);
	}
}

static void one_that_is_waited_for_gets_everything(void **state)
{
	uint8_t *lines = line_rig_make(0, 20000);
	const size_t size = 20000 * LINE_BYTES;

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		line_rig_open(&rig, engine, 200000);
		line_rig_join(&rig, true, true, FEED_RIG_SMALL, ON_SLOW_WAIT);
		line_rig_join(&rig, false, false, 0, ON_SLOW_WAIT);
		rig.readers[0].is_paused = true;
		feed_rig_publish(&rig, lines, size);
		assert_true(rig.left_bytes > 0);
		assert_true(rig.feed->fanout.is_waiting);
		assert_false(feed_can_take(rig.feed));
		assert_true(rig.feed->metrics.in_bytes < 600000);
		assert_int_equal(rig.ready_calls, 0);
		rig.readers[0].is_paused = false;
		feed_rig_settle(&rig);
		assert_int_equal(rig.left_bytes, 0);
		feed_rig_check_payload(&rig, 0, lines, size);
		feed_rig_check_payload(&rig, 1, lines, size);
		assert_true(rig.ready_calls > 0);
		assert_true(rig.feed->metrics.wait_pauses > 0);
		assert_int_equal(line_rig_metrics(&rig).delivered_messages, 40000);
		feed_rig_close(&rig);
	}
	free(lines);
}

static void whoever_stalls_is_closed_and_the_wait_is_over(void **state)
{
	uint8_t *lines = line_rig_make(0, 20000);
	struct subscriber *slow;

	(void)state;
	line_rig_open(&rig, ENGINE_SPLICE, 200000);
	rig.feed->params.fanout.stall_timeout_ms = 5000;
	rig.feed->params.fanout.grace_ms = 2000;
	line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_WAIT);
	slow = feed_rig_newest(rig.raw);
	line_rig_join(&rig, false, false, 0, ON_SLOW_WAIT);
	rig.readers[0].is_paused = true;
	feed_rig_publish(&rig, lines, 20000 * LINE_BYTES);
	feed_tick(rig.feed, slow->joined_ms + 1900);
	feed_tick(rig.feed, slow->progress_ms + 4900);
	assert_int_equal(feed_subscriber_count(rig.feed), 2);
	feed_tick(rig.feed, slow->progress_ms + 5500);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_STALLED], 1);
	feed_rig_settle(&rig);
	assert_true(rig.ready_calls > 0);
	feed_rig_check_payload(&rig, 1, lines, 20000 * LINE_BYTES);
	feed_tick(rig.feed, line_rig_now_ms() + 1000000); // one that has read all does not stall
	assert_int_equal(feed_subscriber_count(rig.feed), 1);
	feed_rig_close(&rig);
	free(lines);
}

// relay itself was stopped for a minute, twice as long as anybody may take no bytes.
static void a_pause_of_relay_itself_counts_against_nobody(void **state)
{
	struct subscriber *slow;
	uint64_t start_ms, arrived_ns;

	(void)state;
	for (int by_time = 0; by_time < 2; by_time++) {
		line_rig_open(&rig, ENGINE_SPLICE, 8 << 20);
		rig.feed->params.fanout.stall_timeout_ms = by_time ? 0 : 30000;
		rig.feed->params.fanout.max_lag_ms = by_time ? 30000 : 0;
		rig.feed->params.fanout.grace_ms = 2000;
		line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_DISCONNECT);
		slow = feed_rig_newest(rig.raw);
		rig.readers[0].is_paused = true;
		line_rig_publish(&rig, 0, 5000);
		assert_int_equal(slow->state, SUBSCRIBER_BLOCKED);
		start_ms = line_rig_now_ms();
		arrived_ns = cursor_unread_time(&slow->cursor, &slow->rendition->ring);
		feed_excuse(rig.feed, start_ms + 60000, 60000);
		// When it came is asked for, by since= and burst: that stays.
		assert_int_equal(cursor_unread_time(&slow->cursor, &slow->rendition->ring),
				 arrived_ns);
		feed_tick(rig.feed, start_ms + 60000);
		assert_true(slow->joined_ms > start_ms + 50000); // its grace was not over
		feed_tick(rig.feed, start_ms + 89000);
		assert_int_equal(feed_subscriber_count(rig.feed), 1);
		// It took bytes a moment ago: that is not in the future.
		slow->progress_ms = start_ms + 89000;
		feed_excuse(rig.feed, start_ms + 89000, 20000);
		assert_int_equal(slow->progress_ms, start_ms + 89000);
		assert_true(slow->joined_ms < start_ms + 61000); // and that was over
		feed_tick(rig.feed, start_ms + 89000 + 31000);
		assert_int_equal(rig.feed->fanout.closed[by_time ? CLOSE_LAG : CLOSE_STALLED], 1);
		feed_rig_close(&rig);
	}
}

static bool has_user_timeout(const struct feed_rig *some, uint32_t ms)
{
	static uint64_t turns; // each one is a time to look

	feed_tick(some->feed, line_rig_now_ms() + ++turns * 2000);
	return sockopt_user_timeout(feed_rig_newest(some->raw)->fd) == ms;
}

static bool has_no_user_timeout(const struct feed_rig *some)
{
	return has_user_timeout(some, 0);
}

static bool has_its_user_timeout(const struct feed_rig *some)
{
	return has_user_timeout(some, 30000);
}

static void the_kernel_does_not_count_while_a_window_is_closed(void **state)
{
	const struct subscriber *one;

	(void)state;
	line_rig_open(&rig, ENGINE_COPY, 8 << 20);
	line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_WAIT);
	one = feed_rig_newest(rig.raw);
	sockopt_set_user_timeout(one->fd, 30000);
	line_rig_publish(&rig, 0, 10);
	assert_true(has_its_user_timeout(&rig));
	rig.readers[0].is_paused = true;
	line_rig_publish(&rig, 10, 20000);
	feed_rig_run_until(&rig, has_no_user_timeout);
	assert_int_equal(one->user_timeout_ms, 30000);
	rig.readers[0].is_paused = false;
	feed_rig_settle(&rig);
	feed_rig_run_until(&rig, has_its_user_timeout);
	assert_int_equal(one->user_timeout_ms, 0);
	assert_int_equal(rig.readers[0].size, 20010 * LINE_BYTES);
	feed_rig_close(&rig);
}

static bool has_closed_for_lag(const struct feed_rig *some)
{
	feed_tick(some->feed, line_rig_now_ms());
	return some->feed->fanout.closed[CLOSE_LAG] == 1;
}

static void the_limits_of_lag_are_bytes_and_time(void **state)
{
	(void)state;
	for (int by_time = 0; by_time < 2; by_time++) {
		line_rig_open(&rig, ENGINE_SPLICE, 8 << 20);
		line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_DISCONNECT);
		rig.readers[0].is_paused = true;
		line_rig_publish(&rig, 0, 5000);
		feed_tick(rig.feed, line_rig_now_ms());
		assert_int_equal(feed_subscriber_count(rig.feed), 1);
		rig.feed->params.fanout.max_lag_bytes = by_time ? 0 : 100000;
		rig.feed->params.fanout.max_lag_ms = by_time ? 1 : 0;
		feed_rig_run_until(&rig, has_closed_for_lag);
		feed_rig_close(&rig);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_skips_is_told_what_it_missed),
		TEST(one_that_lags_is_disconnected_by_reset),
		TEST(one_that_is_waited_for_gets_everything),
		TEST(whoever_stalls_is_closed_and_the_wait_is_over),
		TEST(a_pause_of_relay_itself_counts_against_nobody),
		TEST(the_kernel_does_not_count_while_a_window_is_closed),
		TEST(the_limits_of_lag_are_bytes_and_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
