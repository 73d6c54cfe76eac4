// SPDX-License-Identifier: MIT
/* A census of a real feed: who is listed, in which order, and how many there are of each kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "fanout/census.h"
#include "tests/unit/feed_rig.h"

enum {
	LINE_BYTES = 100,
	SMALL = 8192, // of a socket's buffers: blocked soon
};

static struct feed_rig rig;

static void open_feed(void)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);

	feed_rig_open(&rig, &params, false);
}

/* The rig numbers them from 1 on. */
static void join(bool framed, int buffer)
{
	const struct subscriber_params params = {.on_slow = ON_SLOW_SKIP};

	feed_rig_join(&rig, framed, true, buffer, &params);
}

static void publish_lines(unsigned count)
{
	size_t bytes = (size_t)count * LINE_BYTES;
	char *lines = malloc(bytes);

	memset(lines, 'x', bytes);
	for (unsigned i = 1; i <= count; i++)
		lines[i * LINE_BYTES - 1] = '\n';
	feed_rig_publish(&rig, lines, bytes);
	free(lines);
}

static struct census take(enum census_order order, bool is_slow_only, size_t limit)
{
	uint64_t now_ns = clock_mono_ns();
	struct census part, sum;

	assert_int_equal(census_init(&part, order, is_slow_only, limit), 0);
	assert_int_equal(census_init(&sum, order, is_slow_only, limit), 0);
	census_add(&part, &rig.feed->fanout, now_ns);
	assert_int_equal(census_list(&part, now_ns), 0);
	assert_int_equal(census_merge(&sum, &part), 0);
	census_fini(&part);
	census_sort(&sum);
	return sum;
}

static uint64_t sum_of_buckets(const struct census *census)
{
	uint64_t sum = 0;

	for (int i = 0; i < CENSUS_LAG_BUCKETS; i++)
		sum += census->lag_buckets[i];
	return sum;
}

static void an_empty_feed_has_an_empty_census(void **state)
{
	struct census census;

	(void)state;
	open_feed();
	census = take(CENSUS_BY_LAG, false, 5);
	assert_int_equal(census.total, 0);
	assert_int_equal(census.count, 0);
	assert_int_equal(sum_of_buckets(&census), 0);
	census_fini(&census);
	census_fini(&census);
	feed_rig_close(&rig);
}

static void who_lags_comes_first(void **state)
{
	const struct census_row *row;
	struct census census;

	(void)state;
	open_feed();
	join(false, 0);
	join(true, SMALL);
	join(true, 0);
	rig.readers[1].is_paused = true;
	publish_lines(30000);
	census = take(CENSUS_BY_LAG, false, 10);
	assert_int_equal(census.total, 3);
	assert_int_equal(census.count, 3);
	row = &census.rows[0];
	assert_int_equal(row->id, 2);
	assert_int_equal(row->state, SUBSCRIBER_BLOCKED);
	assert_string_equal(census_state_name(row->state), "blocked");
	assert_string_equal(row->format, "framed");
	assert_true(row->lag_bytes > 1000000);
	assert_int_equal(row->delivered_messages + row->lag_messages, 30000);
	assert_true(row->queued_bytes > 0);
	assert_true(row->cause != CAUSE_UNKNOWN);
	assert_int_equal(row->peer.storage.ss_family, AF_INET);
	assert_int_equal(census.rows[1].id, 1);
	assert_int_equal(census.rows[2].id, 3);
	assert_int_equal(census.rows[1].lag_bytes, 0);
	assert_int_equal(census.rows[1].lag_ms, 0);
	assert_int_equal(census.rows[1].delivered_messages, 30000);
	assert_string_equal(census.rows[1].format, "raw");
	assert_int_equal(sum_of_buckets(&census), 3);
	assert_true(census.lag_buckets[0] >= 2);
	census_fini(&census);

	census = take(CENSUS_BY_LAG, true, 10);
	assert_int_equal(census.total, 1);
	assert_int_equal(census.count, 1);
	assert_int_equal(census.rows[0].id, 2);
	census_fini(&census);
	feed_rig_close(&rig);
}

/* Every limit cuts every order at the right place; they are met format by format. */
static void the_first_of_the_order_are_listed(void **state)
{
	enum {
		COUNT = 12
	};

	(void)state;
	open_feed();
	for (size_t i = 0; i < COUNT; i++)
		join(i % 2, 0);
	feed_rig_settle(&rig);
	for (int order = CENSUS_BY_LAG; order <= CENSUS_BY_ID; order++) {
		for (size_t limit = 0; limit <= COUNT + 1; limit++) {
			struct census census = take((enum census_order)order, false, limit);

			assert_int_equal(census.total, COUNT);
			assert_int_equal(census.count, size_min(limit, COUNT));
			for (size_t i = 1; i < census.count; i++)
				assert_true(census.rows[i - 1].key >= census.rows[i].key);
			/* Nobody has got anything: all are equal, so the order is that of ids. */
			for (size_t i = 0; i < census.count && order != CENSUS_BY_AGE; i++)
				assert_int_equal(census.rows[i].id, i + 1);
			census_fini(&census);
		}
	}
	feed_rig_close(&rig);
}

/* As the parts of several workers are. */
static void parts_add_up(void **state)
{
	struct census part, sum;

	(void)state;
	open_feed();
	for (int i = 0; i < 5; i++)
		join(true, 0);
	feed_rig_settle(&rig);
	assert_int_equal(census_init(&sum, CENSUS_BY_ID, false, 7), 0);
	for (int i = 0; i < 2; i++) {
		part = take(CENSUS_BY_ID, false, 7);
		assert_int_equal(census_merge(&sum, &part), 0);
		census_fini(&part);
	}
	census_sort(&sum);
	assert_int_equal(sum.total, 10);
	assert_int_equal(sum.count, 7);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(sum.rows[i].id, 1 + i / 2);
	assert_int_equal(sum_of_buckets(&sum), 10);
	census_fini(&sum);
	feed_rig_close(&rig);
}

static void a_subscriber_is_found_by_its_id(void **state)
{
	struct subscriber *found;

	(void)state;
	open_feed();
	join(true, 0);
	join(false, 0);
	feed_rig_settle(&rig);
	assert_null(fanout_find_subscriber(&rig.feed->fanout, 3));
	found = fanout_find_subscriber(&rig.feed->fanout, 2);
	assert_non_null(found);
	assert_int_equal(found->id, 2);
	subscriber_close(found, CLOSE_KICKED);
	assert_null(fanout_find_subscriber(&rig.feed->fanout, 2));
	assert_int_equal(rig.feed->fanout.closed[CLOSE_KICKED], 1);
	feed_rig_close(&rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(an_empty_feed_has_an_empty_census), TEST(who_lags_comes_first),
		TEST(the_first_of_the_order_are_listed), TEST(parts_add_up),
		TEST(a_subscriber_is_found_by_its_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
