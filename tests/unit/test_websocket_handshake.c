// SPDX-License-Identifier: MIT
/*
 * The opening handshake of WebSocket: which requests are agreed to, with the example of the RFC;
 * each request whole, byte by byte and cut at every place; and the answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "http/websocket_handshake.h"
#include "tests/unit/parse_check.h"
#include "tests/unit/without_date.h"

#define ACCEPT     "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define GET        "GET /demo HTTP/1.1\r\nHost: a\r\n"
#define UPGRADE    "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define VERSION    "Sec-WebSocket-Version: 13\r\n"
#define KEY(key)   "Sec-WebSocket-Key: " key "\r\n"
#define SAMPLE     KEY("dGhlIHNhbXBsZSBub25jZQ==")

/* A good request but for these. */
#define WITH_UPGRADE(fields)    GET fields CONNECTION VERSION SAMPLE "\r\n"
#define WITH_CONNECTION(fields) GET UPGRADE fields VERSION SAMPLE "\r\n"
#define WITH_VERSION(fields)    GET UPGRADE CONNECTION fields SAMPLE "\r\n"
#define WITH_KEY(fields)        GET UPGRADE CONNECTION VERSION fields "\r\n"
#define WITH(fields)            GET UPGRADE CONNECTION VERSION SAMPLE fields "\r\n"
#define PROTOCOL(list)          WITH("Sec-WebSocket-Protocol: " list "\r\n")

static const struct {
	const char *expected;
	const char *head;
} rows[] = {
	{"101 " ACCEPT, WITH("")},
	{"101 " ACCEPT, WITH("Origin: http://a\r\nCookie: b\r\n")},
	{"101 " ACCEPT, WITH("Sec-WebSocket-Extensions: permessage-deflate\r\n")},
	{"101 " ACCEPT, WITH("Content-Length: 0\r\n")},
	{"405 this method",
	 "POST /demo HTTP/1.1\r\nHost: a\r\n" UPGRADE CONNECTION VERSION SAMPLE "\r\n"},
	{"405 this method", "POST / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"405 WebSocket",
	 "HEAD /demo HTTP/1.1\r\nHost: a\r\n" UPGRADE CONNECTION VERSION SAMPLE "\r\n"},
	{"400 WebSocket needs",
	 "GET /demo HTTP/1.0\r\nHost: a\r\n" UPGRADE CONNECTION VERSION SAMPLE "\r\n"},
	{"400 no Host", "GET /demo HTTP/1.1\r\n" UPGRADE CONNECTION VERSION SAMPLE "\r\n"},
	{"400 a body", WITH("Content-Length: 1\r\n")},

	{"101 " ACCEPT, WITH_UPGRADE("upgrade: WebSocket\r\n")},
	{"101 " ACCEPT, WITH_UPGRADE("Upgrade: h2c, websocket\r\n")},
	{"101 " ACCEPT, WITH_UPGRADE("Upgrade: h2c\r\nUpgrade: websocket\r\n")},
	{"400 no \"Upgrade", WITH_UPGRADE("")},
	{"400 no \"Upgrade", WITH_UPGRADE("Upgrade:\r\n")},
	{"400 no \"Upgrade", WITH_UPGRADE("Upgrade: h2c\r\n")},
	{"400 no \"Upgrade", WITH_UPGRADE("Upgrade: websockets\r\n")},
	{"400 no \"Upgrade", WITH_UPGRADE("Upgrade: web socket\r\n")},
	{"400 no \"Upgrade", WITH_UPGRADE("Upgrade: \"websocket\"\r\n")},
	{"400 no \"Upgrade", WITH_UPGRADE("Upgrade: websocket/13\r\n")},

	{"101 " ACCEPT, WITH_CONNECTION("Connection: keep-alive, upgrade\r\n")},
	{"101 " ACCEPT, WITH_CONNECTION("Connection: close\r\nConnection: UPGRADE\r\n")},
	{"400 no \"Connection", WITH_CONNECTION("")},
	{"400 no \"Connection", WITH_CONNECTION("Connection: keep-alive\r\n")},
	{"400 no \"Connection", WITH_CONNECTION("Connection: upgrades\r\n")},
	{"400 no \"Connection", WITH_CONNECTION("Connection: keep-alive upgrade\r\n")},

	{"400 no Sec-WebSocket-Version", WITH_VERSION("")},
	{"426", WITH_VERSION("Sec-WebSocket-Version: 8\r\n")},
	{"426", WITH_VERSION("Sec-WebSocket-Version: 0\r\n")},
	{"426", WITH_VERSION("Sec-WebSocket-Version: 14\r\n")},
	{"426", WITH_VERSION("Sec-WebSocket-Version: 013\r\n")},
	{"426", WITH_VERSION("Sec-WebSocket-Version: +13\r\n")},
	{"426", WITH_VERSION("Sec-WebSocket-Version: 13, 8\r\n")},
	{"426", WITH_VERSION("Sec-WebSocket-Version:\r\n")},
	{"426", WITH_VERSION("Sec-WebSocket-Version: thirteen\r\n")},
	{"400 a header field", WITH_VERSION(VERSION VERSION)},

	{"101 ICX+Yqv66kxgM0FcWaLWlFLwTAI=", WITH_KEY(KEY("AAAAAAAAAAAAAAAAAAAAAA=="))},
	{"101 ", WITH_KEY(KEY("+/+/+/+/+/+/+/+/+/+/+w=="))},
	{"400 no Sec-WebSocket-Key", WITH_KEY("")},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY(""))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("dGhlIHNhbXBsZSBub25jZQ="))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("dGhlIHNhbXBsZSBub25jZQ"))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("dGhlIHNhbXBsZSBub25jZQ==="))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("dGhlIHNhbXBsZSBub25jZUE="))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("dGhlIHNhbXBsZSBub25jZUFB"))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("dGhlIHNhbXBsZSBub25jZR=="))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("dGhlIHNhbXBsZSBub25j=Q=="))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("dGhlIHNhbXBsZSBub25 ZQ=="))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("dGhlIHNhbXBsZSBub25-ZQ=="))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("dGhlIHNhbXBsZSBub25jZ\xc3\x84=="))},
	{"400 no Sec-WebSocket-Key", WITH_KEY(KEY("x"))},
	{"400 a header field", WITH_KEY(SAMPLE SAMPLE)},

	{"101 " ACCEPT " relay", PROTOCOL("relay")},
	{"101 " ACCEPT " relay", PROTOCOL("unknown, relay, other")},
	{"101 " ACCEPT " other", PROTOCOL("other, relay")},
	{"101 " ACCEPT " other", PROTOCOL("unknown\r\nSec-WebSocket-Protocol: other")},
	{"101 " ACCEPT, PROTOCOL("unknown")},
	{"101 " ACCEPT, PROTOCOL("Relay, relay2, rela")},
	{"101 " ACCEPT, PROTOCOL("a, A")},
	{"400 Sec-WebSocket-Protocol", PROTOCOL("")},
	{"400 Sec-WebSocket-Protocol", PROTOCOL(",")},
	{"400 Sec-WebSocket-Protocol", PROTOCOL("relay, relay")},
	{"400 Sec-WebSocket-Protocol", PROTOCOL("relay\r\nSec-WebSocket-Protocol: relay")},
	{"400 Sec-WebSocket-Protocol", PROTOCOL("relay other")},
	{"400 Sec-WebSocket-Protocol", PROTOCOL("\"relay\"")},
	{"400 Sec-WebSocket-Protocol", PROTOCOL("relay/1")},
};

static void every_request_is_judged_as_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		parse_check(PARSE_RIG_HANDSHAKE, rows[i].head, rows[i].head, strlen(rows[i].head),
			    rows[i].expected, !strstr(rows[i].expected, ACCEPT));
}

static void check_answer(const char *head, const char *protocol, const char *expected)
{
	struct websocket_handshake handshake;
	struct http_request request;
	char buf[WEBSOCKET_ANSWER_BYTES];
	ssize_t count;

	http_request_init(&request, HTTP_GET | HTTP_HEAD, 0);
	assert_int_equal(http_request_parse(&request, head, strlen(head)), HTTP_PARSE_WHOLE);
	websocket_handshake_check(&request, &handshake);
	handshake.protocol = protocol;
	count = websocket_handshake_answer(&handshake, buf, sizeof(buf));
	assert_true(count > 0);
	assert_int_equal(without_date(buf, (size_t)count), strlen(expected));
	assert_memory_equal(buf, expected, strlen(expected));
	assert_int_equal(websocket_handshake_answer(&handshake, buf, (size_t)count - 1), -ENOSPC);
}

#define SWITCH                                                                                     \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"        \
	"Sec-WebSocket-Accept: " ACCEPT "\r\n"
#define TEXT_FIELDS(length)                                                                        \
	"Content-Type: text/plain; charset=utf-8\r\nContent-Length: " length                       \
	"\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: "           \
	"close\r\n\r\n"

static void answers_are_as_they_should_be(void **state)
{
	(void)state;
	check_answer(WITH(""), NULL, SWITCH "\r\n");
	check_answer(WITH(""), "relay", SWITCH "Sec-WebSocket-Protocol: relay\r\n\r\n");
	check_answer(WITH_VERSION("Sec-WebSocket-Version: 8\r\n"), NULL,
		     "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade"
		     "\r\nSec-WebSocket-Version: 13\r\n" TEXT_FIELDS(
			     "39") "version 13 of WebSocket is spoken here\n");
	check_answer("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", NULL,
		     "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n" TEXT_FIELDS("28"));
}

#define OFFER(list) WITH("Sec-WebSocket-Extensions: " list "\r\n")
#define AGREED      "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
#define WITH_WINDOW AGREED "; server_max_window_bits=15"

static void an_offer_of_compression_is_met_or_passed_over(void **state)
{
	static const struct {
		const char *head;
		const char *answer;
	} table[] = {
		{WITH(""), NULL},
		{OFFER(""), NULL},
		{OFFER("permessage-bzip2"), NULL},
		{OFFER("permessage-deflate"), AGREED},
		{OFFER("Permessage-Deflate"), AGREED},
		{OFFER("permessage-deflate; client_max_window_bits"), AGREED},
		{OFFER("permessage-deflate; client_max_window_bits=8"), AGREED},
		{OFFER("permessage-deflate; client_max_window_bits=15"), AGREED},
		{OFFER("permessage-deflate; server_no_context_takeover; "
		       "client_no_context_takeover"),
		 AGREED},
		{OFFER("permessage-deflate ;server_max_window_bits = 15"), WITH_WINDOW},
		{OFFER("permessage-deflate; server_max_window_bits=\"15\""), WITH_WINDOW},
		{OFFER("permessage-deflate; server_max_window_bits=14"), NULL},
		{OFFER("permessage-deflate; server_max_window_bits=8"), NULL},
		/* The first one that can be met. */
		{OFFER("permessage-deflate; server_max_window_bits=10, permessage-deflate"),
		 AGREED},
		{OFFER("foo, permessage-deflate; bar, permessage-deflate; "
		       "server_max_window_bits=15"),
		 WITH_WINDOW},
		{WITH("Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: "
		      "permessage-deflate\r\n"),
		 AGREED},
		/* RFC 7692, 7.1: what is not known, given twice, or has a value that is none. */
		{OFFER("permessage-deflate; memory=5"), NULL},
		{OFFER("permessage-deflate; server_max_window_bits"), NULL},
		{OFFER("permessage-deflate; server_max_window_bits="), NULL},
		{OFFER("permessage-deflate; server_max_window_bits=16"), NULL},
		{OFFER("permessage-deflate; server_max_window_bits=7"), NULL},
		{OFFER("permessage-deflate; server_max_window_bits=015"), NULL},
		{OFFER("permessage-deflate; server_max_window_bits=\"15"), NULL},
		{OFFER("permessage-deflate; client_max_window_bits=7"), NULL},
		{OFFER("permessage-deflate; client_max_window_bits="), NULL},
		{OFFER("permessage-deflate; server_no_context_takeover=1"), NULL},
		{OFFER("permessage-deflate; client_no_context_takeover="), NULL},
		{OFFER("permessage-deflate; client_max_window_bits; client_max_window_bits"), NULL},
		{OFFER("permessage-deflate; server_no_context_takeover; "
		       "server_no_context_takeover"),
		 NULL},
		{OFFER("permessage-deflate; ; client_max_window_bits"), NULL},
		{OFFER("permessage-deflate=1"), NULL},
		{OFFER("\"permessage-deflate\""), NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct http_request request;
		const char *answer;

		http_request_init(&request, HTTP_GET, 0);
		assert_int_equal(http_request_parse(&request, table[i].head, strlen(table[i].head)),
				 HTTP_PARSE_WHOLE);
		answer = websocket_select_deflate(&request);
		print_message("%s", table[i].head);
		if (table[i].answer)
			assert_string_equal(answer, table[i].answer);
		else
			assert_null(answer);
	}
}

/* With the longest protocol and extension. */
static void an_agreed_extension_is_named(void **state)
{
	struct websocket_handshake handshake = {.status = 101, .extension = WITH_WINDOW};
	char buf[WEBSOCKET_ANSWER_BYTES + 1], protocol[129];
	ssize_t length;

	(void)state;
	memset(protocol, 'p', sizeof(protocol) - 1);
	protocol[sizeof(protocol) - 1] = '\0';
	handshake.protocol = protocol;
	memset(handshake.accept, 'a', sizeof(handshake.accept) - 1);
	length = websocket_handshake_answer(&handshake, buf, WEBSOCKET_ANSWER_BYTES);
	assert_true(length > 0);
	buf[length] = '\0';
	assert_non_null(strstr(buf, "\r\nSec-WebSocket-Extensions: " WITH_WINDOW "\r\n"));
}

static void a_protocol_cannot_break_out_of_its_line(void **state)
{
	struct websocket_handshake handshake = {.status = 101, .protocol = "a\r\nX: b"};
	char buf[WEBSOCKET_ANSWER_BYTES];

	(void)state;
	assert_int_equal(websocket_handshake_answer(&handshake, buf, sizeof(buf)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_is_judged_as_the_table_says),
		cmocka_unit_test(answers_are_as_they_should_be),
		cmocka_unit_test(an_offer_of_compression_is_met_or_passed_over),
		cmocka_unit_test(an_agreed_extension_is_named),
		cmocka_unit_test(a_protocol_cannot_break_out_of_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
