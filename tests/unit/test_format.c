// SPDX-License-Identifier: MIT
/* The rows of format.def and of framing.def, each held against all who read it: the configuration,
 * encoders, walks, and the requests and answers of HTTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/option.h"
#include "config/value.h"
#include "config_rig.h"
#include "feed/feed_state.h"
#include "http/stream_answer.h"
#include "http/stream_request.h"
#include "packet/encoder.h"
#include "serve/http_listener.h"

#define FOR_EACH_FORMAT(i) for (enum format i = 0; i < FORMAT_COUNT; i = (enum format)(i + 1))

// Column `option`, which only config/ reads.
enum {
	NO_OPTION,
	OPTION
};
static const int is_option[] = {
#define FORMAT(id, name, encoder, option, ...) option,
#include "table/format.def"
};

static void names_are_words_and_unique(void **state)
{
	(void)state;
	FOR_EACH_FORMAT(i)
	{
		const char *name = format_row(i)->name;

		assert_true(strlen(name) > 0 && strlen(name) < RECORD_NAME_BYTES);
		for (const char *c = name; *c; c++)
			assert_true(islower((unsigned char)*c) || *c == '-');
		for (enum format k = 0; k < i; k = (enum format)(k + 1))
			assert_string_not_equal(name, format_row(k)->name);
	}
}

static void a_listener_can_name_an_option_and_nothing_else(void **state)
{
	struct config_rig *rig = *state;
	char text[256];

	FOR_EACH_FORMAT(i)
	{
		(void)snprintf(text, sizeof(text), IN_LISTENER("format = %s\n"),
			       format_row(i)->name);
		if (is_option[i]) {
			config_rig_load(rig, text);
			assert_int_equal(rig->config->listeners[0].format, i);
		} else {
			assert_true(config_rig_load_with(rig, text, NULL) < 0);
		}
	}
}

// The manual and the example are made of this.
static void the_help_tells_of_each_option(void **state)
{
	const struct config_option *option = config_option_find(CONFIG_LISTENER, "format");
	char words[64];

	(void)state;
	FOR_EACH_FORMAT(i)
	{
		(void)snprintf(words, sizeof(words), " %s: ", format_row(i)->name);
		assert_int_equal(strstr(option->help, words) != NULL, is_option[i]);
	}
}

// Bytes that would be torn out unseen are not skipped by itself, nor by option.
static void what_is_not_told_of_a_gap_is_not_skipped(void **state)
{
	struct config_rig *rig = *state;
	char text[256];

	FOR_EACH_FORMAT(i)
	{
		bool tells = format_row(i)->tells_gaps;

		if (!is_option[i] || i == FORMAT_HTTP)
			continue;
		(void)snprintf(text, sizeof(text), IN_LISTENER("format = %s\n"),
			       format_row(i)->name);
		config_rig_load(rig, text);
		assert_int_equal(rig->config->listeners[0].on_slow,
				 tells ? CONFIG_ON_SLOW_SKIP : CONFIG_ON_SLOW_DISCONNECT);
		(void)snprintf(text, sizeof(text), IN_LISTENER("format = %s\non_slow = skip\n"),
			       format_row(i)->name);
		assert_int_equal(config_rig_load_with(rig, text, NULL) == 0, tells);
	}
}

// --- encoders

static bool begins_with(const uint8_t *bytes, size_t count, const char *text)
{
	return count >= strlen(text) && memcmp(bytes, text, strlen(text)) == 0;
}

static void an_encoder_does_what_its_row_says(void **state)
{
	static const struct framing_params line = {.kind = FRAMING_LINE, .max_message = 100};
	static const struct packet gap = {.type = PACKET_GAP, .first_seq = 3, .time_ns = 9};
	static const struct packet two = {
		.type = PACKET_DATA, .first_seq = 1, .count = 2, .length = 4};
	static const struct packet no_text = {
		.type = PACKET_DATA, .first_seq = 1, .count = 1, .length = 2};

	(void)state;
	FOR_EACH_FORMAT(i)
	{
		const struct format_row *row = format_row(i);
		const struct encoder *encoder = encoder_of(i);
		uint8_t out[ENCODER_HEADER_MAX], *whole = NULL;
		size_t bytes = ENCODER_AS_IT_IS, last = 0;

		assert_int_equal(encoder->format, i);
		assert_string_equal(encoder_name(encoder), row->name);
		assert_int_equal(encoder->header(encoder, &gap, out) > 0, row->tells_gaps);
		if (encoder->farewell)
			last = encoder->farewell(encoder, CLOSE_DRAIN, &gap, 0, out);
		assert_int_equal(last >= 5 && begins_with(out + last - 5, 5, "0\r\n\r\n"),
				 row->carrier == FORMAT_CARRIER_CHUNKED);
		assert_int_equal(begins_with(out, last, "\x88"),
				 row->carrier == FORMAT_CARRIER_WEBSOCKET);
		if (encoder->rewrite)
			whole = encoder->rewrite(encoder, &two, &line, (const uint8_t *)"a\nb\n",
						 &bytes);
		/* gzip has no way to say that a packet is as it is. */
		assert_int_equal(whole != NULL,
				 row->per_message || row->coding != FORMAT_CODING_IDENTITY);
		assert_int_equal(encoder_for_one(encoder) != encoder,
				 row->coding != FORMAT_CODING_IDENTITY);
		free(whole);
		if (!row->is_text)
			continue;
		whole = encoder->rewrite(encoder, &no_text, &line, (const uint8_t *)"\xff\n",
					 &bytes);
		assert_non_null(whole);
		assert_non_null(memmem(whole, bytes, "\xef\xbf\xbd", 3));
		free(whole);
	}
}

// --- HTTP

static struct stream_request request_for(const struct format_row *row)
{
	static struct http_request request;
	struct stream_request wanted;
	char head[512];
	int length =
		snprintf(head, sizeof(head), "GET /a%s HTTP/1.%d\r\nHost: h\r\n%s%s%s%s%s%s%s\r\n",
			 row->is_framed ? "?format=framed" : "",
			 row->carrier == FORMAT_CARRIER_PLAIN ? 0 : 1, row->media ? "Accept: " : "",
			 row->media ? row->media : "", row->media ? "\r\n" : "",
			 row->carrier == FORMAT_CARRIER_WEBSOCKET
				 ? "Upgrade: websocket\r\nConnection: Upgrade\r\n"
				 : "",
			 row->carrier == FORMAT_CARRIER_ICY ? "Icy-MetaData: 1\r\n" : "",
			 row->coding == FORMAT_CODING_GZIP ? "Accept-Encoding: gzip\r\n" : "",
			 row->coding == FORMAT_CODING_DEFLATE
				 ? "Sec-WebSocket-Extensions: permessage-deflate\r\n"
				 : "");

	http_request_init(&request, HTTP_GET, 0);
	assert_int_equal(http_request_parse(&request, head, (size_t)length), HTTP_PARSE_WHOLE);
	assert_null(stream_request_read(&request, 1, &wanted));
	assert_int_equal(wanted.wants_icy, row->carrier == FORMAT_CARRIER_ICY);
	return wanted;
}

static enum format asked_for(const struct format_row *row)
{
	const struct stream_request wanted = request_for(row);

	return wanted.wants_icy ? FORMAT_ICY : wanted.format;
}

static void a_request_gets_the_row_that_it_asks_for(void **state)
{
	(void)state;
	FOR_EACH_FORMAT(i)
	{
		const struct format_row *row = format_row(i);

		enum format plain = format_coded(i, FORMAT_CODING_IDENTITY);

		assert_int_equal(plain == i, row->coding == FORMAT_CODING_IDENTITY);
		if (row->carrier == FORMAT_CARRIER_WEBSOCKET && !row->is_framed)
			assert_int_equal(http_websocket_format(row->is_text, row->per_message,
							       row->tells_gaps),
					 plain);
		else
			assert_int_equal(asked_for(row), plain);
	}
	for (int bits = 0; bits < 8; bits++)
		assert_int_not_equal(http_websocket_format(bits & 1, bits & 2, bits & 4),
				     FORMAT_COUNT);
	assert_int_equal(asked_for(format_row(FORMAT_WEBSOCKET_GAPS)), FORMAT_WEBSOCKET);
}

/* Of a feed of lines, which can have all of them. */
static void a_listener_compresses_for_who_takes_it(void **state)
{
	struct served_format open = {.format = FORMAT_ICY};
	struct http_path path = {.framing = FRAMING_LINE};

	(void)state;
	path.offers[FORMAT_ICY].format = &open;
	FOR_EACH_FORMAT(i)
	{
		const struct format_row *row = format_row(i);
		struct http_listener http = {.gaps = row->tells_gaps};
		struct stream_request wanted = request_for(row);
		enum format plain = format_coded(i, FORMAT_CODING_IDENTITY);

		wanted.wants_text = row->is_text;
		wanted.has_messages = wanted.per_message = row->per_message;
		assert_int_equal(http_path_format(&http, &path, &wanted, STREAM_HTTP), plain);
		http.compresses = true;
		assert_int_equal(http_path_format(&http, &path, &wanted, STREAM_HTTP), i);
		assert_int_equal(http_path_format(&http, &path, &wanted, STREAM_NTRIP_2), plain);
		assert_int_equal(http_path_format(&http, &path, &wanted, STREAM_NTRIP_1),
				 FORMAT_RAW);
		/* Who takes both gets what its format has. */
		wanted.takes_gzip = true;
		wanted.deflate = "permessage-deflate";
		assert_int_equal(format_coded(http_path_format(&http, &path, &wanted, STREAM_HTTP),
					      FORMAT_CODING_IDENTITY),
				 plain);
	}
}

static void an_answer_tells_what_the_row_says(void **state)
{
	const struct stream_start start = {.is_known = false};

	(void)state;
	FOR_EACH_FORMAT(i)
	{
		const struct stream_answer answer = {
			.format = i,
			.of_feed = {.content_type = "audio/mpeg"},
		};
		const struct format_row *row = format_row(i);
		char head[STREAM_ANSWER_BYTES + 1], type[128];
		ssize_t length;

		if (row->carrier == FORMAT_CARRIER_WEBSOCKET)
			continue;
		length = stream_answer_head(&answer, &start, head, STREAM_ANSWER_BYTES);
		assert_true(length > 0);
		head[length] = '\0';
		(void)snprintf(type, sizeof(type), "\r\nContent-Type: %s\r\n",
			       row->media ? row->media : "audio/mpeg");
		assert_non_null(strstr(head, type));
		assert_int_equal(strstr(head, "\r\nTransfer-Encoding: chunked\r\n") != NULL,
				 row->carrier == FORMAT_CARRIER_CHUNKED);
		assert_int_equal(strstr(head, "\r\nicy-metaint: 16000\r\n") != NULL,
				 row->carrier == FORMAT_CARRIER_ICY);
		assert_int_equal(strstr(head, "\r\nContent-Encoding: gzip\r\n") != NULL,
				 row->coding == FORMAT_CODING_GZIP);
		assert_int_equal(strstr(head, "\r\n\r\n")[4] != '\0',
				 row->coding == FORMAT_CODING_GZIP);
	}
}

// --- framings

#define FRAME_OF_BEAST                                                                             \
	"\x1a"                                                                                     \
	"1"                                                                                        \
	"123456789"
#define FRAME_OF_RTCM3 "\xd3\0\0\x47\xea\x4b"

static const char *two_messages(enum framing_kind kind)
{
	static const char *const texts[FRAMING_COUNT] = {
		[FRAMING_NUL] = "a\0b\0",
		[FRAMING_CR] = "a\rb\r",
		[FRAMING_CRLF] = "a\r\nb\r\n",
		[FRAMING_OCTET_COUNTED] = "1 a1 b",
		[FRAMING_RTCM3] = FRAME_OF_RTCM3 FRAME_OF_RTCM3,
		[FRAMING_BEAST] = FRAME_OF_BEAST FRAME_OF_BEAST,
	};

	return texts[kind] ? texts[kind] : "a\nb\n";
}

// Bytes of each of these.
static size_t one_of_two(enum framing_kind kind)
{
	switch ((int)kind) {
	case FRAMING_CRLF:
	case FRAMING_OCTET_COUNTED:
		return 3;
	case FRAMING_RTCM3:
		return sizeof(FRAME_OF_RTCM3) - 1;
	case FRAMING_BEAST:
		return sizeof(FRAME_OF_BEAST) - 1;
	default:
		return 2;
	}
}

// Of two messages each framing that says where messages end finds the first.
static void a_framing_finds_messages_if_its_row_says_so(void **state)
{
	(void)state;
	for (int i = 0; i < FRAMING_COUNT; i++) {
		const struct framing_params params = {
			.kind = (enum framing_kind)i, .fixed_bytes = 2, .max_message = 100};
		const struct framing_row *row = framing_row(params.kind);
		const uint8_t empty[2 * TS_PACKET_BYTES] = {0};
		bool is_ts = params.kind == FRAMING_TS;
		const char *text = two_messages(params.kind);
		const uint8_t *bytes = row->prefix_bytes || is_ts ? empty : (const uint8_t *)text;
		size_t one = is_ts               ? TS_PACKET_BYTES
			     : row->prefix_bytes ? row->prefix_bytes
						 : one_of_two(params.kind);

		assert_true(row->prefix_bytes <= sizeof(empty) / 2);
		assert_int_equal(framing_message_bytes(&params, bytes, 2 * one),
				 row->has_messages ? one : 2 * one);
		assert_true(row->has_messages || !row->is_text);
	}
	assert_true(framing_row(FRAMING_LINE)->is_text);
	assert_string_equal(framing_row(FRAMING_CRLF)->word, "crlf");
	assert_int_equal(framing_row(FRAMING_NUL)->end_bytes, 1);
	assert_int_equal(framing_row(FRAMING_U16LE)->prefix_bytes, 2);
	assert_int_equal(framing_row(FRAMING_U32BE)->prefix_bytes, 4);
}

static void a_feed_can_have_each_framing(void **state)
{
	static const char *const words[] = {
#define FRAMING(id, word, ...) word,
#include "table/framing.def"
	};
	struct config_rig *rig = *state;
	char text[256], value[CONFIG_VALUE_BYTES];

	for (int i = 0; i < FRAMING_COUNT; i++) {
		const struct config_option *option = config_option_find(CONFIG_FEED, "framing");
		const char *word = i == FRAMING_FIXED ? "fixed:7" : words[i];

		(void)snprintf(text, sizeof(text), IN_FEED("framing = %s\n"), word);
		config_rig_load(rig, text);
		assert_int_equal(rig->config->feeds[0].framing.kind, i);
		config_value_print(
			option, config_option_value_const(&rig->config->feeds[0].section, option),
			value);
		assert_string_equal(value, word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_words_and_unique),
		CONFIG_TEST(a_listener_can_name_an_option_and_nothing_else),
		cmocka_unit_test(the_help_tells_of_each_option),
		CONFIG_TEST(what_is_not_told_of_a_gap_is_not_skipped),
		cmocka_unit_test(an_encoder_does_what_its_row_says),
		cmocka_unit_test(a_request_gets_the_row_that_it_asks_for),
		cmocka_unit_test(a_listener_compresses_for_who_takes_it),
		cmocka_unit_test(an_answer_tells_what_the_row_says),
		cmocka_unit_test(a_framing_finds_messages_if_its_row_says_so),
		CONFIG_TEST(a_feed_can_have_each_framing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
