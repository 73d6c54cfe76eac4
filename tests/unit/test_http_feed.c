// SPDX-License-Identifier: MIT
/*
 * Feeds that relaycat asks for by HTTP: URLs, requests, and answers in pieces of any size.
 * The tools are programs, not part of the library, so the file under test is included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "relay/tools/relaycat/http_feed.c"

static void urls_are_taken_apart(void **state)
{
	static const struct {
		const char *text, *authority, *address, *path;
	} cases[] = {
		{"http://h/a", "h", "h:80", "/a"},
		{"HTTP://127.0.0.1:7003/feed.A-1_", "127.0.0.1:7003", "127.0.0.1:7003",
		 "/feed.A-1_"},
		{"http://[::1]/a", "[::1]", "[::1]:80", "/a"},
		{"http://[::1]:81/a%20b", "[::1]:81", "[::1]:81", "/a%20b"},
	};
	static const char *const wrong[] = {
		"http://",      "http:///a",     "http://h",     "http://h/",
		"http://h:80",  "https://h/a",   "h:80/a",       "http://h/a?from=1",
		"http://h/a b", "http://me@h/a", "http://h/a#b", "http://h/a\r\nX: 1",
		"http://h /a",
	};
	struct http_feed_url url;
	struct errmsg error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(http_feed_parse_url(cases[i].text, &url, &error), 0);
		assert_string_equal(url.authority, cases[i].authority);
		assert_string_equal(url.address, cases[i].address);
		assert_string_equal(url.path, cases[i].path);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(http_feed_parse_url(wrong[i], &url, &error), -EINVAL);
		assert_non_null(strstr(error.text, "expected http://HOST[:PORT]/FEED"));
	}
}

static void a_request_says_where_to_begin(void **state)
{
	const struct http_feed_url url = {.authority = "h:1", .path = "/a"};
	struct http_feed_range range = {.since = "2026-11-28T09:30:00Z", .until = "-5m"};
	char request[HTTP_FEED_REQUEST_BYTES];
	size_t length;

	(void)state;
	length = http_feed_print_request(&url, &range, "", request);
	assert_int_equal(length, strlen(request));
	assert_string_equal(request,
			    "GET /a?format=framed&since=2026-11-28T09:30:00Z&until=-5m HTTP/1.0\r\n"
			    "Host: h:1\r\nAccept: application/vnd.relay.framed\r\n\r\n");
	http_feed_go_on(&range, UINT32_MAX, UINT64_MAX);
	(void)http_feed_print_request(&url, &range, "", request);
	assert_non_null(strstr(request, "?format=framed&from=4294967295-18446744073709551615"
					"&until=-5m HTTP/1.0\r\n"));
	http_feed_go_on(&range, 0, 0);
	range.until[0] = '\0';
	(void)http_feed_print_request(&url, &range, "", request);
	assert_non_null(strstr(request, "?format=framed&from=0 HTTP/1.0\r\n"));
}

// In pieces of `piece` bytes; returns what http_feed_take() said last, and how many were used.
static int take(struct http_feed_answer *answer, const char *text, size_t piece, size_t *ret_used)
{
	size_t length = strlen(text), used;
	int r = 0;

	*answer = (struct http_feed_answer){0};
	for (*ret_used = 0; r == 0 && *ret_used < length; *ret_used += used) {
		size_t size = length - *ret_used < piece ? length - *ret_used : piece;

		r = http_feed_take(answer, (const uint8_t *)text + *ret_used, size, &used);
		assert_true(used <= size && (r != 0 || used == size));
	}
	return r;
}

static void answers_come_in_any_pieces(void **state)
{
	static const char good[] = "HTTP/1.1 200 OK\r\n"
				   "content-type: application/vnd.relay.framed\r\n\r\n";
	static const char gone[] = "HTTP/1.1 416 Range Not Satisfiable\r\n\r\nit is gone\n";
	struct http_feed_answer answer;
	struct errmsg why;
	size_t used;

	(void)state;
	for (size_t piece = 1; piece < 100; piece++) {
		char stream[200];

		(void)snprintf(stream, sizeof(stream), "%sRLY1\r\n\r\n", good);
		assert_int_equal(take(&answer, stream, piece, &used), 1);
		assert_int_equal(used, sizeof(good) - 1);
		assert_int_equal(take(&answer, gone, piece, &used), 0);
		assert_int_equal(answer.status, 416);
		http_feed_tell_refusal(&answer, "http://h/a", &why);
		assert_string_equal(why.text, "http://h/a: refused with 416: it is gone");
		assert_false(http_feed_is_for_now(&answer));
		assert_int_equal(take(&answer, "HTTP/1.1 503 x\r\n\r\nfull\n", piece, &used), 0);
		assert_true(http_feed_is_for_now(&answer));
		assert_int_equal(take(&answer, "HTTP/1.1 200 OK\r\n\r\nRLY1", piece, &used),
				 -EPROTO);
		assert_int_equal(take(&answer, "RLY1 and so on", piece, &used), -EPROTO);
		assert_int_equal(take(&answer, "HTTP/1.1 2 0 OK\r\n\r\n", piece, &used), -EPROTO);
		assert_int_equal(take(&answer, "HTTP/1.1 200", piece, &used), 0);
		assert_true(http_feed_is_for_now(&answer)); // it ended in the middle
	}
}

static void a_head_without_an_end_is_none(void **state)
{
	static char endless[2 * HTTP_FEED_ANSWER_BYTES];
	struct http_feed_answer answer;
	size_t used;

	(void)state;
	memset(endless, 'a', sizeof(endless) - 1);
	memcpy(endless, "HTTP/1.1 200 OK\r\n", 17);
	assert_int_equal(take(&answer, endless, 1000, &used), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_taken_apart),
		cmocka_unit_test(a_request_says_where_to_begin),
		cmocka_unit_test(answers_come_in_any_pieces),
		cmocka_unit_test(a_head_without_an_end_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
