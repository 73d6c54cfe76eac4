// SPDX-License-Identifier: MIT
/* Members of a combination: their messages, what is missing of them, and their sessions and
 * ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "feed/crossing.h"
#include "feed/crossing_member.h"
#include "feed/number.h"
#include "packet/encoder.h"
#include "tests/unit/feed_rig.h"

enum {
	MEMBERS = 2
};

/* The rig's feed is member a; b has no publisher.  All are in one loop. */
static struct feed_rig rig;
static struct feed *feeds[MEMBERS];
static struct feed *combination;
static struct members members;
static struct inbox inbox;
static struct rendition *events;

static void open_all(void)
{
	struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);
	const struct feed_events no_events = {.owner = NULL};

	feed_rig_open(&rig, &params, false);
	inbox_open(&inbox, rig.loop);
	feeds[0] = rig.feed;
	assert_int_equal(feed_new(rig.loop, &params, &no_events, &feeds[1]), 0);
	params.is_combination = true;
	assert_int_equal(feed_new(rig.loop, &params, &no_events, &combination), 0);
	members = (struct members){.feed = combination, .count = MEMBERS};
	for (size_t i = 0; i < MEMBERS; i++) {
		struct member *member = &members.list[i];

		member->framing = params.framing;
		member->from = (struct packet_feed){i ? "b" : "a", &member->framing};
		assert_int_equal(crossing_new(&feeds[i]->publish.crossings, &inbox, combination,
					      &inbox, &member->crossing),
				 0);
	}
	members_attach(&members);
	for (size_t i = 0; i < MEMBERS; i++)
		crossing_attach_home(members.list[i].crossing);
	events = feed_open_rendition(combination, &encoder_events_plain);
	assert_non_null(events);
	(void)feed_rig_join_rendition(&rig, events, false, 0, NULL);
}

static void close_all(void)
{
	for (size_t i = 0; i < MEMBERS; i++)
		crossing_detach_home(members.list[i].crossing);
	members_detach(&members);
	feed_free(&combination, CLOSE_REMOVED);
	feed_free(&feeds[1], CLOSE_REMOVED);
	inbox_close(&inbox);
	for (size_t i = 0; i < MEMBERS; i++)
		crossing_free(&members.list[i].crossing);
	feed_rig_close(&rig);
}

static void publish_to_b(const char *text)
{
	struct packet packet = {.type = PACKET_DATA, .count = 1, .length = strlen(text)};
	struct payload payload = {.kind = PAYLOAD_COPY, .bytes = (const uint8_t *)text};

	assert_true(number_put(&feeds[1]->publish, &packet, &payload));
	feed_serve_packet(feeds[1], 0);
}

static const char *expected;

static bool has_expected(const struct feed_rig *some)
{
	const struct rig_reader *reader = &some->readers[0];

	return reader->size >= strlen(expected) &&
	       memmem(reader->bytes, reader->size, expected, strlen(expected));
}

static void wait_for(const char *text)
{
	expected = text;
	feed_rig_run_until(&rig, has_expected);
}

static uint32_t session(void)
{
	return combination->publish.sequence.session;
}

static void wait_for_message(uint64_t number, const char *name, const char *data)
{
	char text[128];

	(void)snprintf(text, sizeof(text), "id: %u-%llu\nevent: %s\ndata: %s\n\n", session(),
		       (unsigned long long)number, name, data);
	wait_for(text);
}

static void each_message_has_a_number_and_a_name(void **state)
{
	(void)state;
	open_all();
	feed_rig_publish(&rig, "1\n", 2);
	wait_for_message(1, "a", "1");
	publish_to_b("x\n");
	wait_for_message(2, "b", "x");
	feed_rig_publish(&rig, "2\n", 2);
	wait_for_message(3, "a", "2");
	assert_int_equal(combination->metrics.in_messages, 0);
	assert_int_equal(combination->metrics.delivered_bytes, rig.readers[0].size);
	close_all();
}

static void what_is_missing_of_one_is_missing_here(void **state)
{
	const struct packet hole = {
		.type = PACKET_GAP, .flags = PACKET_FLAG_HOLE, .first_seq = 1, .time_ns = 1000};

	(void)state;
	open_all();
	publish_to_b("x\n");
	wait_for_message(1, "b", "x");
	number_miss(&feeds[1]->publish, 5);
	wait_for("data: {\"feed\":\"b\",\"from\":2,\"to\":7}\n\n");
	publish_packet(&feeds[1]->publish, &hole, NULL); /* nobody has lost anything */
	publish_to_b("y\n");
	wait_for_message(7, "b", "y");
	assert_int_equal(combination->metrics.source_missed, 5);
	close_all();
}

static void a_new_session_of_one_is_a_new_one_here(void **state)
{
	uint32_t before;

	(void)state;
	open_all();
	publish_to_b("x\n");
	wait_for_message(1, "b", "x");
	before = session();
	number_set(&feeds[1]->publish, 77, 1);
	publish_to_b("y\n");
	wait_for("data: y\n");
	assert_int_not_equal(session(), before);
	assert_int_equal(combination->publish.sequence.next_seq, 2);
	wait_for_message(1, "b", "y");
	close_all();
}

static bool has_ended(const struct feed_rig *some)
{
	return some->readers[0].has_ended;
}

/* Without memory for it, a packet of one cannot be sent: whoever reads must not take it for all. */
static void a_loss_closes_all_and_begins_anew(void **state)
{
	uint32_t before;

	(void)state;
	open_all();
	publish_to_b("x\n");
	wait_for_message(1, "b", "x");
	before = session();
	crossings_lose(&feeds[1]->publish.crossings);
	publish_to_b("y\n");
	feed_rig_run_until(&rig, has_ended);
	assert_int_equal(combination->fanout.closed[CLOSE_NO_MEMORY], 1);
	assert_int_not_equal(session(), before);
	close_all();
}

static void it_ends_with_the_last_of_them(void **state)
{
	(void)state;
	open_all();
	feed_drain(feeds[1]);
	feed_rig_publish(&rig, "1\n", 2);
	wait_for_message(1, "a", "1");
	assert_false(combination->is_draining);
	feed_drain(feeds[0]);
	feed_rig_run_until(&rig, has_ended);
	assert_int_equal(combination->fanout.closed[CLOSE_DRAIN], 1);
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_message_has_a_number_and_a_name,
						feed_rig_setup, feed_rig_teardown),
		cmocka_unit_test_setup_teardown(what_is_missing_of_one_is_missing_here,
						feed_rig_setup, feed_rig_teardown),
		cmocka_unit_test_setup_teardown(a_new_session_of_one_is_a_new_one_here,
						feed_rig_setup, feed_rig_teardown),
		cmocka_unit_test_setup_teardown(a_loss_closes_all_and_begins_anew, feed_rig_setup,
						feed_rig_teardown),
		cmocka_unit_test_setup_teardown(it_ends_with_the_last_of_them, feed_rig_setup,
						feed_rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
