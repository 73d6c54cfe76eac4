// SPDX-License-Identifier: MIT
/*
 * Frames of RTCM 3 and Beast, wherever a stream begins, breaks and is cut.  The truth is their
 * maker, which knows each frame; its CRC goes bit by bit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/compiler.h"
#include "tests/unit/frame_rig.h"
#include "tests/unit/sync_reader.h"

static const enum framing_kind kinds[] = {FRAMING_RTCM3, FRAMING_BEAST};

enum {
	FRAMES = 12,
};

static struct frame_rig made;
static struct sync_reader reader;

static void expect(const struct sync_reader *one, const uint8_t *bytes, size_t count,
		   uint32_t messages)
{
	assert_int_equal(one->fault, FRAMING_OK);
	assert_int_equal(one->got_bytes, count);
	assert_memory_equal(one->got, bytes, count);
	assert_int_equal(one->messages, messages);
}

static void pieces_of_any_size_give_the_same_frames(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		frame_rig_make(&made, kinds[k], FRAMES, 1);
		for (size_t piece = 1; piece <= made.size; piece++) {
			sync_reader_read(&reader, kinds[k], made.bytes, made.size, piece);
			expect(&reader, made.bytes, made.size, FRAMES);
			assert_int_equal(reader.passed + reader.losses, 0);
		}
	}
}

// A frame shows that it has ended: in sync, none waits for the next one.
static void a_frame_in_sync_waits_for_nothing(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		frame_rig_make(&made, kinds[k], FRAMES, 2);
		sync_reader_init(&reader, kinds[k]);
		for (size_t i = 0; i < FRAMES; i++) {
			size_t begin = i ? made.ends[i - 1] : 0;

			sync_reader_take(&reader, made.bytes + begin, made.ends[i] - begin);
			if (i || kinds[k] == FRAMING_RTCM3)
				assert_int_equal(reader.got_bytes, made.ends[i]);
			assert_false(framing_finish(&reader.scan, false));
		}
	}
}

// Also such as begins as a frame does.
static void garbage_before_and_between_is_passed_over(void **state)
{
	static uint8_t sent[SYNC_READER_ROOM];

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		frame_rig_make(&made, kinds[k], FRAMES, 3);
		for (size_t garbage = 1; garbage < 60; garbage++) {
			size_t at = made.ends[FRAMES / 2];

			for (size_t i = 0; i < garbage; i++)
				sent[i] = i % 3 ? '\n' : made.bytes[0];
			memcpy(sent + garbage, made.bytes, at);
			memset(sent + garbage + at, '$', garbage);
			memcpy(sent + 2 * garbage + at, made.bytes + at, made.size - at);
			for (size_t piece = 1; piece <= made.size; piece += 17) {
				sync_reader_read(&reader, kinds[k], sent, made.size + 2 * garbage,
						 piece);
				expect(&reader, made.bytes, made.size, FRAMES);
				assert_int_equal(reader.passed, 2 * garbage);
				assert_int_equal(reader.losses, 1);
			}
		}
	}
}

static void a_stream_may_begin_inside_a_frame(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		frame_rig_make(&made, kinds[k], FRAMES, 4);
		for (size_t from = 1; from < made.ends[0]; from++) {
			sync_reader_read(&reader, kinds[k], made.bytes + from, made.size - from,
					 1 + from % 50);
			expect(&reader, made.bytes + made.ends[0], made.size - made.ends[0],
			       FRAMES - 1);
			assert_int_equal(reader.passed, made.ends[0] - from);
		}
	}
}

// Of RTCM 3 any change of a byte is seen; of Beast one of those that say where a frame ends.
static void a_changed_frame_is_not_published(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		size_t begin, end, checked;

		frame_rig_make(&made, kinds[k], FRAMES, 5);
		begin = made.ends[3];
		end = made.ends[4];
		checked = kinds[k] == FRAMING_RTCM3 ? end : begin + 2;
		for (size_t at = begin; at < checked; at++) {
			made.bytes[at] ^= 0x40;
			for (size_t piece = 1; piece < 40; piece += 3) {
				sync_reader_read(&reader, kinds[k], made.bytes, made.size, piece);
				assert_int_equal(reader.messages, FRAMES - 1);
				assert_memory_equal(reader.got, made.bytes, begin);
				assert_memory_equal(reader.got + begin, made.bytes + end,
						    made.size - end);
				assert_int_equal(reader.passed, end - begin);
				assert_int_equal(reader.losses, 1);
			}
			made.bytes[at] ^= 0x40;
		}
	}
}

// What is missing tears one frame, and the next one is found.
static void a_torn_frame_is_not_published(void **state)
{
	static uint8_t sent[SYNC_READER_ROOM];

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		size_t begin, end;

		frame_rig_make(&made, kinds[k], FRAMES, 6);
		begin = made.ends[3];
		end = made.ends[4];
		for (size_t lost = 1; lost < end - begin - 2; lost++) {
			size_t at = begin + 2;

			memcpy(sent, made.bytes, at);
			memcpy(sent + at, made.bytes + at + lost, made.size - at - lost);
			sync_reader_read(&reader, kinds[k], sent, made.size - lost, 1 + lost);
			assert_int_equal(reader.messages, FRAMES - 1);
			assert_memory_equal(reader.got + begin, made.bytes + end, made.size - end);
		}
	}
}

static void frames_of_every_length_are_found(void **state)
{
	(void)state;
	for (size_t body = 0; body <= 1023; body += body < 20 || body > 1015 ? 1 : 97) {
		made = (struct frame_rig){.size = 0};
		frame_rig_put_rtcm3(&made, body, 7);
		frame_rig_put_rtcm3(&made, 3, 8);
		sync_reader_read(&reader, FRAMING_RTCM3, made.bytes, made.size, 100);
		expect(&reader, made.bytes, made.size, 2);
	}
	for (size_t i = 0; i < FRAME_RIG_BEAST_TYPES; i++) {
		made = (struct frame_rig){.size = 0};
		for (int n = 0; n < 3; n++)
			frame_rig_put_beast(&made, i, 0x1a); // the longest there is: all doubled
		sync_reader_read(&reader, FRAMING_BEAST, made.bytes, made.size, 5);
		expect(&reader, made.bytes, made.size, 3);
	}
}

// Message 1005 of a base as the standard prints it (RTCM 10403, 4.2).
static void the_frame_of_the_standard_is_one(void **state)
{
	static const uint8_t frame[] = {0xd3, 0x00, 0x13, 0x3e, 0xd7, 0xd3, 0x02, 0x02, 0x98,
					0x0e, 0xde, 0xef, 0x34, 0xb4, 0xbd, 0x62, 0xac, 0x09,
					0x41, 0x98, 0x6f, 0x33, 0x36, 0x0b, 0x98};

	(void)state;
	sync_reader_read(&reader, FRAMING_RTCM3, frame, sizeof(frame), 4);
	expect(&reader, frame, sizeof(frame), 1);
}

static void published_bytes_show_where_a_frame_ends(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		const struct framing_params params = sync_reader_params(kinds[k]);

		frame_rig_make(&made, kinds[k], FRAMES, 9);
		for (size_t i = 0; i < FRAMES; i++) {
			size_t begin = i ? made.ends[i - 1] : 0;

			assert_int_equal(framing_message_bytes(&params, made.bytes + begin,
							       made.size - begin),
					 made.ends[i] - begin);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_of_any_size_give_the_same_frames),
		cmocka_unit_test(a_frame_in_sync_waits_for_nothing),
		cmocka_unit_test(garbage_before_and_between_is_passed_over),
		cmocka_unit_test(a_stream_may_begin_inside_a_frame),
		cmocka_unit_test(a_changed_frame_is_not_published),
		cmocka_unit_test(a_torn_frame_is_not_published),
		cmocka_unit_test(frames_of_every_length_are_found),
		cmocka_unit_test(the_frame_of_the_standard_is_one),
		cmocka_unit_test(published_bytes_show_where_a_frame_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
