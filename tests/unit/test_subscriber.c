// SPDX-License-Identifier: MIT
/*
 * Subscribers of a real feed: joining, the past, leaving in the worst moment, and what is counted
 * and told about it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/line_rig.h"

static struct feed_rig rig;

static size_t join_with_burst(bool framed, uint64_t bytes, uint64_t ms)
{
	const struct subscriber_params params = {
		.on_slow = ON_SLOW_WAIT, .burst_bytes = bytes, .burst_ms = ms};

	return feed_rig_join(&rig, framed, false, 0, &params);
}

// --- joining

static void a_newcomer_is_greeted_and_gets_what_comes(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		struct rig_wire wire;

		line_rig_open(&rig, engine, 1 << 20);
		line_rig_publish(&rig, 0, 50);
		line_rig_join(&rig, true, true, 0, ON_SLOW_SKIP);
		line_rig_join(&rig, false, true, 0, ON_SLOW_SKIP);
		feed_rig_settle(&rig);
		assert_int_equal(rig.readers[0].size, PACKET_HEADER_BYTES);
		assert_int_equal(rig.readers[1].size, 0);
		line_rig_publish(&rig, 50, 50);
		wire = feed_rig_parse(&rig.readers[0]);
		assert_int_equal(wire.heartbeats, 1);
		assert_int_equal(wire.first_seq, 51);
		assert_int_equal(wire.next_seq, 101);
		free(wire.payload);
		assert_int_equal(rig.readers[1].size, 50 * LINE_BYTES);
		assert_int_equal(line_rig_metrics(&rig).delivered_messages, 100);
		feed_rig_close(&rig);
	}
}

static void a_newcomer_is_told_that_there_is_no_source(void **state)
{
	struct rig_wire wire;

	(void)state;
	line_rig_open(&rig, ENGINE_COPY, 1 << 20);
	feed_rig_end_source(&rig);
	line_rig_join(&rig, true, false, 0, ON_SLOW_SKIP);
	feed_rig_settle(&rig);
	wire = feed_rig_parse(&rig.readers[0]);
	assert_int_equal(wire.heartbeats, 1);
	assert_int_equal(wire.downs, 1);
	free(wire.payload);
	feed_rig_close(&rig);
}

static void a_burst_begins_at_a_message(void **state)
{
	uint8_t *lines = line_rig_make(0, 100);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		line_rig_open(&rig, engine, 1 << 20);
		for (unsigned i = 0; i < 100; i += 5)
			line_rig_publish(&rig, i, 5);
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
	uint8_t *lines = line_rig_make(0, 100);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		line_rig_open(&rig, engine, 8 << 20);
		for (unsigned i = 0; i < 100; i++)
			line_rig_publish(&rig, i, 1);
		join_with_burst(false, 1 << 30, 0);
		join_with_burst(true, 1 << 30, 0);
		feed_rig_settle(&rig);
		feed_rig_check_payload(&rig, 0, lines, 10000);
		feed_rig_check_payload(&rig, 1, lines, 10000);
		feed_rig_close(&rig);
	}
	free(lines);
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
		line_rig_open(&rig, engine, 8 << 20);
		line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_WAIT);
		rig.left = message;
		rig.left_bytes = 4000000;
		feed_rig_run_until(&rig, has_some);
		rig.readers[0].is_paused = true;
		assert_true(rig.feed->metrics.in_messages == 1);
		assert_int_equal(line_rig_metrics(&rig).delivered_messages, 0);
		subscriber_close(feed_rig_newest(rig.raw), CLOSE_REMOVED);
		assert_int_equal(line_rig_metrics(&rig).delivered_messages, 0);
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
	line_rig_open(&rig, ENGINE_SPLICE, 1 << 20);
	line_rig_join(&rig, false, true, 0, ON_SLOW_SKIP);
	assert_int_equal(write(rig.readers[0].fd, input, 100), 100);
	line_rig_publish(&rig, 0, 10);
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
	line_rig_open(&rig, ENGINE_SPLICE, 1 << 20);
	line_rig_join(&rig, false, true, 0, ON_SLOW_SKIP);
	assert_int_equal(shutdown(rig.readers[0].fd, SHUT_WR), 0);
	for (int i = 0; i < 20; i++)
		(void)feed_rig_turn(&rig);
	line_rig_publish(&rig, 0, 10);
	assert_int_equal(rig.readers[0].size, 10 * LINE_BYTES);
	feed_rig_close(&rig);
}

static void one_that_has_gone_is_noticed_at_the_next_bytes(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		line_rig_open(&rig, engine, 1 << 20);
		line_rig_join(&rig, false, true, 0, ON_SLOW_SKIP);
		line_rig_join(&rig, true, false, 0, ON_SLOW_SKIP);
		for (size_t i = 0; i < 2; i++) {
			fd_close(&rig.readers[i].fd);
			rig.readers[i].has_ended = true;
		}
		for (unsigned i = 0; i < 200 && feed_subscriber_count(rig.feed); i++)
			line_rig_publish(&rig, i, 1);
		assert_int_equal(feed_subscriber_count(rig.feed), 0);
		assert_int_equal(rig.feed->fanout.closed[CLOSE_PEER_RESET] +
					 rig.feed->fanout.closed[CLOSE_PEER_CLOSED],
				 2);
		(void)line_rig_metrics(&rig);
		feed_rig_close(&rig);
	}
}

/* Two that are closed in one tick; and the owner, told that the wait is over, closes the one that
 * comes next in the same list. */
static void several_may_close_in_one_turn(void **state)
{
	uint8_t *lines = line_rig_make(0, 20000);

	(void)state;
	line_rig_open(&rig, ENGINE_SPLICE, 200000);
	rig.feed->params.fanout.stall_timeout_ms = 5000;
	line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_WAIT);
	line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_WAIT);
	line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_SKIP);
	rig.close_on_ready = feed_rig_newest(rig.raw);
	line_rig_join(&rig, true, false, 0, ON_SLOW_WAIT);
	for (size_t i = 0; i < 3; i++)
		rig.readers[i].is_paused = true;
	feed_rig_publish(&rig, lines, 20000 * LINE_BYTES);
	assert_true(rig.feed->fanout.is_waiting);
	assert_int_equal(line_rig_metrics(&rig).subscribers_blocked, 3);
	rig.close_on_ready->progress_ms = line_rig_now_ms() + 6000; // this one does not stall
	feed_tick(rig.feed, line_rig_now_ms() + 6000);
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
	uint8_t *lines = line_rig_make(0, 4000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		size_t late;

		line_rig_open(&rig, engine, 1 << 20);
		rig.feed->params.fanout.turn_budget_ns = 0;
		for (int i = 0; i < 35; i++)
			line_rig_join(&rig, i % 2, false, 0, ON_SLOW_WAIT);
		rig.left = lines;
		rig.left_bytes = 4000 * LINE_BYTES;
		while (!rig.feed->fanout.pass.is_running || list_is_empty(&rig.raw->ready))
			(void)feed_rig_turn(&rig);
		assert_false(feed_can_take(rig.feed));
		// one that waits for its turn goes, another comes
		subscriber_close(list_entry(list_first(&rig.raw->ready), struct subscriber, node),
				 CLOSE_REMOVED);
		late = line_rig_join(&rig, true, false, 0, ON_SLOW_WAIT);
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
		(void)line_rig_metrics(&rig);
		feed_rig_close(&rig);
	}
	free(lines);
}

// --- news and ends

static void a_silent_feed_has_heartbeats_where_the_format_can_say_it(void **state)
{
	struct rig_wire wire;

	(void)state;
	line_rig_open(&rig, ENGINE_SPLICE, 1 << 20);
	rig.feed->params.fanout.heartbeat_ms = 1000;
	line_rig_join(&rig, true, false, 0, ON_SLOW_SKIP);
	line_rig_join(&rig, false, false, 0, ON_SLOW_SKIP);
	line_rig_publish(&rig, 0, 7);
	feed_tick(rig.feed, rig.feed->publish.last_ms + 500);
	feed_tick(rig.feed, rig.feed->publish.last_ms + 1500);
	feed_rig_settle(&rig);
	wire = feed_rig_parse(&rig.readers[0]);
	assert_int_equal(wire.heartbeats, 2); // the greeting is one
	assert_int_equal(wire.next_seq, 8);
	free(wire.payload);
	assert_int_equal(rig.readers[1].size, 7 * LINE_BYTES);
	assert_int_equal(rig.feed->metrics.heartbeats, 1);
	assert_int_equal(line_rig_metrics(&rig).delivered_messages, 14);
	feed_rig_close(&rig);
}

static void a_drain_lets_everybody_finish(void **state)
{
	uint8_t *lines = line_rig_make(0, 5000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		line_rig_open(&rig, engine, 8 << 20);
		line_rig_join(&rig, true, true, FEED_RIG_SMALL, ON_SLOW_WAIT);
		line_rig_join(&rig, false, true, FEED_RIG_SMALL, ON_SLOW_WAIT);
		line_rig_join(&rig, true, false, 0, ON_SLOW_WAIT);
		line_rig_join(&rig, false, false, 0, ON_SLOW_WAIT);
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
	line_rig_open(&rig, ENGINE_SPLICE, 1 << 20);
	line_rig_join(&rig, true, false, 0, ON_SLOW_SKIP);
	line_rig_join(&rig, false, false, 0, ON_SLOW_SKIP);
	assert_int_equal(feed_subscriber_count(rig.feed), 2);
	line_rig_publish(&rig, 0, 10);
	feed_close_rendition(&rig.framed);
	assert_null(rig.framed);
	assert_int_equal(feed_subscriber_count(rig.feed), 1);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_REMOVED], 1);
	rig.framed = feed_open_rendition(rig.feed, &encoder_framed);
	line_rig_join(&rig, true, false, 0, ON_SLOW_SKIP);
	line_rig_publish(&rig, 10, 10);
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
