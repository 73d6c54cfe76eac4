// SPDX-License-Identifier: MIT
/*
 * Subscribers of a real feed: joining, the past, being slow in each of the three ways, leaving in
 * the worst moment, and what is counted and told about it.
 *
 * This file is longer than 600 lines because all tests share the numbered lines and the one rig.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "net/sockopt.h"
#include "tests/unit/feed_rig.h"

enum {
	LINE_BYTES = 100,
	SMALL = 65536, // of a socket's buffers: blocked soon, and quick once it reads
};

static struct feed_rig rig;

#define FOR_EVERY_ENGINE(engine)                                                                   \
	for (enum engine engine = ENGINE_COPY; engine <= ENGINE_COUNT;                             \
	     engine = (enum engine)(engine + 1))

// Lines that say their own number, from `first` on; malloc'ed.
static uint8_t *numbered_lines(unsigned first, unsigned count)
{
	uint8_t *bytes = malloc((size_t)count * LINE_BYTES + 1);

	for (unsigned i = 0; i < count; i++)
		(void)snprintf((char *)bytes + (size_t)i * LINE_BYTES, LINE_BYTES + 1, "%098u.\n",
			       first + i);
	return bytes;
}

static void publish_lines(unsigned first, unsigned count)
{
	uint8_t *bytes = numbered_lines(first, count);

	feed_rig_publish(&rig, bytes, (size_t)count * LINE_BYTES);
	assert_int_equal(rig.left_bytes, 0);
	free(bytes);
}

static void open_feed(enum engine engine, size_t ring_bytes)
{
	struct feed_params params = feed_rig_params(FRAMING_LINE, engine);

	params.ring_bytes = ring_bytes;
	feed_rig_open(&rig, &params, false);
}

static size_t join(bool framed, bool over_tcp, int buffer, enum on_slow on_slow)
{
	const struct subscriber_params params = {
		.on_slow = on_slow, .input_rate = 1, .max_input_bytes = 100};

	return feed_rig_join(&rig, framed, over_tcp, buffer, &params);
}

static size_t join_with_burst(bool framed, uint64_t bytes, uint64_t ms)
{
	const struct subscriber_params params = {
		.on_slow = ON_SLOW_WAIT, .burst_bytes = bytes, .burst_ms = ms};

	return feed_rig_join(&rig, framed, false, 0, &params);
}

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

static struct metrics metrics_now(void)
{
	struct metrics metrics;

	feed_rig_check_metrics(&rig);
	feed_read_metrics(rig.feed, &metrics);
	return metrics;
}

// --- joining

static void a_newcomer_is_greeted_and_gets_what_comes(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		struct rig_wire wire;

		open_feed(engine, 1 << 20);
		publish_lines(0, 50);
		join(true, true, 0, ON_SLOW_SKIP);
		join(false, true, 0, ON_SLOW_SKIP);
		feed_rig_settle(&rig);
		assert_int_equal(rig.readers[0].size, PACKET_HEADER_BYTES);
		assert_int_equal(rig.readers[1].size, 0);
		publish_lines(50, 50);
		wire = feed_rig_parse(&rig.readers[0]);
		assert_int_equal(wire.heartbeats, 1);
		assert_int_equal(wire.first_seq, 51);
		assert_int_equal(wire.next_seq, 101);
		free(wire.payload);
		assert_int_equal(rig.readers[1].size, 50 * LINE_BYTES);
		assert_int_equal(metrics_now().delivered_messages, 100);
		feed_rig_close(&rig);
	}
}

static void a_newcomer_is_told_that_there_is_no_source(void **state)
{
	struct rig_wire wire;

	(void)state;
	open_feed(ENGINE_COPY, 1 << 20);
	feed_rig_end_source(&rig);
	join(true, false, 0, ON_SLOW_SKIP);
	feed_rig_settle(&rig);
	wire = feed_rig_parse(&rig.readers[0]);
	assert_int_equal(wire.heartbeats, 1);
	assert_int_equal(wire.downs, 1);
	free(wire.payload);
	feed_rig_close(&rig);
}

static void a_burst_begins_at_a_message(void **state)
{
	uint8_t *lines = numbered_lines(0, 100);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		open_feed(engine, 1 << 20);
		for (unsigned i = 0; i < 100; i += 5)
			publish_lines(i, 5);
		join_with_burst(false, 2030, 0);
		join_with_burst(true, 2030, 0);
		join_with_burst(false, 0, 1000000);
		join_with_burst(true, 1 << 30, 1000000);
		feed_rig_settle(&rig);
		assert_in_range(rig.readers[0].size, LINE_BYTES, 2030);
		feed_rig_check_payload(&rig, 0, lines + 10000 - rig.readers[0].size,
				       rig.readers[0].size);
		assert_int_equal(rig.readers[0].size % LINE_BYTES, 0);
		feed_rig_check_payload(&rig, 2, lines, 10000);
		feed_rig_check_payload(&rig, 3, lines, 10000);
		feed_rig_close(&rig);
	}
	free(lines);
}

/* Each packet is a segment of its own, and they are more than one visit serves.  Nothing else
 * happens in this feed that could bring the rest. */
static void a_long_burst_comes_whole_on_a_silent_feed(void **state)
{
	uint8_t *lines = numbered_lines(0, 100);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		open_feed(engine, 8 << 20);
		for (unsigned i = 0; i < 100; i++)
			publish_lines(i, 1);
		join_with_burst(false, 1 << 30, 0);
		join_with_burst(true, 1 << 30, 0);
		feed_rig_settle(&rig);
		feed_rig_check_payload(&rig, 0, lines, 10000);
		feed_rig_check_payload(&rig, 1, lines, 10000);
		feed_rig_close(&rig);
	}
	free(lines);
}

// --- slow ones

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

		open_feed(engine, 200000);
		join(true, true, SMALL, ON_SLOW_SKIP);
		join(false, true, SMALL, ON_SLOW_SKIP);
		join(true, true, 0, ON_SLOW_SKIP);
		rig.readers[0].is_paused = rig.readers[1].is_paused = true;
		for (unsigned i = 0; i < 30; i++)
			publish_lines(i * 1000, 1000);
		rig.readers[0].is_paused = rig.readers[1].is_paused = false;
		publish_lines(30000, 10);
		feed_rig_settle(&rig);
		publish_lines(30010, 10);

		wire = feed_rig_parse(&rig.readers[0]);
		assert_int_equal(wire.torn_bytes, 0);
		assert_true(wire.gaps >= 1);
		assert_int_equal(wire.messages + wire.missed, 30020);
		assert_int_equal(count_lines(wire.payload, wire.size, &last), wire.messages);
		assert_int_equal(last, 30019);
		raw_count = count_lines(rig.readers[1].bytes, rig.readers[1].size, &last);
		assert_int_equal(last, 30019);
		assert_true(raw_count < 30020);
		metrics = metrics_now();
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
		open_feed(engine, 200000);
		join(true, true, SMALL, ON_SLOW_DISCONNECT);
		join(false, true, SMALL, ON_SLOW_DISCONNECT);
		join(false, true, 0, ON_SLOW_DISCONNECT);
		rig.readers[0].is_paused = rig.readers[1].is_paused = true;
		for (unsigned i = 0; i < 30; i++)
			publish_lines(i * 1000, 1000);
		feed_tick(rig.feed, now_ms());
		rig.readers[0].is_paused = rig.readers[1].is_paused = false;
		feed_rig_settle(&rig);
		assert_int_equal(rig.feed->fanout.closed[CLOSE_LAG], 2);
		assert_int_equal(feed_subscriber_count(rig.feed), 1);
		assert_int_equal(rig.readers[0].end_errno, ECONNRESET);
		assert_int_equal(rig.readers[1].end_errno, ECONNRESET);
		assert_int_equal(rig.readers[2].size, 30000 * LINE_BYTES);
		(void)metrics_now();
		feed_rig_close(&rig);
	}
}

static void one_that_is_waited_for_gets_everything(void **state)
{
	uint8_t *lines = numbered_lines(0, 20000);
	const size_t size = 20000 * LINE_BYTES;

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		open_feed(engine, 200000);
		join(true, true, SMALL, ON_SLOW_WAIT);
		join(false, false, 0, ON_SLOW_WAIT);
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
		assert_int_equal(metrics_now().delivered_messages, 40000);
		feed_rig_close(&rig);
	}
	free(lines);
}

static void whoever_stalls_is_closed_and_the_wait_is_over(void **state)
{
	uint8_t *lines = numbered_lines(0, 20000);
	struct subscriber *slow;

	(void)state;
	open_feed(ENGINE_SPLICE, 200000);
	rig.feed->params.fanout.stall_timeout_ms = 5000;
	rig.feed->params.fanout.grace_ms = 2000;
	join(false, true, SMALL, ON_SLOW_WAIT);
	slow = feed_rig_newest(rig.raw);
	join(false, false, 0, ON_SLOW_WAIT);
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
	feed_tick(rig.feed, now_ms() + 1000000); // one that has read all does not stall
	assert_int_equal(feed_subscriber_count(rig.feed), 1);
	feed_rig_close(&rig);
	free(lines);
}

// relay itself was stopped for a minute, twice as long as anybody may take no bytes.
static void a_pause_of_relay_itself_counts_against_nobody(void **state)
{
	struct subscriber *slow;
	uint64_t start_ms;

	(void)state;
	for (int by_time = 0; by_time < 2; by_time++) {
		open_feed(ENGINE_SPLICE, 8 << 20);
		rig.feed->params.fanout.stall_timeout_ms = by_time ? 0 : 30000;
		rig.feed->params.fanout.max_lag_ms = by_time ? 30000 : 0;
		rig.feed->params.fanout.grace_ms = 2000;
		join(false, true, SMALL, ON_SLOW_DISCONNECT);
		slow = feed_rig_newest(rig.raw);
		rig.readers[0].is_paused = true;
		publish_lines(0, 5000);
		assert_int_equal(slow->state, SUBSCRIBER_BLOCKED);
		start_ms = now_ms();
		feed_excuse(rig.feed, start_ms + 60000, 60000);
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

	feed_tick(some->feed, now_ms() + ++turns * 2000);
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
	open_feed(ENGINE_COPY, 8 << 20);
	join(false, true, SMALL, ON_SLOW_WAIT);
	one = feed_rig_newest(rig.raw);
	sockopt_set_user_timeout(one->fd, 30000);
	publish_lines(0, 10);
	assert_true(has_its_user_timeout(&rig));
	rig.readers[0].is_paused = true;
	publish_lines(10, 20000);
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
	feed_tick(some->feed, now_ms());
	return some->feed->fanout.closed[CLOSE_LAG] == 1;
}

static void the_limits_of_lag_are_bytes_and_time(void **state)
{
	(void)state;
	for (int by_time = 0; by_time < 2; by_time++) {
		open_feed(ENGINE_SPLICE, 8 << 20);
		join(false, true, SMALL, ON_SLOW_DISCONNECT);
		rig.readers[0].is_paused = true;
		publish_lines(0, 5000);
		feed_tick(rig.feed, now_ms());
		assert_int_equal(feed_subscriber_count(rig.feed), 1);
		rig.feed->params.fanout.max_lag_bytes = by_time ? 0 : 100000;
		rig.feed->params.fanout.max_lag_ms = by_time ? 1 : 0;
		feed_rig_run_until(&rig, has_closed_for_lag);
		feed_rig_close(&rig);
	}
}

// --- leaving

static bool has_some(const struct feed_rig *some)
{
	return some->readers[0].size > 150000;
}

/* In the middle of a message that lies in many segments.  Nothing was delivered whole, and the end
 * must not look like a clean one. */
static void one_that_leaves_in_mid_message_is_reset_and_got_nothing_whole(void **state)
{
	uint8_t *message = malloc(4000000);

	(void)state;
	memset(message, 'x', 4000000);
	message[3999999] = '\n';
	FOR_EVERY_ENGINE(engine)
	{
		open_feed(engine, 8 << 20);
		join(false, true, SMALL, ON_SLOW_WAIT);
		rig.left = message;
		rig.left_bytes = 4000000;
		feed_rig_run_until(&rig, has_some);
		rig.readers[0].is_paused = true;
		assert_true(rig.feed->metrics.in_messages == 1);
		assert_int_equal(metrics_now().delivered_messages, 0);
		subscriber_close(feed_rig_newest(rig.raw), CLOSE_REMOVED);
		assert_int_equal(metrics_now().delivered_messages, 0);
		rig.readers[0].is_paused = false;
		feed_rig_settle(&rig);
		assert_int_equal(rig.readers[0].end_errno, ECONNRESET);
		feed_rig_close(&rig);
	}
	free(message);
}

static bool has_no_subscriber(const struct feed_rig *some)
{
	return feed_subscriber_count(some->feed) == 0;
}

static void what_a_subscriber_sends_is_ignored_up_to_a_limit(void **state)
{
	const char input[101] = "hello";

	(void)state;
	open_feed(ENGINE_SPLICE, 1 << 20);
	join(false, true, 0, ON_SLOW_SKIP);
	assert_int_equal(write(rig.readers[0].fd, input, 100), 100);
	publish_lines(0, 10);
	for (int i = 0; i < 1000 && rig.feed->metrics.subscriber_input < 100; i++)
		(void)feed_rig_turn(&rig);
	assert_int_equal(rig.feed->metrics.subscriber_input, 100);
	assert_int_equal(feed_subscriber_count(rig.feed), 1);
	assert_int_equal(write(rig.readers[0].fd, input, 100), 100);
	feed_rig_run_until(&rig, has_no_subscriber);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_INPUT], 1);
	feed_rig_close(&rig);
}

static void one_that_has_half_closed_goes_on_receiving(void **state)
{
	(void)state;
	open_feed(ENGINE_SPLICE, 1 << 20);
	join(false, true, 0, ON_SLOW_SKIP);
	assert_int_equal(shutdown(rig.readers[0].fd, SHUT_WR), 0);
	for (int i = 0; i < 20; i++)
		(void)feed_rig_turn(&rig);
	publish_lines(0, 10);
	assert_int_equal(rig.readers[0].size, 10 * LINE_BYTES);
	feed_rig_close(&rig);
}

static void one_that_has_gone_is_noticed_at_the_next_bytes(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		open_feed(engine, 1 << 20);
		join(false, true, 0, ON_SLOW_SKIP);
		join(true, false, 0, ON_SLOW_SKIP);
		for (size_t i = 0; i < 2; i++) {
			fd_close(&rig.readers[i].fd);
			rig.readers[i].has_ended = true;
		}
		for (unsigned i = 0; i < 200 && feed_subscriber_count(rig.feed); i++)
			publish_lines(i, 1);
		assert_int_equal(feed_subscriber_count(rig.feed), 0);
		assert_int_equal(rig.feed->fanout.closed[CLOSE_PEER_RESET] +
					 rig.feed->fanout.closed[CLOSE_PEER_CLOSED],
				 2);
		(void)metrics_now();
		feed_rig_close(&rig);
	}
}

/* Two that are closed in one tick; and the owner, told that the wait is over, closes the one that
 * comes next in the same list. */
static void several_may_close_in_one_turn(void **state)
{
	uint8_t *lines = numbered_lines(0, 20000);

	(void)state;
	open_feed(ENGINE_SPLICE, 200000);
	rig.feed->params.fanout.stall_timeout_ms = 5000;
	join(false, true, SMALL, ON_SLOW_WAIT);
	join(false, true, SMALL, ON_SLOW_WAIT);
	join(false, true, SMALL, ON_SLOW_SKIP);
	rig.close_on_ready = feed_rig_newest(rig.raw);
	join(true, false, 0, ON_SLOW_WAIT);
	for (size_t i = 0; i < 3; i++)
		rig.readers[i].is_paused = true;
	feed_rig_publish(&rig, lines, 20000 * LINE_BYTES);
	assert_true(rig.feed->fanout.is_waiting);
	assert_int_equal(metrics_now().subscribers_blocked, 3);
	rig.close_on_ready->progress_ms = now_ms() + 6000; // this one does not stall
	feed_tick(rig.feed, now_ms() + 6000);
	feed_rig_settle(&rig);
	assert_true(rig.ready_calls > 0);
	assert_int_equal(feed_subscriber_count(rig.feed), 1);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_STALLED], 2);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_REMOVED], 1);
	feed_rig_check_payload(&rig, 3, lines, 20000 * LINE_BYTES);
	feed_rig_close(&rig);
	free(lines);
}

// --- passes

static void a_pass_is_cut_into_turns_and_may_be_joined_and_left(void **state)
{
	uint8_t *lines = numbered_lines(0, 4000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		size_t late;

		open_feed(engine, 1 << 20);
		rig.feed->params.fanout.turn_budget_ns = 0;
		for (int i = 0; i < 35; i++)
			join(i % 2, false, 0, ON_SLOW_WAIT);
		rig.left = lines;
		rig.left_bytes = 4000 * LINE_BYTES;
		while (!rig.feed->fanout.pass.is_running || list_is_empty(&rig.raw->ready))
			(void)feed_rig_turn(&rig);
		assert_false(feed_can_take(rig.feed));
		// one that waits for its turn goes, another comes
		subscriber_close(list_entry(list_first(&rig.raw->ready), struct subscriber, node),
				 CLOSE_REMOVED);
		late = join(true, false, 0, ON_SLOW_WAIT);
		rig.result = INTAKE_TOOK;
		feed_rig_settle(&rig);
		for (size_t i = 0; i < 35; i++) {
			if (!rig.readers[i].has_ended)
				feed_rig_check_payload(&rig, i, lines, 4000 * LINE_BYTES);
		}
		assert_false(rig.readers[late].has_ended);
		free(feed_rig_parse(&rig.readers[late]).payload);
		assert_int_equal(feed_subscriber_count(rig.feed), 35);
		assert_true(rig.feed->metrics.turns > rig.feed->metrics.in_packets);
		(void)metrics_now();
		feed_rig_close(&rig);
	}
	free(lines);
}

// --- news and ends

static void a_silent_feed_has_heartbeats_where_the_format_can_say_it(void **state)
{
	struct rig_wire wire;

	(void)state;
	open_feed(ENGINE_SPLICE, 1 << 20);
	rig.feed->params.fanout.heartbeat_ms = 1000;
	join(true, false, 0, ON_SLOW_SKIP);
	join(false, false, 0, ON_SLOW_SKIP);
	publish_lines(0, 7);
	feed_tick(rig.feed, rig.feed->publish.last_ms + 500);
	feed_tick(rig.feed, rig.feed->publish.last_ms + 1500);
	feed_rig_settle(&rig);
	wire = feed_rig_parse(&rig.readers[0]);
	assert_int_equal(wire.heartbeats, 2); // the greeting is one
	assert_int_equal(wire.next_seq, 8);
	free(wire.payload);
	assert_int_equal(rig.readers[1].size, 7 * LINE_BYTES);
	assert_int_equal(rig.feed->metrics.heartbeats, 1);
	assert_int_equal(metrics_now().delivered_messages, 14);
	feed_rig_close(&rig);
}

static void a_drain_lets_everybody_finish(void **state)
{
	uint8_t *lines = numbered_lines(0, 5000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		open_feed(engine, 8 << 20);
		join(true, true, SMALL, ON_SLOW_WAIT);
		join(false, true, SMALL, ON_SLOW_WAIT);
		join(true, false, 0, ON_SLOW_WAIT);
		join(false, false, 0, ON_SLOW_WAIT);
		rig.readers[0].is_paused = rig.readers[1].is_paused = true;
		feed_rig_publish(&rig, lines, 5000 * LINE_BYTES);
		feed_drain(rig.feed);
		feed_drain(rig.feed);
		feed_rig_settle(&rig);
		assert_int_equal(feed_subscriber_count(rig.feed), 2);
		assert_false(feed_can_take(rig.feed));
		rig.readers[0].is_paused = rig.readers[1].is_paused = false;
		feed_rig_run_until(&rig, has_no_subscriber);
		for (int i = 0; i < 20; i++)
			feed_rig_settle(&rig);
		assert_int_equal(rig.feed->fanout.closed[CLOSE_DRAIN], 4);
		for (size_t i = 0; i < 4; i++) {
			feed_rig_check_payload(&rig, i, lines, 5000 * LINE_BYTES);
			assert_true(rig.readers[i].has_ended);
			assert_int_equal(rig.readers[i].end_errno, 0);
		}
		struct rig_wire wire = feed_rig_parse(&rig.readers[0]);
		assert_int_equal(wire.ends, 1);
		free(wire.payload);
		feed_rig_close(&rig);
	}
	free(lines);
}

static void a_format_takes_its_subscribers_along(void **state)
{
	(void)state;
	open_feed(ENGINE_SPLICE, 1 << 20);
	join(true, false, 0, ON_SLOW_SKIP);
	join(false, false, 0, ON_SLOW_SKIP);
	assert_int_equal(feed_subscriber_count(rig.feed), 2);
	publish_lines(0, 10);
	feed_close_rendition(&rig.framed);
	assert_null(rig.framed);
	assert_int_equal(feed_subscriber_count(rig.feed), 1);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_REMOVED], 1);
	rig.framed = feed_open_rendition(rig.feed, &encoder_framed);
	join(true, false, 0, ON_SLOW_SKIP);
	publish_lines(10, 10);
	assert_int_equal(rig.readers[1].size, 20 * LINE_BYTES);
	assert_true(rig.readers[0].has_ended);
	struct rig_wire wire = feed_rig_parse(&rig.readers[2]);
	assert_int_equal(wire.first_seq, 11);
	assert_int_equal(wire.messages, 10);
	free(wire.payload);
	feed_rig_close(&rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_newcomer_is_greeted_and_gets_what_comes),
		TEST(a_newcomer_is_told_that_there_is_no_source),
		TEST(a_burst_begins_at_a_message),
		TEST(a_long_burst_comes_whole_on_a_silent_feed),
		TEST(one_that_skips_is_told_what_it_missed),
		TEST(one_that_lags_is_disconnected_by_reset),
		TEST(one_that_is_waited_for_gets_everything),
		TEST(whoever_stalls_is_closed_and_the_wait_is_over),
		TEST(the_kernel_does_not_count_while_a_window_is_closed),
		TEST(a_pause_of_relay_itself_counts_against_nobody),
		TEST(the_limits_of_lag_are_bytes_and_time),
		TEST(one_that_leaves_in_mid_message_is_reset_and_got_nothing_whole),
		TEST(what_a_subscriber_sends_is_ignored_up_to_a_limit),
		TEST(one_that_has_half_closed_goes_on_receiving),
		TEST(one_that_has_gone_is_noticed_at_the_next_bytes),
		TEST(several_may_close_in_one_turn),
		TEST(a_pass_is_cut_into_turns_and_may_be_joined_and_left),
		TEST(a_silent_feed_has_heartbeats_where_the_format_can_say_it),
		TEST(a_drain_lets_everybody_finish),
		TEST(a_format_takes_its_subscribers_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
