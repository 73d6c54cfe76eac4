// SPDX-License-Identifier: MIT
/*
 * What a WebSocket subscriber of a real feed sends, handed over to another owner between two
 * messages: it must not show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "http/websocket_input.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/parse_rig.h"

enum {
	WORDS_MAX = 512,
	MAX_BYTES = 1000, // that a client may send
};

static struct feed_rig rig;
static struct rendition *rendition;

static struct subscriber *begin(void)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);
	const struct subscriber_params wanted = {
		.on_slow = ON_SLOW_WAIT,
		.input_rate = 1,
		.max_input_bytes = MAX_BYTES + WEBSOCKET_INPUT_SLACK,
		.input = &websocket_input,
		.input_owner = websocket_input_new(MAX_BYTES, false),
	};

	feed_rig_open(&rig, &params, false);
	rendition = feed_open_rendition(rig.feed, &encoder_websocket);
	assert_non_null(rendition);
	feed_rig_join_rendition(&rig, rendition, false, 0, &wanted);
	feed_rig_settle(&rig);
	return feed_rig_newest(rendition);
}

// Sends, and lets the subscriber read all of it.
static void say(const uint8_t *bytes, size_t count)
{
	int unread = 1;

	assert_int_equal(write(rig.readers[0].fd, bytes, count), count);
	while (unread) {
		(void)feed_rig_turn(&rig);
		if (list_length(&rendition->idle) == 0)
			break; // closed
		assert_int_equal(ioctl(feed_rig_newest(rendition)->fd, FIONREAD, &unread), 0);
	}
	feed_rig_settle(&rig);
}

static size_t say_hex(const char *text)
{
	uint8_t words[WORDS_MAX];
	size_t count = parse_rig_read_hex(text, words, sizeof(words));

	say(words, count);
	return count;
}

// As over a hand-over, if it may.
static bool hand_over(struct subscriber *subscriber)
{
	uint64_t max_bytes = 0;

	if (!subscriber->input->may_go_on(subscriber->input_owner, &max_bytes))
		return false;
	assert_int_equal(max_bytes, MAX_BYTES);
	subscriber->input->free(subscriber->input_owner);
	subscriber->input_owner = websocket_input_new(max_bytes, false);
	assert_non_null(subscriber->input_owner);
	return true;
}

// A ping, a text in fragments with a pong and a character across them, a long binary, a ping.
static const char words_of_all_kinds[] =
	"89 85 K 48656c6c6f; 01 83 K 4772c3; 8a 82 K 6869; 80 83 K "
	"bcc39f; 82 fe 0082 K 61*130; 89 81 K 78; 89 80 K;";

static void between_two_messages_it_does_not_show(void **state)
{
	static const uint8_t expected[] = "\x89\x00\x8a\x05Hello\x8a\x01x\x8a\x00";
	uint8_t words[WORDS_MAX];
	size_t count = parse_rig_read_hex(words_of_all_kinds, words, sizeof(words));
	unsigned handed_over = 0;

	(void)state;
	for (size_t at = 0; at <= count; at++) {
		struct subscriber *subscriber = begin();

		if (at > 0)
			say(words, at);
		handed_over += hand_over(subscriber) && hand_over(subscriber);
		if (at < count)
			say(words + at, count - at);
		assert_int_equal(rig.readers[0].size, sizeof(expected) - 1);
		assert_memory_equal(rig.readers[0].bytes, expected, sizeof(expected) - 1);
		assert_false(rig.readers[0].has_ended);
		feed_rig_close(&rig);
	}
	// before it all, and behind each ping and message: the pong stands within the text
	assert_int_equal(handed_over, 6);
}

static void bytes_are_counted_on(void **state)
{
	(void)state;
	assert_true(hand_over(begin()));
	(void)say_hex("82 fe 0190 K 61*400;");
	assert_true(hand_over(feed_rig_newest(rendition)));
	(void)say_hex("82 fe 0190 K 61*400;");
	assert_int_equal(rig.feed->fanout.closed[CLOSE_INPUT], 0);
	assert_true(hand_over(feed_rig_newest(rendition)));
	(void)say_hex("82 fe 0190 K 61*400;");
	assert_int_equal(rig.feed->fanout.closed[CLOSE_INPUT], 1);
	feed_rig_close(&rig);
}

static void the_bounds_of_a_message_are_those_it_had(void **state)
{
	(void)state;
	assert_true(hand_over(begin()));
	(void)say_hex("02 fe 0190 K 61*400;");
	assert_false(hand_over(feed_rig_newest(rendition)));
	(void)say_hex("80 fe 0259"); // 601 more
	assert_int_equal(rig.feed->fanout.closed[CLOSE_INPUT_TOO_LONG], 1);
	feed_rig_close(&rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(between_two_messages_it_does_not_show),
		TEST(bytes_are_counted_on),
		TEST(the_bounds_of_a_message_are_those_it_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
