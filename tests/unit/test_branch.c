// SPDX-License-Identifier: MIT
/* A branch of a feed: it has every format, and it wakes, sleeps and catches up without a loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "feed/crossing.h"
#include "feed/crossing_branch.h"
#include "feed/crossing_item.h"
#include "feed/settle.h"
#include "tests/unit/web_rig.h"

static struct web_rig web;

/* A branch as another worker has it, here in the same loop. */
struct branch {
	struct feed *feed;
	struct inbox inbox;
	struct crossing *crossing;
	struct rendition *renditions[FORMATS];
};

static struct branch branch;

static void open_branch(struct feed_params params)
{
	const struct feed_events events = {.owner = NULL};

	params.is_branch = true;
	assert_int_equal(feed_new(web.rig.loop, &params, &events, &branch.feed), 0);
	inbox_open(&branch.inbox, web.rig.loop);
	assert_int_equal(crossing_new(&web.rig.feed->publish.crossings, &branch.inbox, branch.feed,
				      &branch.inbox, &branch.crossing),
			 0);
	crossing_attach_branch(branch.crossing);
	crossing_attach_home(branch.crossing);
	for (size_t i = 0; i < FORMATS; i++) {
		branch.renditions[i] = feed_open_rendition(branch.feed, web.formats[i].encoder);
		assert_non_null(branch.renditions[i]);
	}
}

static void close_branch(void)
{
	crossing_detach_home(branch.crossing);
	crossing_detach_branch(branch.crossing);
	feed_free(&branch.feed, CLOSE_REMOVED);
	inbox_close(&branch.inbox);
	crossing_free(&branch.crossing);
	feed_rig_close(&web.rig);
}

static bool is_awake(const struct feed_rig *some)
{
	(void)some;
	return branch.feed->publish.is_awake;
}

static size_t expected_bytes;

static bool have_all(const struct feed_rig *some)
{
	for (size_t i = 0; i < some->reader_count; i++) {
		struct format_wire wire = web_rig_read(&web, i % FORMATS, i);

		free(wire.payload);
		if (wire.size < expected_bytes)
			return false;
	}
	return true;
}

static void a_branch_has_every_format(void **state)
{
	struct rig_stream stream = web_rig_make_lines(600000, 3000);

	(void)state;
	expected_bytes = stream.size;
	FOR_EVERY_ENGINE(engine)
	{
		const struct feed_params params = feed_rig_params(FRAMING_LINE, engine);

		web_rig_open(&web, &params);
		open_branch(params);
		for (size_t i = 0; i < 2 * FORMATS; i++)
			feed_rig_join_rendition(&web.rig, branch.renditions[i % FORMATS], true, 0,
						NULL);
		feed_rig_run_until(&web.rig, is_awake);
		web.rig.left = stream.bytes;
		web.rig.left_bytes = stream.size;
		feed_rig_run_until(&web.rig, have_all);
		for (size_t i = 0; i < 2 * FORMATS; i++)
			web_rig_check(&web, i % FORMATS, i, stream.bytes, stream.size);
		assert_int_equal(branch.feed->metrics.engine_fallbacks, 0);
		assert_int_equal(web.rig.feed->metrics.crossing_losses, 0);
		close_branch();
	}
	feed_rig_free_stream(&stream);
}

/* What a branch slept through is told, or ends the subscriber; it is not passed over. */
static void a_branch_that_slept_says_what_is_missing(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);
	const struct subscriber_params past = {.has_from = true, .from_seq = 2};
	const struct subscriber_params present = {.has_from = true, .from_seq = 4};
	struct format_wire wire;

	(void)state;
	web_rig_open(&web, &params);
	open_branch(params);
	web_rig_publish(&web, "1\n2\n3\n");
	feed_rig_join_rendition(&web.rig, branch.renditions[BINARY], true, 0, &past);
	feed_rig_join_rendition(&web.rig, branch.renditions[CHUNKED], true, 0, &past);
	feed_rig_join_rendition(&web.rig, branch.renditions[MESSAGES], true, 0, &present);
	feed_rig_run_until(&web.rig, is_awake);
	feed_rig_settle(&web.rig);
	assert_int_equal(branch.feed->fanout.closed[CLOSE_LAG], 1);
	assert_int_equal(feed_subscriber_count(branch.feed), 2);
	wire = web_rig_read(&web, BINARY, 0);
	assert_int_equal(wire.gaps, 1);
	assert_memory_equal(web.rig.readers[0].bytes + 2, "{\"gap\":{\"from\":2,\"to\":4}}", 25);
	free(wire.payload);
	wire = web_rig_read(&web, MESSAGES, 2);
	assert_int_equal(wire.gaps, 0);
	assert_int_equal(wire.torn_bytes, 0);
	free(wire.payload);
	close_branch();
}

/* Publishes and takes in at home, before either loop has run. */
static void publish_at_home(const char *text)
{
	int err = 0;

	web.rig.left = (const uint8_t *)text;
	web.rig.left_bytes = strlen(text);
	assert_int_equal(write(web.rig.publisher_fd, web.rig.left, web.rig.left_bytes),
			 web.rig.left_bytes);
	web.rig.left_bytes = 0;
	assert_int_equal(feed_take(web.rig.feed, &web.rig.source, &err), INTAKE_TOOK);
}

/* Home has not heard of it yet, and is already taking in: the bytes came after the question. */
static void a_branch_gets_what_comes_after_it_asked(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		const struct feed_params params = feed_rig_params(FRAMING_LINE, engine);
		struct format_wire wire;

		web_rig_open(&web, &params);
		open_branch(params);
		feed_rig_settle(&web.rig);
		feed_rig_join_rendition(&web.rig, branch.renditions[CHUNKED], false, 0, NULL);
		publish_at_home("1\n2\n");
		expected_bytes = 4;
		feed_rig_run_until(&web.rig, have_all);
		wire = web_rig_read(&web, CHUNKED, 0);
		assert_memory_equal(wire.payload, "1\n2\n", 4);
		free(wire.payload);
		close_branch();
	}
}

static bool has_heard_of_the_source(const struct feed_rig *some)
{
	struct format_wire wire = web_rig_read(&web, EVENTS, 0);

	(void)some;
	free(wire.payload);
	return wire.sources == 2;
}

/* That there is no source, then that there is one. */
static void a_branch_hears_of_a_source_that_comes_after_it_asked(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);

	(void)state;
	web_rig_open(&web, &params);
	open_branch(params);
	feed_rig_end_source(&web.rig);
	feed_rig_join_rendition(&web.rig, branch.renditions[EVENTS], false, 0, NULL);
	feed_source_up(web.rig.feed);
	feed_rig_run_until(&web.rig, has_heard_of_the_source);
	close_branch();
}

/* Two lines, which an awake branch has not taken yet. */
static void publish_ahead_of_branch(void)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);

	web_rig_open(&web, &params);
	open_branch(params);
	feed_rig_join_rendition(&web.rig, branch.renditions[CHUNKED], false, 0, NULL);
	feed_rig_run_until(&web.rig, is_awake);
	publish_at_home("1\n2\n");
}

static void a_branch_can_be_made_to_catch_up(void **state)
{
	uint64_t oldest, next;

	(void)state;
	publish_ahead_of_branch();
	rendition_range(branch.renditions[CHUNKED], &oldest, &next);
	assert_int_equal(next, 1);
	feed_catch_up(branch.feed);
	rendition_range(branch.renditions[CHUNKED], &oldest, &next);
	assert_int_equal(next, 3);
	feed_catch_up(web.rig.feed); /* home is never behind itself */
	close_branch();
}

static void tick(struct feed *home)
{
	crossings_tick(&home->publish.crossings);
	crossing_take_all(branch.crossing);
}

static void drain(struct feed *home)
{
	crossings_send_drain(&home->publish.crossings);
	crossing_take_all(branch.crossing);
}

/* A packet could not be sent, and none comes behind it.  Nobody may go on as if there were nothing
 * missing, least of all in the next process, which does not know of it. */
static void a_loss_is_told_though_nothing_follows(void **state)
{
	void (*const looks[])(struct feed * home) = {tick, crossing_settle, drain};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		publish_ahead_of_branch();
		crossings_lose(&web.rig.feed->publish.crossings);
		looks[i](web.rig.feed);
		assert_int_equal(branch.feed->fanout.closed[CLOSE_NO_MEMORY], 1);
		assert_int_equal(branch.feed->publish.sequence.next_seq, 3);
		close_branch();
	}
}

static void expect_item(enum crossing_kind kind, uint64_t first_seq)
{
	struct crossing_item *item = crossing_pop(branch.crossing);

	assert_non_null(item);
	assert_int_equal(item->kind, kind);
	assert_int_equal(item->packet.first_seq, first_seq);
	crossing_item_free(item);
}

/* Who joins between the two is told that the next one comes. */
static void a_loss_ends_where_the_next_packet_begins(void **state)
{
	(void)state;
	publish_ahead_of_branch();
	crossings_lose(&web.rig.feed->publish.crossings);
	publish_at_home("3\n");
	expect_item(CROSSING_PACKET, 1);
	expect_item(CROSSING_LOSS, 3);
	expect_item(CROSSING_PACKET, 3);
	close_branch();
}

/* Who is let in behind the sleep misses nothing, and is not told so. */
static void a_loss_is_told_before_a_sleep(void **state)
{
	struct crossings *home;

	(void)state;
	publish_ahead_of_branch();
	home = &web.rig.feed->publish.crossings;
	crossings_lose(home);
	atomic_store(&branch.crossing->is_wanted, false);
	crossings_answer(home);
	expect_item(CROSSING_PACKET, 1);
	expect_item(CROSSING_LOSS, 3);
	expect_item(CROSSING_SLEEP, 3);
	close_branch();
}

/* A request for a time may be answered by any worker, and in any format. */
static void a_packet_came_at_one_time_everywhere(void **state)
{
	uint64_t came_ns;

	(void)state;
	publish_ahead_of_branch();
	came_ns = cursor_oldest_time(&web.formats[CHUNKED].rendition->ring);
	assert_in_range(came_ns, 1, clock_mono_ns());
	feed_catch_up(branch.feed);
	for (size_t i = 0; i < FORMATS; i++) {
		assert_int_equal(cursor_oldest_time(&web.formats[i].rendition->ring), came_ns);
		assert_int_equal(cursor_oldest_time(&branch.renditions[i]->ring), came_ns);
	}
	close_branch();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_branch_has_every_format),
		TEST(a_branch_that_slept_says_what_is_missing),
		TEST(a_branch_gets_what_comes_after_it_asked),
		TEST(a_branch_hears_of_a_source_that_comes_after_it_asked),
		TEST(a_branch_can_be_made_to_catch_up),
		TEST(a_loss_is_told_though_nothing_follows),
		TEST(a_loss_ends_where_the_next_packet_begins),
		TEST(a_loss_is_told_before_a_sleep),
		TEST(a_packet_came_at_one_time_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
