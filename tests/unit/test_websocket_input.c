// SPDX-License-Identifier: MIT
/*
 * What a WebSocket subscriber of a real feed sends, handed over to another owner in the middle of
 * it: wherever that is, it must not show.
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

#include "base/clock.h"
#include "base/state_stream.h"
#include "http/websocket_input.h"
#include "net/token_bucket.h"
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
		.input_owner = websocket_input_new(MAX_BYTES),
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

// As over a hand-over, into memory of just the size.
static void hand_over(struct subscriber *subscriber)
{
	uint8_t room[SUBSCRIBER_INPUT_STATE_MAX];
	size_t count = subscriber->input->capture(subscriber->input_owner, room);
	uint8_t *bytes = malloc(count);

	assert_true(count > 0);
	memcpy(bytes, room, count);
	subscriber->input->free(subscriber->input_owner);
	subscriber->input_owner = subscriber->input->restore(bytes, count);
	assert_non_null(subscriber->input_owner);
	free(bytes);
}

// A ping, a text in fragments with a pong and a character across them, a long binary, a ping.
static const char words_of_all_kinds[] =
	"89 85 K 48656c6c6f; 01 83 K 4772c3; 8a 82 K 6869; 80 83 K "
	"bcc39f; 82 fe 0082 K 61*130; 89 81 K 78; 89 80 K;";

static void wherever_it_is_cut_it_does_not_show(void **state)
{
	static const uint8_t expected[] = "\x89\x00\x8a\x05Hello\x8a\x01x\x8a\x00";
	uint8_t words[WORDS_MAX];
	size_t count = parse_rig_read_hex(words_of_all_kinds, words, sizeof(words));

	(void)state;
	for (size_t at = 0; at <= count; at++) {
		struct subscriber *subscriber = begin();

		if (at > 0)
			say(words, at);
		hand_over(subscriber);
		hand_over(subscriber);
		if (at < count)
			say(words + at, count - at);
		assert_int_equal(rig.readers[0].size, sizeof(expected) - 1);
		assert_memory_equal(rig.readers[0].bytes, expected, sizeof(expected) - 1);
		assert_false(rig.readers[0].has_ended);
		feed_rig_close(&rig);
	}
}

static void bytes_are_counted_on(void **state)
{
	(void)state;
	hand_over(begin());
	(void)say_hex("82 fe 0190 K 61*400;");
	hand_over(feed_rig_newest(rendition));
	(void)say_hex("82 fe 0190 K 61*400;");
	assert_int_equal(rig.feed->fanout.closed[CLOSE_INPUT], 0);
	hand_over(feed_rig_newest(rendition));
	(void)say_hex("82 fe 0190 K 61*400;");
	assert_int_equal(rig.feed->fanout.closed[CLOSE_INPUT], 1);
	feed_rig_close(&rig);
}

static void the_bounds_of_a_message_are_those_it_had(void **state)
{
	(void)state;
	(void)begin();
	(void)say_hex("02 fe 0190 K 61*400;");
	hand_over(feed_rig_newest(rendition));
	(void)say_hex("80 fe 0259"); // 601 more
	assert_int_equal(rig.feed->fanout.closed[CLOSE_INPUT_TOO_LONG], 1);
	feed_rig_close(&rig);
}

static void a_level_stays(void **state)
{
	struct token_bucket one, other;
	struct state_stream stream, back;

	(void)state;
	token_bucket_init(&one, 10, 20);
	token_bucket_init(&other, 0, 0);
	token_bucket_take(&one, NS_PER_S, 20);
	state_stream_write(&stream);
	token_bucket_transfer(&stream, &one);
	assert_int_equal(state_stream_read(&back, stream.bytes, stream.length, NULL, 0), 0);
	token_bucket_transfer(&back, &other);
	assert_null(back.fault);
	for (uint64_t tokens = 1; tokens < 30; tokens++) {
		assert_int_equal(token_bucket_wait_ns(&other, NS_PER_S, tokens),
				 tokens * NS_PER_S / 10);
		assert_int_equal(token_bucket_wait_ns(&one, NS_PER_S, tokens),
				 tokens * NS_PER_S / 10);
	}
	state_stream_free(&stream);
}

// Cut, lengthened, of another version, and with any byte wrong: refused, or an owner that works.
static void nothing_wrong_is_believed(void **state)
{
	uint8_t bytes[SUBSCRIBER_INPUT_STATE_MAX + 1], ping[32];
	size_t ping_bytes = parse_rig_read_hex("89 81 K 78;", ping, sizeof(ping));
	size_t cuts[] = {0, 1, 7, 13, 30};

	(void)state;
	for (size_t c = 0; c < sizeof(cuts) / sizeof(*cuts); c++) {
		struct subscriber *subscriber = begin();
		uint8_t words[WORDS_MAX];
		size_t count;

		(void)parse_rig_read_hex(words_of_all_kinds, words, sizeof(words));
		if (cuts[c])
			say(words, cuts[c]);
		count = websocket_input.capture(subscriber->input_owner, bytes);
		for (size_t length = 0; length < count; length++)
			assert_null(websocket_input.restore(bytes, length));
		bytes[count] = 0;
		assert_null(websocket_input.restore(bytes, count + 1));
		for (size_t i = 0; i < count; i++) {
			uint8_t before = bytes[i];

			for (unsigned wrong = 0; wrong < 256; wrong += 51) {
				uint8_t copy[sizeof(ping)];
				void *owner;

				bytes[i] = (uint8_t)wrong;
				owner = websocket_input.restore(bytes, count);
				if (!owner)
					continue;
				memcpy(copy, ping, ping_bytes);
				(void)websocket_input.on_bytes(owner, subscriber, copy, ping_bytes);
				websocket_input.free(owner);
			}
			bytes[i] = before;
		}
		bytes[0]++;
		assert_null(websocket_input.restore(bytes, count));
		feed_rig_close(&rig);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wherever_it_is_cut_it_does_not_show),
		TEST(bytes_are_counted_on),
		TEST(the_bounds_of_a_message_are_those_it_had),
		TEST(a_level_stays),
		TEST(nothing_wrong_is_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
