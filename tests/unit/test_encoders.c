// SPDX-License-Identifier: MIT
/*
 * Encoders byte for byte: what each format puts before and behind a packet, what it makes of one
 * that cannot be shared, its news and its last words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "packet/encoder.h"

struct bytes {
	const char *at;
	size_t count;
};
#define BYTES(text)                                                                                \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}
#define NOTHING                                                                                    \
	{                                                                                          \
		"", 0                                                                              \
	}

static const struct framing_params line = {.kind = FRAMING_LINE, .max_message = 1 << 20};
static const struct framing_params none = {.kind = FRAMING_NONE, .max_message = 1 << 20};
static const struct framing_params u16 = {.kind = FRAMING_U16BE, .max_message = 1 << 20};
static const struct framing_params nul = {.kind = FRAMING_NUL, .max_message = 1 << 20};
static const struct framing_params cr = {.kind = FRAMING_CR, .max_message = 1 << 20};
static const struct framing_params crlf = {.kind = FRAMING_CRLF, .max_message = 1 << 20};
static const struct framing_params counted = {.kind = FRAMING_OCTET_COUNTED,
					      .max_message = 1 << 20};
static const struct framing_params fixed = {
	.kind = FRAMING_FIXED, .fixed_bytes = 2, .max_message = 1 << 20};

static void check(const char *what, const uint8_t *out, size_t count, struct bytes expected)
{
	if (count != expected.count || memcmp(out, expected.at, count) != 0)
		fail_msg("%s: %zu bytes \"%.*s\"; expected %zu \"%s\"", what, count, (int)count,
			 (const char *)out, expected.count, expected.at);
}

static const struct packet news[] = {
	{.type = PACKET_HEARTBEAT, .first_seq = 7},
	{.type = PACKET_GAP, .session = UINT32_MAX, .first_seq = 7, .time_ns = UINT64_MAX},
	{.type = PACKET_END, .first_seq = 7},
	{.type = PACKET_SOURCE_DOWN, .first_seq = 7},
	{.type = PACKET_SOURCE_UP, .first_seq = 7},
};

static const struct encoder *websocket(bool text, bool per_message, bool gaps)
{
	static const struct encoder *const encoders[2][2][2] = {
		{{&encoder_websocket, &encoder_websocket_gaps},
		 {&encoder_websocket_messages, &encoder_websocket_gaps_messages}},
		{{&encoder_websocket_text, &encoder_websocket_gaps_text},
		 {&encoder_websocket_text_messages, &encoder_websocket_gaps_text_messages}},
	};

	return encoders[text][per_message][gaps];
}

static void news_are_said_where_the_format_can(void **state)
{
	static const struct {
		const struct encoder *encoder;
		struct bytes said[ARRAY_LEN(news)];
	} rows[] = {
		{&encoder_raw, {NOTHING, NOTHING, NOTHING, NOTHING, NOTHING}},
		{&encoder_chunked, {NOTHING, NOTHING, NOTHING, NOTHING, NOTHING}},
		{&encoder_events,
		 {BYTES("3\r\n:\n\n\r\n"),
		  BYTES("5b\r\nevent: gap\nid: 4294967295-18446744073709551614\ndata: "
			"{\"from\":7,\"to\":18446744073709551615}\n\n\r\n"),
		  NOTHING, BYTES("1a\r\nevent: source\ndata: down\n\n\r\n"),
		  BYTES("18\r\nevent: source\ndata: up\n\n\r\n")}},
		{&encoder_events_plain,
		 {BYTES(":\n\n"),
		  BYTES("event: gap\nid: 4294967295-18446744073709551614\ndata: "
			"{\"from\":7,\"to\":18446744073709551615}\n\n"),
		  NOTHING, BYTES("event: source\ndata: down\n\n"),
		  BYTES("event: source\ndata: up\n\n")}},
	};
	uint8_t out[ENCODER_HEADER_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t k = 0; k < ARRAY_LEN(news); k++)
			check(encoder_name(rows[i].encoder), out,
			      rows[i].encoder->header(rows[i].encoder, &news[k], out),
			      rows[i].said[k]);
	}
	for (unsigned variant = 0; variant < 8; variant++) {
		const bool gaps = variant & 4;
		const struct encoder *encoder = websocket(variant & 1, variant & 2, gaps);
		const struct bytes said[] = {
			BYTES("\x89\x00"),
			{"\x81\x2c{\"gap\":{\"from\":7,\"to\":18446744073709551615}"
			 "}",
			 gaps ? 46 : 0},
			NOTHING,
			NOTHING,
			NOTHING,
		};

		for (size_t k = 0; k < ARRAY_LEN(news); k++)
			check(encoder_name(encoder), out, encoder->header(encoder, &news[k], out),
			      said[k]);
	}
}

static void a_framed_message_is_a_packet(void **state)
{
	static const struct packet data = {
		.type = PACKET_DATA, .count = 2, .session = 7, .first_seq = 9, .length = 100};
	uint8_t out[ENCODER_HEADER_MAX], header[ENCODER_HEADER_MAX];
	struct bytes said = {(const char *)header, PACKET_HEADER_BYTES};

	(void)state;
	for (size_t i = 0; i <= ARRAY_LEN(news); i++) {
		const struct packet *packet = i < ARRAY_LEN(news) ? &news[i] : &data;
		size_t bytes = encoder_framed.header(&encoder_framed, packet, header);
		size_t head = packet->length ? 4 : 2;

		assert_int_equal(bytes, PACKET_HEADER_BYTES);
		bytes = encoder_websocket_framed.header(&encoder_websocket_framed, packet, out);
		assert_int_equal(bytes, head + PACKET_HEADER_BYTES);
		assert_memory_equal(out, packet->length ? "\x82\x7e\x00\x84" : "\x82\x20", head);
		check("websocket-framed", out + head, PACKET_HEADER_BYTES, said);
	}
}

static void heads_and_ends_stand_around_the_payload(void **state)
{
	static const struct {
		uint64_t length;
		struct bytes chunk, frame;
	} rows[] = {
		{0, NOTHING, BYTES("\x82\x00")},
		{1, BYTES("1\r\n"), BYTES("\x82\x01")},
		{125, BYTES("7d\r\n"), BYTES("\x82\x7d")},
		{126, BYTES("7e\r\n"), BYTES("\x82\x7e\x00\x7e")},
		{65535, BYTES("ffff\r\n"), BYTES("\x82\x7e\xff\xff")},
		{65536, BYTES("10000\r\n"), BYTES("\x82\x7f\0\0\0\0\0\1\0\0")},
		{UINT64_C(0x123456789a), BYTES("123456789a\r\n"),
		 BYTES("\x82\x7f\0\0\0\x12\x34\x56\x78\x9a")},
		{UINT64_C(0x7fffffffffffffff), BYTES("7fffffffffffffff\r\n"),
		 BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff")},
	};
	const struct encoder *websocket = &encoder_websocket;
	uint8_t out[ENCODER_HEADER_MAX];

	(void)state;
	assert_null(websocket->trailer);
	assert_null(websocket->rewrite);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct packet packet = {.count = 1, .length = rows[i].length};
		const struct bytes end = {"\r\n", rows[i].length ? 2 : 0};

		check("http", out, encoder_chunked.header(&encoder_chunked, &packet, out),
		      rows[i].chunk);
		check("http", out, encoder_chunked.trailer(&encoder_chunked, &packet, out), end);
		check("websocket", out, websocket->header(websocket, &packet, out), rows[i].frame);
		assert_int_equal(encoder_raw.header(&encoder_raw, &packet, out), 0);
		assert_int_equal(encoder_framed.header(&encoder_framed, &packet, out),
				 PACKET_HEADER_BYTES);
	}
}

static void check_rewrite(const struct encoder *encoder, const struct framing_params *framing,
			  uint16_t count, struct bytes payload, struct bytes expected)
{
	const struct packet packet = {
		.session = 9, .count = count, .first_seq = 41, .length = payload.count};
	uint8_t *exact = malloc(payload.count); // so that a byte too far is seen
	size_t bytes = 0;
	uint8_t *out;

	memcpy(exact, payload.at, payload.count);
	out = encoder->rewrite(encoder, &packet, framing, exact, &bytes);
	if (!expected.at) {
		assert_null(out);
		assert_true(bytes == ENCODER_AS_IT_IS);
	} else {
		assert_non_null(out);
		check(encoder_name(encoder), out, bytes, expected);
	}
	free(out);
	free(exact);
}

#define AS_IT_IS                                                                                   \
	{                                                                                          \
		NULL, 0                                                                            \
	}
#define WRONG "\xef\xbf\xbd"

static void each_message_is_an_event(void **state)
{
	static const struct {
		const struct framing_params *framing;
		uint16_t count;
		struct bytes payload, expected;
	} rows[] = {
		{&line, 1, BYTES("a\n"), BYTES("id: 9-41\ndata: a\n\n")},
		{&line, 2, BYTES("a\nbc\n"), BYTES("id: 9-41\ndata: a\n\nid: 9-42\ndata: bc\n\n")},
		{&line, 2, BYTES("\n\n"), BYTES("id: 9-41\ndata: \n\nid: 9-42\ndata: \n\n")},
		{&line, 1, BYTES("a\r\n"), BYTES("id: 9-41\ndata: a\n\n")},
		{&line, 1, BYTES("\r\n"), BYTES("id: 9-41\ndata: \n\n")},
		{&line, 1, BYTES("a\rb\r\r\n"), BYTES("id: 9-41\ndata: a\ndata: b\ndata: \n\n")},
		{&line, 1, BYTES(" a\n"), BYTES("id: 9-41\ndata:  a\n\n")},
		{&line, 1, BYTES("id: 9\n"), BYTES("id: 9-41\ndata: id: 9\n\n")},
		{&line, 1, BYTES("\xc3\xa4\xff\n"), BYTES("id: 9-41\ndata: \xc3\xa4" WRONG "\n\n")},
		{&line, 1, BYTES("\xc3\n"), BYTES("id: 9-41\ndata: " WRONG "\n\n")},
		{&none, 1, BYTES("a\r\nb\nc\n"),
		 BYTES("id: 9-41\ndata: a\ndata: b\ndata: c\ndata: \n\n")},
		{&none, 3, BYTES("abc"), BYTES("id: 9-43\ndata: abc\n\n")},
		{&none, 0, BYTES("ab"), BYTES("id: 9-40\ndata: ab\n\n")},
		{&u16, 2, BYTES("\0\2ab\0\0"), BYTES("id: 9-41\ndata: ab\n\nid: 9-42\ndata: \n\n")},
		{&u16, 1, BYTES("\0\3a\nb"), BYTES("id: 9-41\ndata: a\ndata: b\n\n")},
		{&nul, 2, BYTES("a\0b\r\n\0"),
		 BYTES("id: 9-41\ndata: a\n\nid: 9-42\ndata: b\ndata: \n\n")},
		{&cr, 1, BYTES("a\r"), BYTES("id: 9-41\ndata: a\n\n")},
		{&crlf, 1, BYTES("a\nb\r\n"), BYTES("id: 9-41\ndata: a\ndata: b\n\n")},
		{&crlf, 1, BYTES("last"), BYTES("id: 9-41\ndata: last\n\n")},
		{&counted, 2, BYTES("1 a3 b c"),
		 BYTES("id: 9-41\ndata: a\n\nid: 9-42\ndata: b c\n\n")},
		{&fixed, 2, BYTES("abcd"), BYTES("id: 9-41\ndata: ab\n\nid: 9-42\ndata: cd\n\n")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_rewrite(&encoder_events_plain, rows[i].framing, rows[i].count,
			      rows[i].payload, rows[i].expected);
	check_rewrite(&encoder_events, &line, 1, (struct bytes)BYTES("a\n"),
		      (struct bytes)BYTES("12\r\nid: 9-41\ndata: a\n\n\r\n"));
}

static void websocket_messages_are_rewritten_only_where_they_must(void **state)
{
	static const struct {
		const struct framing_params *framing;
		bool text, per_message;
		struct bytes payload, expected;
	} rows[] = {
		{&line, true, false, BYTES("a\nb\n"), AS_IT_IS},
		{&line, true, false, BYTES("\xc3\xa4\n"), AS_IT_IS},
		{&line, true, false, BYTES("\xff\n\xc3"), BYTES("\x81\x07" WRONG "\n" WRONG)},
		{&line, true, true, BYTES("a\n"), AS_IT_IS},
		{&line, true, true, BYTES("\xff\n"), BYTES("\x81\x04" WRONG "\n")},
		{&line, true, true, BYTES("a\n\xff\nb\n"),
		 BYTES("\x81\x02"
		       "a\n\x81\x04" WRONG "\n\x81\x02"
		       "b\n")},
		{&line, false, true, BYTES("\xff\n"), AS_IT_IS},
		{&line, false, true, BYTES("\xff\n\n"), BYTES("\x82\x02\xff\n\x82\x01\n")},
		{&none, false, true, BYTES("a\nb\n"), AS_IT_IS},
		{&u16, false, true, BYTES("\0\1a\0\0"), BYTES("\x82\x03\0\1a\x82\x02\0\0")},
		{&fixed, false, true, BYTES("abcd"),
		 BYTES("\x82\x02"
		       "ab\x82\x02"
		       "cd")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_rewrite(websocket(rows[i].text, rows[i].per_message, i % 2), rows[i].framing,
			      1, rows[i].payload, rows[i].expected);
}

static void a_long_text_gets_a_long_head(void **state)
{
	char *payload = malloc(70001), *expected = malloc(80000);

	(void)state;
	memset(payload, 'x', 70001);
	memset(expected, 'x', 80000);
	payload[70000] = '\xff';
	memcpy(expected, "\x81\x7f\0\0\0\0\0\1\x11\x73", 10); // 70003
	memcpy(expected + 70010, WRONG, 3);
	check_rewrite(&encoder_websocket_text, &line, 1, (struct bytes){payload, 70001},
		      (struct bytes){expected, 70013});
	free(payload);
	free(expected);
}

static void farewells_fit_the_reason(void **state)
{
	const struct packet place = {
		.type = PACKET_HEARTBEAT, .session = 5, .first_seq = 12, .time_ns = 9};
	const struct encoder *websocket = &encoder_websocket;
	uint8_t out[ENCODER_HEADER_MAX];

	(void)state;
	assert_null(encoder_raw.farewell);
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		const enum close_reason reason = (enum close_reason)i;
		const bool is_clean = reason == CLOSE_DRAIN || reason == CLOSE_SOURCE_LOST ||
				      reason == CLOSE_REMOVED || reason == CLOSE_UNTIL ||
				      reason == CLOSE_MOVED;
		const struct bytes last = {"0\r\n\r\n", is_clean ? 5 : 0};
		size_t count = websocket->farewell(websocket, reason, &place, 7, out);

		if (reason == CLOSE_PEER_CLOSED || reason == CLOSE_PEER_RESET ||
		    reason == CLOSE_INPUT || reason == CLOSE_INPUT_TOO_LONG ||
		    reason == CLOSE_INPUT_NOT_TEXT || reason == CLOSE_BAD_FRAME ||
		    reason == CLOSE_FLOOD) {
			assert_int_equal(count, 0);
		} else {
			assert_int_equal(out[0], 0x88);
			assert_int_equal(out[1], count - 2);
			assert_int_equal(out[2] << 8 | out[3], reason == CLOSE_UNTIL       ? 1000
							       : reason == CLOSE_MOVED     ? 1012
							       : is_clean                  ? 1001
							       : reason == CLOSE_HANDOVER  ? 1012
							       : reason == CLOSE_NO_MEMORY ? 1011
											   : 1008);
			assert_memory_equal(out + 4, close_reason_text(reason), count - 4);
		}
		check("http", out,
		      encoder_chunked.farewell(&encoder_chunked, reason, &place, 7, out), last);
		check("events", out,
		      encoder_events.farewell(&encoder_events, reason, &place, 7, out),
		      (struct bytes){"a\r\nretry: 7\n\n\r\n0\r\n\r\n", is_clean ? 20 : 0});
		check("plain events", out,
		      encoder_events_plain.farewell(&encoder_events_plain, reason, &place, 7, out),
		      (struct bytes){"retry: 7\n\n", is_clean ? 10 : 0});
	}
}

/* Who is let go is told where the stream goes on, framed; no other end needs such words. */
static void a_framed_farewell_says_where_to_go_on(void **state)
{
	const struct packet place = {
		.type = PACKET_HEARTBEAT, .session = 5, .first_seq = 12, .time_ns = 9};
	const struct encoder *in_messages = &encoder_websocket_framed;
	uint8_t out[ENCODER_HEADER_MAX];
	struct packet_header header;

	(void)state;
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		const enum close_reason reason = (enum close_reason)i;
		size_t count = encoder_framed.farewell(&encoder_framed, reason, &place, 7, out);

		assert_int_equal(count, reason == CLOSE_MOVED ? PACKET_HEADER_BYTES : 0);
	}
	assert_int_equal(encoder_framed.farewell(&encoder_framed, CLOSE_MOVED, &place, 7, out),
			 PACKET_HEADER_BYTES);
	assert_int_equal(packet_header_decode(out, &header), 0);
	assert_int_equal(header.type, PACKET_HEARTBEAT);
	assert_int_equal(header.flags, PACKET_FLAG_MOVED);
	assert_int_equal(header.session, 5);
	assert_int_equal(header.sequence, 12);

	size_t count = in_messages->farewell(in_messages, CLOSE_MOVED, &place, 7, out);

	assert_memory_equal(out, "\x82\x20RLY1\1\4", 8);
	assert_memory_equal(out + 34, "\x88", 1);
	assert_int_equal(out[36] << 8 | out[37], 1012);
	assert_int_equal(out[35], count - 36);
}

/* In the words of an event stream: where it begins, and what it has missed. */
static void an_event_stream_says_where_it_stands(void **state)
{
	const struct packet first = {.type = PACKET_HEARTBEAT, .session = 9, .first_seq = 1};
	const struct packet last = {
		.type = PACKET_HEARTBEAT, .session = UINT32_MAX, .first_seq = UINT64_MAX};
	const struct packet anew = {.type = PACKET_GAP, .session = 9, .time_ns = 1};
	const struct packet longest = {.type = PACKET_GAP,
				       .session = UINT32_MAX,
				       .first_seq = UINT64_MAX - 1,
				       .time_ns = UINT64_MAX};
	uint8_t out[ENCODER_HEADER_MAX];

	(void)state;
	check("the first", out,
	      encoder_events_plain.greeting(&encoder_events_plain, &first, 7, out),
	      (struct bytes)BYTES("id: 9-0\nretry: 7\n\n"));
	check("in a chunk", out, encoder_events.greeting(&encoder_events, &first, 7, out),
	      (struct bytes)BYTES("12\r\nid: 9-0\nretry: 7\n\n\r\n"));
	check("the last", out,
	      encoder_events_plain.greeting(&encoder_events_plain, &last, UINT32_MAX, out),
	      (struct bytes)BYTES("id: 4294967295-18446744073709551614\nretry: 4294967295\n\n"));
	check("another session", out,
	      encoder_events_plain.header(&encoder_events_plain, &anew, out),
	      (struct bytes)BYTES("event: gap\nid: 9-0\ndata: {\"from\":null,\"to\":1}\n\n"));
	assert_true(encoder_events.header(&encoder_events, &longest, out) <= ENCODER_HEADER_MAX);
	assert_null(encoder_framed.greeting);
	assert_null(encoder_chunked.greeting);
}

/* Where packets are of several feeds: messages, a gap and news of one of them, and the longest. */
static void a_packet_says_which_feed_it_is_from(void **state)
{
	static const char longest_name[] =
		"0123456789012345678901234567890123456789012345678901234567890123";
	const struct packet_feed feed = {"air", &line}, longest_feed = {longest_name, &line};
	const struct packet data = {.type = PACKET_DATA,
				    .count = 2,
				    .session = 9,
				    .first_seq = 41,
				    .length = 4,
				    .feed = &feed};
	const struct packet gap = {
		.type = PACKET_GAP, .session = 9, .first_seq = 41, .time_ns = 43, .feed = &feed};
	const struct packet down = {.type = PACKET_SOURCE_DOWN, .first_seq = 41, .feed = &feed};
	const struct packet longest = {.type = PACKET_GAP,
				       .session = UINT32_MAX,
				       .first_seq = UINT64_MAX - 1,
				       .time_ns = UINT64_MAX,
				       .feed = &longest_feed};
	const struct encoder *plain = &encoder_events_plain;
	const struct encoder *messages = &encoder_websocket_gaps_messages;
	const struct encoder *packets = &encoder_websocket_gaps;
	uint8_t out[ENCODER_HEADER_MAX], *made;
	size_t bytes;

	(void)state;
	made = plain->rewrite(plain, &data, &line, (const uint8_t *)"a\nb\n", &bytes);
	check("events", made, bytes,
	      (struct bytes)BYTES("id: 9-41\nevent: air\ndata: a\n\n"
				  "id: 9-42\nevent: air\ndata: b\n\n"));
	free(made);
	made = messages->rewrite(messages, &data, &line, (const uint8_t *)"a\nb\n", &bytes);
	check("messages", made, bytes,
	      (struct bytes)BYTES("\x82\x0b\x61ir 9-41\na\n\x82\x0b\x61ir 9-42\nb\n"));
	free(made);
	check("packets", out, packets->header(packets, &data, out),
	      (struct bytes)BYTES("\x82\x0d\x61ir 9-41\n"));
	check("gap event", out, plain->header(plain, &gap, out),
	      (struct bytes)BYTES("event: gap\nid: 9-42\n"
				  "data: {\"feed\":\"air\",\"from\":41,\"to\":43}\n\n"));
	check("gap message", out, packets->header(packets, &gap, out),
	      (struct bytes)BYTES("\x81\x28{\"gap\":{\"feed\":\"air\",\"from\":41,\"to\":43}}"));
	check("source", out, plain->header(plain, &down, out),
	      (struct bytes)BYTES("event: source\n"
				  "data: {\"feed\":\"air\",\"source\":\"down\"}\n\n"));
	bytes = encoder_events.header(&encoder_events, &longest, out);
	assert_in_range(bytes, 1, ENCODER_HEADER_MAX);
	assert_memory_equal(out + bytes - 5, "}\n\n\r\n", 5);
	bytes = packets->header(packets, &longest, out);
	assert_in_range(bytes, 1, ENCODER_HEADER_MAX);
	assert_memory_equal(out + bytes - 3, "5}}", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(news_are_said_where_the_format_can),
		cmocka_unit_test(a_framed_message_is_a_packet),
		cmocka_unit_test(heads_and_ends_stand_around_the_payload),
		cmocka_unit_test(each_message_is_an_event),
		cmocka_unit_test(websocket_messages_are_rewritten_only_where_they_must),
		cmocka_unit_test(a_long_text_gets_a_long_head),
		cmocka_unit_test(farewells_fit_the_reason),
		cmocka_unit_test(a_framed_farewell_says_where_to_go_on),
		cmocka_unit_test(an_event_stream_says_where_it_stands),
		cmocka_unit_test(a_packet_says_which_feed_it_is_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
