// SPDX-License-Identifier: MIT
/* What a subscriber of a web format sends, what it is answered between packets, and notes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tests/unit/web_rig.h"

static struct web_rig web;

struct listener {
	unsigned calls, frees;
	size_t bytes;
	enum close_reason answer;
	const char *note;
	bool is_full;
};

static enum close_reason on_bytes(void *owner, struct subscriber *subscriber, uint8_t *bytes,
				  size_t count)
{
	struct listener *listener = owner;

	listener->calls++;
	listener->bytes += count;
	memset(bytes, 0, count);
	if (listener->note)
		listener->is_full = !subscriber_send_note(
			subscriber, (const uint8_t *)listener->note, strlen(listener->note));
	return listener->answer;
}

static void on_free(void *owner)
{
	((struct listener *)owner)->frees++;
}

static const struct subscriber_input input = {.on_bytes = on_bytes, .free = on_free};

static void what_one_sends_is_answered_between_packets(void **state)
{
	static const char pong[] = "\x8a\x02hi";
	struct rig_stream stream = web_rig_make_lines(3000000, 300000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		struct listener listener = {.answer = CLOSE_REASON_COUNT, .note = pong};
		const struct subscriber_params params = {
			.on_slow = ON_SLOW_WAIT, .input = &input, .input_owner = &listener};
		const uint8_t *bytes;
		size_t at = 2;

		web_rig_open_lines(&web, engine);
		feed_rig_join_rendition(&web.rig, web.formats[BINARY].rendition, true,
					FEED_RIG_SMALL, &params);
		assert_int_equal(write(web.rig.readers[0].fd, "one", 3), 3);
		while (web.rig.readers[0].size < 2 + 4) // at once while it is idle
			(void)feed_rig_turn(&web.rig);
		assert_memory_equal(web.rig.readers[0].bytes + 2, pong, 4);
		web.rig.readers[0].is_paused = true;
		feed_rig_publish(&web.rig, stream.bytes, stream.size);
		assert_int_equal(write(web.rig.readers[0].fd, "two", 3), 3);
		while (listener.calls < 2)
			(void)feed_rig_turn(&web.rig);
		web.rig.readers[0].is_paused = false;
		feed_rig_settle(&web.rig);
		// the frames are whole: the pong stands between two, not at the end
		bytes = web.rig.readers[0].bytes;
		assert_int_equal(web.rig.readers[0].size - 2 - 4 - 4 > stream.size, true);
		for (unsigned pongs = 0; pongs < 2;) {
			uint64_t length = bytes[at + 1];
			size_t extra = length == 127 ? 8 : length == 126 ? 2 : 0;

			for (size_t i = 0; i < extra; i++)
				length = (i ? length << 8 : 0) | bytes[at + 2 + i];
			assert_true(bytes[at] == 0x82 || bytes[at] == 0x8a);
			if (bytes[at] == 0x8a) {
				assert_memory_equal(bytes + at, pong, 4);
				pongs++;
			}
			at += 2 + extra + length;
			assert_true(at <= web.rig.readers[0].size);
		}
		assert_true(at < web.rig.readers[0].size);
		assert_int_equal(listener.bytes, 6);
		assert_int_equal(listener.frees, 0);
		assert_int_equal(web.rig.feed->metrics.subscriber_input, 6);
		feed_rig_check_metrics(&web.rig);
		feed_rig_close(&web.rig);
		assert_int_equal(listener.frees, 1);
	}
	feed_rig_free_stream(&stream);
}

static void notes_that_wait_are_bounded_and_may_come_from_outside(void **state)
{
	uint8_t note[100] = {0x8a, 98};
	struct rig_stream stream = web_rig_make_lines(3000000, 3000);
	struct subscriber *subscriber;
	unsigned added = 0;

	(void)state;
	web_rig_open_lines(&web, ENGINE_SPLICE);
	feed_rig_join_rendition(&web.rig, web.formats[BINARY].rendition, true, FEED_RIG_SMALL,
				NULL);
	subscriber = feed_rig_newest(web.formats[BINARY].rendition);
	assert_true(subscriber_send_note(subscriber, note, sizeof(note)));
	while (web.rig.readers[0].size < 102)
		(void)feed_rig_turn(&web.rig);
	assert_null(subscriber->notes.bytes); // no memory while none wait
	web.rig.readers[0].is_paused = true;
	feed_rig_publish(&web.rig, stream.bytes, stream.size);
	while (added < 1000 && subscriber_send_note(subscriber, note, sizeof(note)))
		added++;
	assert_int_equal(added, NOTES_MAX / sizeof(note));
	feed_rig_close(&web.rig);
	feed_rig_free_stream(&stream);
}

static bool has_ended(const struct feed_rig *some)
{
	return some->readers[0].has_ended;
}

static void who_reads_the_input_may_close_and_has_the_last_word(void **state)
{
	static const enum close_reason reasons[] = {CLOSE_PEER_CLOSED, CLOSE_INPUT};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		struct listener listener = {.answer = reasons[i], .note = "\x88\x02\x03\xea"};
		const struct subscriber_params params = {
			.on_slow = ON_SLOW_WAIT, .input = &input, .input_owner = &listener};
		struct format_wire wire;

		web_rig_open_lines(&web, ENGINE_COPY);
		(void)web_rig_join(&web, BINARY, &params);
		assert_int_equal(write(web.rig.readers[0].fd, "end", 3), 3);
		feed_rig_run_until(&web.rig, has_ended);
		assert_int_equal(web.rig.readers[0].end_errno, 0);
		wire = web_rig_read(&web, BINARY, 0);
		assert_int_equal(wire.code, 1002);
		assert_int_equal(wire.torn_bytes, 0);
		free(wire.payload);
		assert_int_equal(web.rig.feed->fanout.closed[reasons[i]], 1);
		assert_int_equal(listener.calls, 1);
		(void)feed_rig_turn(&web.rig);
		assert_int_equal(listener.frees, 1);
		feed_rig_close(&web.rig);
		assert_int_equal(listener.frees, 1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_one_sends_is_answered_between_packets),
		TEST(notes_that_wait_are_bounded_and_may_come_from_outside),
		TEST(who_reads_the_input_may_close_and_has_the_last_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
