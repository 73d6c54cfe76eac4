// SPDX-License-Identifier: MIT
/*
 * Frames of clients: the table of websocket_cases.def, each case whole, byte by byte and cut in
 * two; and the frames that relay writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "http/websocket_codec.h"
#include "tests/unit/parse_check.h"

struct row {
	const char *expected;
	const char *frames;
};

#define CASE(expected, frames) {expected, frames},
static const struct row rows[] = {
#include "tests/unit/websocket_cases.def"
};

static void every_frame_is_judged_as_the_table_says(void **state)
{
	(void)state;
	assert_true(ARRAY_LEN(rows) >= 250);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		parse_check_hex(PARSE_RIG_WEBSOCKET, rows[i].frames, rows[i].expected,
				strstr(rows[i].expected, "error(") != NULL);
}

static void close_codes_are_those_of_the_rfc(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 70000; code++) {
		bool registered = code >= 1000 && code <= 1014 && code != 1004 && code != 1005 &&
				  code != 1006;
		bool private = code >= 3000 && code < 5000;

		assert_int_equal(websocket_close_code_is_valid(code), registered || private);
	}
}

static void check_head(uint64_t payload_bytes, const char *expected)
{
	uint8_t out[WEBSOCKET_HEAD_BYTES + 1], bytes[WEBSOCKET_HEAD_BYTES];
	size_t count = parse_rig_read_hex(expected, bytes, sizeof(bytes));

	memset(out, '#', sizeof(out));
	assert_int_equal(websocket_frame_head(out, WEBSOCKET_BINARY, true, payload_bytes), count);
	assert_memory_equal(out, bytes, count);
	assert_int_equal(out[count], '#');
}

static void heads_have_the_shortest_form(void **state)
{
	uint8_t out[WEBSOCKET_HEAD_BYTES];

	(void)state;
	check_head(0, "82 00");
	check_head(1, "82 01");
	check_head(125, "82 7d");
	check_head(126, "82 7e 007e");
	check_head(127, "82 7e 007f");
	check_head(65535, "82 7e ffff");
	check_head(65536, "82 7f 0000000000010000");
	check_head(UINT64_C(0x7fffffffffffffff), "82 7f 7fffffffffffffff");
	assert_int_equal(websocket_frame_head(out, WEBSOCKET_TEXT, false, 5), 2);
	assert_int_equal(out[0], 0x01);
	assert_int_equal(websocket_frame_head(out, WEBSOCKET_CONTINUATION, true, 5), 2);
	assert_int_equal(out[0], 0x80);
}

static void control_frames_are_whole(void **state)
{
	uint8_t out[2 + WEBSOCKET_CONTROL_BYTES], payload[200];

	(void)state;
	memset(payload, 'x', sizeof(payload));
	assert_int_equal(websocket_control_frame(out, WEBSOCKET_PING, NULL, 0), 2);
	assert_memory_equal(out, "\x89\x00", 2);
	assert_int_equal(websocket_control_frame(out, WEBSOCKET_PONG, "abc", 3), 5);
	assert_memory_equal(out,
			    "\x8a\x03"
			    "abc",
			    5);
	assert_int_equal(websocket_control_frame(out, WEBSOCKET_PONG, payload, 125), 127);
	assert_int_equal(websocket_control_frame(out, WEBSOCKET_PONG, payload, 126), 127);
	assert_int_equal(out[1], 125);
}

static void a_close_frame_fits_and_is_cut_between_characters(void **state)
{
	uint8_t out[2 + WEBSOCKET_CONTROL_BYTES];
	char reason[300];

	(void)state;
	assert_int_equal(websocket_close_frame(out, 1001, NULL), 4);
	assert_memory_equal(out, "\x88\x02\x03\xe9", 4);
	assert_int_equal(websocket_close_frame(out, 1008, "too slow"), 12);
	assert_memory_equal(out, "\x88\x0a\x03\xf0too slow", 12);
	assert_int_equal(websocket_close_frame(out, WEBSOCKET_CLOSE_NO_CODE, "lost"), 2);
	assert_memory_equal(out, "\x88\x00", 2);
	assert_int_equal(websocket_close_frame(out, 1006, NULL), 2);
	// 122 letters, then a character of three bytes, of which one would still fit
	for (size_t letters = 118; letters <= 124; letters++) {
		memset(reason, 'x', letters);
		strcpy(reason + letters, "\xe2\x82\xac...");
		size_t bytes = websocket_close_frame(out, 1000, reason);

		assert_true(bytes <= sizeof(out) && out[1] == bytes - 2);
		assert_true(utf8_is_valid(out + 4, bytes - 4));
		assert_true(bytes - 4 >= 121);
		assert_memory_equal(out + 4, reason, bytes - 4);
	}
}

static void a_new_one_goes_on_between_messages_only(void **state)
{
	// a message in two fragments with a ping between them, then what is wrong
	uint8_t words[] = {0x02, 0x81, 0,    0,    0, 0, 'x', 0x89, 0x80, 0,   0,
			   0,    0,    0x80, 0x81, 0, 0, 0,   0,    'y',  0x00};
	struct websocket_decoder decoder;
	struct websocket_event event;

	(void)state;
	websocket_decoder_init(&decoder, 100);
	for (size_t at = 0; at < sizeof(words); at++) {
		assert_int_equal(websocket_decoder_is_between(&decoder), at == 0 || at == 20);
		while (websocket_decode(&decoder, words + at, 1, &event) == 0 &&
		       event.kind != WEBSOCKET_EVENT_MORE)
			;
	}
	assert_int_equal(event.kind, WEBSOCKET_EVENT_ERROR);
	assert_false(websocket_decoder_is_between(&decoder));
}

static void a_decoder_is_small(void **state)
{
	(void)state;
	// one stands beside each subscriber
	assert_true(sizeof(struct websocket_decoder) <= 200);
}

/* Reads frames with an empty mask and one byte of payload each; returns the code of the
 * error, 0: none. */
static unsigned read_frames(bool takes_compressed, const char *first_bytes)
{
	struct websocket_decoder decoder;
	struct websocket_event event;

	websocket_decoder_init(&decoder, 100);
	decoder.takes_compressed = takes_compressed;
	for (; *first_bytes; first_bytes++) {
		uint8_t bytes[] = {(uint8_t)*first_bytes, 0x81, 0, 0, 0, 0, 0xff};

		for (size_t at = 0; at < sizeof(bytes);) {
			at += websocket_decode(&decoder, bytes + at, sizeof(bytes) - at, &event);
			if (event.kind == WEBSOCKET_EVENT_ERROR)
				return event.code;
		}
	}
	return 0;
}

/* 0x40 is the bit, 0x80 ends a message. */
static void a_message_may_be_compressed_where_that_is_agreed(void **state)
{
	(void)state;
	assert_int_equal(read_frames(true, "\xc1\xc2"), 0);
	assert_int_equal(read_frames(true, "\x41\x01"), 1002); // begun anew inside
	assert_int_equal(read_frames(true, "\x42\x80"), 0);    // in fragments
	assert_int_equal(read_frames(true, "\x42\x89\x80"), 0);
	assert_int_equal(read_frames(true, "\x02\xc0"), 1002); // only the first one has it
	assert_int_equal(read_frames(true, "\xc9"), 1002);     // a control frame never
	assert_int_equal(read_frames(true, "\xe1"), 1002);     // the other bits never
	assert_int_equal(read_frames(true, "\xd1"), 1002);
	assert_int_equal(read_frames(true, "\xc1\x81"), 1007); // this text is not compressed
	assert_int_equal(read_frames(false, "\xc2"), 1002);
	assert_int_equal(read_frames(false, "\x82"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_is_judged_as_the_table_says),
		cmocka_unit_test(close_codes_are_those_of_the_rfc),
		cmocka_unit_test(heads_have_the_shortest_form),
		cmocka_unit_test(control_frames_are_whole),
		cmocka_unit_test(a_close_frame_fits_and_is_cut_between_characters),
		cmocka_unit_test(a_new_one_goes_on_between_messages_only),
		cmocka_unit_test(a_message_may_be_compressed_where_that_is_agreed),
		cmocka_unit_test(a_decoder_is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
