// SPDX-License-Identifier: MIT
/* pull/pull_request.c, pull_answer.c and pull_token.c: what an origin is asked, and what it
 * says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "pull/gga.h"
#include "pull/pull_answer.h"
#include "pull/pull_request.h"
#include "pull/pull_token.h"

/* ---- the request ---- */

static void expect_line(const char *url, bool is_framed, const struct pull_place *place,
			const char *line)
{
	const struct pull_request request = {
		.url = url,
		.is_framed = is_framed,
		.place = *place,
		.authorization = "",
		.gga = "",
	};
	char text[PULL_REQUEST_BYTES];

	size_t bytes = pull_request_print(&request, text);

	assert_int_equal(bytes, strlen(text));
	text[strcspn(text, "\r")] = '\0';
	assert_string_equal(text, line);
}

static void test_target(void **state)
{
	static const struct pull_place unknown = {0}, known = {true, 7, 90};

	(void)state;
	expect_line("http://h/a?burst=1m", false, &known, "GET /a?burst=1m HTTP/1.1");
	expect_line("http://h/a", true, &unknown, "GET /a?format=framed HTTP/1.1");
	expect_line("http://h/a", true, &known, "GET /a?format=framed&from=7-90 HTTP/1.1");
	expect_line("http://h/a?since=-1h&x=1", true, &unknown,
		    "GET /a?format=framed&since=-1h&x=1 HTTP/1.1");
	expect_line("http://h/a?since=-1h&x=1&burst=1m&from=0&format=raw", true, &known,
		    "GET /a?format=framed&x=1&from=7-90 HTTP/1.1");
	expect_line("http://h/a?fromage=1&&burst", true, &known,
		    "GET /a?format=framed&fromage=1&from=7-90 HTTP/1.1");
}

static void test_longest_request(void **state)
{
	char url[PULL_URL_BYTES], authorization[PULL_AUTHORIZATION_BYTES], text[PULL_REQUEST_BYTES];
	const struct pull_request request = {
		.url = url,
		.is_framed = true,
		.place = {true, UINT32_MAX, UINT64_MAX},
		.authorization = authorization,
		.gga = "",
	};
	size_t bytes;

	(void)state;
	memset(url, 'x', sizeof(url) - 1);
	url[sizeof(url) - 1] = '\0';
	memcpy(url, "http://h/", 9);
	memset(authorization, 'y', sizeof(authorization) - 1);
	authorization[sizeof(authorization) - 1] = '\0';
	bytes = pull_request_print(&request, text);
	assert_true(bytes < sizeof(text));
	assert_memory_equal(text + bytes - 4, "\r\n\r\n", 4);
	assert_non_null(strstr(text, "&from=4294967295-18446744073709551615 HTTP/1.1\r\n"));
}

/* ---- the position ---- */

static void expect_gga(int32_t latitude_e7, int32_t longitude_e7, int32_t altitude_cm,
		       uint64_t wall_ns, const char *sentence)
{
	const struct gga_position position = {true, latitude_e7, longitude_e7, altitude_cm};
	char text[GGA_BYTES];
	size_t bytes = gga_print(&position, wall_ns, text);

	assert_int_equal(bytes, strlen(text));
	assert_string_equal(text, sentence);
}

/* The checksums are those of another program. */
static void test_gga(void **state)
{
	const uint64_t morning_ns = (UINT64_C(1764408600) * 100 + 7) * 10000000; /* 09:30:00.07 */

	(void)state;
	expect_gga(481371540, 115753820, 52000, morning_ns,
		   "$GPGGA,093000.07,4808.22924,N,01134.52292,E,1,12,1.0,520.0,M,0.0,M,,*56");
	expect_gga(-5, 0, -4, 0,
		   "$GPGGA,000000.00,0000.00003,S,00000.00000,E,1,12,1.0,0.0,M,0.0,M,,*40");
	expect_gga(899999999, -1799999999, -2000000, 86399990000000,
		   "$GPGGA,235959.99,8959.99999,N,17959.99999,W,1,12,1.0,-20000.0,M,0.0,M,,*6C");
	expect_gga(900000000, 1800000000, 0, 0,
		   "$GPGGA,000000.00,9000.00000,N,18000.00000,E,1,12,1.0,0.0,M,0.0,M,,*5E");
}

static void test_field_of_gga(void **state)
{
	struct pull_request request = {
		.url = "ntrip://h/M", .authorization = "", .gga = "$GPGGA,*00"};
	char text[PULL_REQUEST_BYTES];

	(void)state;
	(void)pull_request_print(&request, text);
	assert_non_null(strstr(text, "\r\nNtrip-GGA: $GPGGA,*00\r\n"));
	request.url = "http://h/M";
	(void)pull_request_print(&request, text);
	assert_null(strstr(text, "GGA"));
}

/* ---- where the head of an answer ends ---- */

/* Byte by byte: not before `end`, and there; 0: never. */
static void expect_end(const char *text, bool is_ntrip, size_t end, size_t shown_by)
{
	for (size_t count = 1; count <= strlen(text); count++) {
		ssize_t found = pull_answer_find_end(text, count, is_ntrip);

		assert_int_equal(found, end && count >= shown_by ? (ssize_t)end : 0);
	}
}

static void test_end(void **state)
{
	(void)state;
	expect_end("HTTP/1.1 200 OK\r\nA: b\r\n\r\nstream", false, 25, 25);
	expect_end("HTTP/1.1 200 OK\nA: b\n\nstream", false, 22, 22);
	expect_end("ICY 200 OK\r\nicy-name: x\r\n\r\nstream", true, 27, 27);
	expect_end("ICY 200 OK\r\n\r\n\xd3stream", true, 14, 14);
	expect_end("ICY 200 OK\r\n\xd3stream", true, 12, 13);
	expect_end("ICY 200 OK\r\n$GPGGA,1\r\n", true, 12, 19);
	expect_end("ICY 200 OK\r\n$GPGGA,1\r\n", false, 0, 0);
	expect_end("ICY 200 OK\r\nhello\r\n", true, 12, 18);
	expect_end("ICY 200 OK\r\nhello\n", true, 12, 18);
	/* A name of 64 bytes is one, a longer one is the stream. */
	expect_end("ICY 200 OK\r\n"
		   "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn: x\r\n\r\n",
		   true, 83, 83);
	expect_end("ICY 200 OK\r\n"
		   "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn: x\r\n\r\n",
		   true, 12, 77);
	assert_int_equal(pull_answer_find_end("GET / HTTP/1.1", 14, false), -EPROTO);
	assert_int_equal(pull_answer_find_end("\xd3", 1, true), -EPROTO);
}

/* ---- what it says ---- */

static int parse(const char *head, struct pull_answer *ret)
{
	return pull_answer_parse(head, strlen(head), ret);
}

static void test_fields(void **state)
{
	struct pull_answer answer;

	(void)state;
	assert_int_equal(parse("HTTP/1.1 416 Range\r\nrelay-session: 7\r\nRelay-Oldest: 12\r\n"
			       "Relay-Next: 90\r\nbroken line\r\n\r\n",
			       &answer),
			 0);
	assert_int_equal(answer.status, 416);
	assert_true(answer.range.is_known);
	assert_int_equal(answer.range.session, 7);
	assert_int_equal(answer.range.oldest_session, 7);
	assert_int_equal(answer.range.oldest, 12);
	assert_int_equal(answer.range.next, 90);
	assert_int_equal(answer.kind, PULL_TO_END);

	assert_int_equal(parse("HTTP/1.0 416\r\nRelay-Session: 7\r\nRelay-Oldest: 6-12\r\n"
			       "Relay-Next: 1\r\n\r\n",
			       &answer),
			 0);
	assert_int_equal(answer.range.oldest_session, 6);
	assert_int_equal(parse("HTTP/1.1 200 OK\r\nRelay-Session: 4294967296\r\nRelay-Oldest: 1\r\n"
			       "Relay-Next: 1\r\nContent-Type:  text/plain\t\r\n\r\n",
			       &answer),
			 0);
	assert_false(answer.range.is_known);
	assert_string_equal(answer.type, "text/plain");

	assert_int_equal(parse("HTTP/1.1 20\r\n\r\n", &answer), -EPROTO);
	assert_int_equal(parse("HTTP/1.1  200\r\n\r\n", &answer), -EPROTO);
	assert_int_equal(parse("ICY\r\n\r\n", &answer), -EPROTO);
}

static void expect_place(const char *range, struct pull_place asked, struct pull_place wanted)
{
	char head[256];
	struct pull_answer answer;
	struct pull_place place;

	(void)snprintf(head, sizeof(head), "HTTP/1.1 416 x\r\n%s\r\n", range);
	assert_int_equal(parse(head, &answer), 0);
	place = pull_answer_place(&answer, &asked);
	assert_int_equal(place.is_known, wanted.is_known);
	if (!wanted.is_known)
		return;
	assert_int_equal(place.session, wanted.session);
	assert_int_equal(place.sequence, wanted.sequence);
}

#define RANGE(session, oldest, next)                                                               \
	"Relay-Session: " session "\r\nRelay-Oldest: " oldest "\r\nRelay-Next: " next "\r\n"

static void test_place(void **state)
{
	static const struct pull_place asked = {true, 7, 50};

	(void)state;
	/* gone; behind the one that was read before; a new session; one whose past is
	 * in older files */
	expect_place(RANGE("7", "60", "90"), asked, (struct pull_place){true, 7, 60});
	expect_place(RANGE("7", "10", "48"), asked, (struct pull_place){true, 7, 48});
	expect_place(RANGE("8", "1", "90"), asked, (struct pull_place){true, 8, 1});
	expect_place(RANGE("8", "6-10", "90"), asked, (struct pull_place){true, 8, 90});
	expect_place("", asked, (struct pull_place){0});
}

/* ---- who relay is ---- */

static void expect_token(const char *text, const char *value, int result)
{
	char path[] = "/tmp/relay-test-token-XXXXXX", ret[PULL_AUTHORIZATION_BYTES];
	int fd = mkstemp(path);
	struct errmsg err = {""};

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(pull_token_read(path, ret, &err), result);
	assert_string_equal(ret, value);
	assert_null(strstr(err.text, "secret"));
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path), 0);
}

static void test_token(void **state)
{
	char text[600], comment[1200], ret[PULL_AUTHORIZATION_BYTES];
	struct errmsg err;

	(void)state;
	(void)snprintf(comment, sizeof(comment), "#%01100d\nsecret\n", 0);
	expect_token(comment, "Bearer secret", 0);
	expect_token("secret\n", "Bearer secret", 0);
	expect_token("# x\r\n\r\nuser:pass word\r\nmore\n", "Basic dXNlcjpwYXNzIHdvcmQ=", 0);
	expect_token("", "", -EINVAL);
	expect_token("#secret\n", "", -EINVAL);
	expect_token("two secrets\n", "", -EINVAL);
	expect_token(":secret\n", "", -EINVAL);
	expect_token("sec\x01ret\n", "", -EINVAL);
	memset(text, 's', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	expect_token(text, "", -EINVAL);
	assert_int_equal(pull_token_read("", ret, &err), 0);
	assert_string_equal(ret, "");
	assert_int_equal(pull_token_read("/nowhere/none", ret, &err), -ENOENT);
	assert_int_equal(pull_token_read("/tmp", ret, &err), -EISDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target), cmocka_unit_test(test_longest_request),
		cmocka_unit_test(test_gga),    cmocka_unit_test(test_field_of_gga),
		cmocka_unit_test(test_end),    cmocka_unit_test(test_fields),
		cmocka_unit_test(test_place),  cmocka_unit_test(test_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
