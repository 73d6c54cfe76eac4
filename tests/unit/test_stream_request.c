// SPDX-License-Identifier: MIT
/*
 * Requests for streams, as a table: what the path, the query and the fields ask for; and the heads
 * that answer them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "http/stream_answer.h"
#include "http/stream_request.h"
#include "tests/unit/without_date.h"

#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
/* 2026-11-28T09:30:00Z */
#define NOW    (UINT64_C(1795858200) * NS_PER_S)
#define EVENTS "Accept: text/event-stream\r\n"

struct asked {
	char head[9000];
	struct http_request request;
	struct stream_request wanted;
	const char *wrong;
};

static void ask(struct asked *asked, const char *path, const char *fields, int minor)
{
	int length = snprintf(asked->head, sizeof(asked->head),
			      "GET %s HTTP/1.%d\r\nHost: h\r\n%s\r\n", path, minor, fields);

	http_request_init(&asked->request, HTTP_GET, 0);
	assert_int_equal(http_request_parse(&asked->request, asked->head, (size_t)length),
			 HTTP_PARSE_WHOLE);
	asked->wrong = stream_request_read(&asked->request, NOW, &asked->wanted);
}

static void formats_follow_the_fields(void **state)
{
	static const struct {
		const char *fields;
		int minor;
		enum format format;
	} cases[] = {
		{"", 1, FORMAT_HTTP},
		{"", 0, FORMAT_RAW},
		{"Accept: */*\r\n", 1, FORMAT_HTTP},
		{"Accept: text/*\r\n", 1, FORMAT_HTTP},
		{EVENTS, 1, FORMAT_EVENTS},
		{EVENTS, 0, FORMAT_EVENTS_PLAIN},
		{"Accept: Text/Event-Stream;q=0.5\r\n", 1, FORMAT_EVENTS},
		{"Accept: text/event-stream; q=0\r\n", 1, FORMAT_HTTP},
		{"Accept: text/event-stream;q=0.5, */*\r\n", 1, FORMAT_HTTP},
		{"Accept: text/html, text/event-stream\r\n", 1, FORMAT_EVENTS},
		{UPGRADE, 1, FORMAT_WEBSOCKET},
		{UPGRADE EVENTS, 1, FORMAT_WEBSOCKET},
		{"Accept: application/vnd.relay.framed\r\n", 1, FORMAT_FRAMED},
	};
	static const struct {
		const char *fields;
		int minor;
		enum format format;
	} framed[] = {
		{"", 1, FORMAT_FRAMED},
		{"", 0, FORMAT_FRAMED},
		{EVENTS, 1, FORMAT_FRAMED},
		{UPGRADE, 1, FORMAT_WEBSOCKET_FRAMED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct asked asked;

		ask(&asked, "/a", cases[i].fields, cases[i].minor);
		assert_null(asked.wrong);
		assert_int_equal(asked.wanted.format, cases[i].format);
	}
	for (size_t i = 0; i < ARRAY_LEN(framed); i++) {
		struct asked asked;

		ask(&asked, "/a?format=framed", framed[i].fields, framed[i].minor);
		assert_null(asked.wrong);
		assert_int_equal(asked.wanted.format, framed[i].format);
	}
}

static void parameters_are_read(void **state)
{
	struct asked asked;

	(void)state;
	ask(&asked, "/feed.A-1_?burst=64k&text=1&messages=message", "", 1);
	assert_null(asked.wrong);
	assert_string_equal(asked.wanted.feed, "feed.A-1_");
	assert_true(asked.wanted.has_burst && asked.wanted.wants_text &&
		    asked.wanted.has_messages && asked.wanted.per_message);
	assert_int_equal(asked.wanted.burst_bytes, 65536);
	assert_false(asked.wanted.burst_key_frame);
	ask(&asked, "/a?burst=keyframe", "", 1);
	assert_true(asked.wanted.has_burst && asked.wanted.burst_key_frame &&
		    !asked.wanted.burst_bytes && !asked.wanted.burst_ms);
	ask(&asked, "/a?burst=5s&text=0&messages=packet", "", 1);
	assert_null(asked.wrong);
	assert_int_equal(asked.wanted.burst_ms, 5000);
	assert_false(asked.wanted.wants_text || asked.wanted.per_message);
	ask(&asked, "/a?from=18446744073709551615", "", 1);
	assert_null(asked.wrong);
	assert_true(asked.wanted.has_from && asked.wanted.from_seq == UINT64_MAX);
	ask(&asked, "/a?burst=1k", "Last-Event-ID: 41\r\n", 1);
	assert_null(asked.wrong);
	assert_true(asked.wanted.has_from && !asked.wanted.has_burst &&
		    asked.wanted.burst_bytes == 0);
	ask(&asked, "/a/", "", 1);
	assert_string_equal(asked.wanted.feed, "a");
	ask(&asked, "/a?_=17&nocache&a[]=1&q=%zz&a%20long%20name%20of%20a%20parameter=1&from=1", "",
	    1);
	assert_null(asked.wrong);
	assert_true(asked.wanted.from_seq == 1);
	ask(&asked, "/a?text", "Last-Event-ID:\r\n", 1);
	assert_null(asked.wrong);
	assert_true(asked.wanted.wants_text && !asked.wanted.has_from);
	ask(&asked, "/", "", 1);
	assert_string_equal(asked.wanted.feed, "");
	ask(&asked, "/%61", "", 1);
	assert_string_equal(asked.wanted.feed, "a");
}

static void times_are_read(void **state)
{
	static const struct {
		const char *path, *fields;
		uint64_t since_ns, until_ns;
	} cases[] = {
		{"/a", "", 0, 0},
		{"/a?since=2026-11-28T09:29:59.25Z", "", NOW - 750 * NS_PER_MS, 0},
		{"/a?since=-15m&until=-90s", "", NOW - 900 * NS_PER_S, NOW - 90 * NS_PER_S},
		{"/a?since=-0&until=2026-11-28T09:30:00Z", "", NOW, NOW},
		{"/a?until=2026-11-29T09:30:00Z", "", 0, NOW + 86400 * NS_PER_S},
		{"/a?from=7&until=-1s", "", 0, NOW - NS_PER_S},
		{"/a?burst=1k&until=-1s", "", 0, NOW - NS_PER_S},
		{"/a?since=-1h&until=-1s", "Last-Event-ID: 7-1\r\n", 0, NOW - NS_PER_S},
		{"/a?until=-1s", "Last-Event-ID: 7-1\r\n", 0, NOW - NS_PER_S},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct asked asked;

		ask(&asked, cases[i].path, cases[i].fields, 1);
		assert_null(asked.wrong);
		assert_true(asked.wanted.since_ns == cases[i].since_ns &&
			    asked.wanted.until_ns == cases[i].until_ns);
	}
}

static void what_cannot_be_meant_is_refused(void **state)
{
	static const struct {
		const char *path, *fields;
	} cases[] = {
		{"/a?burst=", ""},
		{"/a?burst=5m", ""},
		{"/a?burst=1M", ""},
		{"/a?burst=-1", ""},
		{"/a?burst=1.5k", ""},
		{"/a?burst=x", ""},
		{"/a?burst=keyframes", ""},
		{"/a?from=", ""},
		{"/a?from=1k", ""},
		{"/a?from=18446744073709551616", ""},
		{"/a?text=yes", ""},
		{"/a?messages=", ""},
		{"/a?messages=all", ""},
		{"/a?from=1&burst=0", ""},
		{"/a?format=", ""},
		{"/a?since=", ""},
		{"/a?since=-", ""},
		{"/a?since=15m", ""},
		{"/a?since=-15", ""},
		{"/a?since=+15m", ""},
		{"/a?since=2026-11-28", ""},
		{"/a?since=1970-01-01T00:00:00Z", ""},
		{"/a?since=2026-11-28T09:30:00.000000001Z", ""},
		{"/a?since=-99999d", ""},
		{"/a?since=-1m&since=-1m", ""},
		{"/a?since=-1m&from=1", ""},
		{"/a?since=-1m&burst=1k", ""},
		{"/a?since=-1m&until=-2m", ""},
		{"/a?until=tomorrow", ""},
		{"/a?until=-1m", ""},
		{"/a?until=2026-11-28T09:30:00Z", ""},
		{"/a?format=raw", ""},
		{"/a?format=framed&text=1", UPGRADE},
		{"/a?format=framed&messages=packet", UPGRADE},
		{"/a?from=1&from=1", ""},
		{"/a?burst=1k&x=1&%62urst=2k", ""},
		{"/a?from=%31%00", ""},
		{"/a?from=%3", ""},
		{"/a?from=0-1", ""},
		{"/a?from=-1", ""},
		{"/a?from=7-", ""},
		{"/a?from=7-8-9", ""},
		{"/a?from=4294967296-1", ""},
		{"/a?from=000000000000000000000000000000007", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct asked asked;

		ask(&asked, cases[i].path, cases[i].fields, 1);
		assert_non_null(asked.wrong);
	}
}

/* What a client wants that comes back, as one text; "none": it has said nothing. */
static const char *where(const char *path, const char *fields)
{
	static char text[80];
	struct asked asked;

	ask(&asked, path, fields, 1);
	assert_null(asked.wrong);
	if (!asked.wanted.has_from)
		return "none";
	(void)snprintf(text, sizeof(text), "%s%u-%llu", asked.wanted.may_miss ? "told " : "",
		       asked.wanted.from_session, (unsigned long long)asked.wanted.from_seq);
	return text;
}

#define EVENTS "Accept: text/event-stream\r\n"
#define ID     EVENTS "Last-Event-ID: "

static void where_a_client_goes_on_is_read(void **state)
{
	static const struct {
		const char *path, *fields, *expected;
	} cases[] = {
		{"/a?from=0", "", "0-0"},
		{"/a?from=7", "", "0-7"},
		{"/a?from=5-7", EVENTS, "5-7"},
		{"/a?from=4294967295-18446744073709551615", "", "4294967295-18446744073709551615"},
		{"/a", ID "5-7\r\n", "told 5-8"},
		{"/a?from=9", ID "5-7\r\n", "told 5-8"},
		{"/a?burst=1k", ID "5-0\r\n", "told 5-1"},
		{"/a?lastEventId=5-7", EVENTS, "told 5-8"},
		{"/a?lastEventId=5-7", ID "6-1\r\n", "told 6-2"},
		{"/a?lastEventId=5-7", ID "\r\n", "told 5-8"},
		{"/a?lastEventId=%ff", EVENTS, "none"},
		/* Without its session a number says only that something may be missing. */
		{"/a", ID "41\r\n", "told 0-0"},
		/* What is no event stream cannot be told. */
		{"/a", "Last-Event-ID: 5-7\r\n", "5-8"},
		{"/a", "Last-Event-ID: 41\r\n", "0-42"},
		/* Ids of others. */
		{"/a", ID "x\r\n", "none"},
		{"/a?from=9", ID "x\r\n", "0-9"},
		{"/a", ID "-1\r\n", "none"},
		{"/a", ID "1700000000:0\r\n", "none"},
		{"/a", ID "urn:uuid:0d4a7b1c-8a2e-4d7c-9a43-3f3f6f1a2b3c\r\n", "none"},
		{"/a", ID "0-7\r\n", "none"},
		{"/a", ID "4294967296-7\r\n", "none"},
		{"/a", ID "5-18446744073709551615\r\n", "none"},
		{"/a", ID "18446744073709551616\r\n", "none"},
		{"/a", ID "00000000000000000000000000000000000001\r\n", "none"},
		{"/a", ID "\xe2\x82\xac\r\n", "none"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(where(cases[i].path, cases[i].fields), cases[i].expected);
}

static void a_path_that_no_feed_has_is_told(void **state)
{
	char path[STREAM_FEED_BYTES + 3];
	struct asked asked;

	(void)state;
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[STREAM_FEED_BYTES + 2] = '\0';
	ask(&asked, path, "", 1);
	assert_true(asked.wanted.is_long && !asked.wanted.feed[0]);
	path[STREAM_FEED_BYTES + 1] = '\0';
	ask(&asked, path, "", 1);
	assert_false(asked.wanted.is_long);
	assert_int_equal(strlen(asked.wanted.feed), STREAM_FEED_BYTES);
}

static void heads_are_what_they_should_be(void **state)
{
	struct stream_answer answer = {
		.format = FORMAT_HTTP,
		.of_feed = {.content_type = "audio/mpeg", .fields = "icy-name\0Radio\0X-A\0b\0"},
	};
	struct stream_start start = {.is_known = true, .session = 7, .sequence = 9};
	char buf[STREAM_ANSWER_BYTES];
	ssize_t length;

	(void)state;
	length = stream_answer_head(&answer, &start, buf, sizeof(buf) - 1);
	assert_true(length > 0);
	buf[without_date(buf, (size_t)length)] = '\0';
	assert_string_equal(buf, "HTTP/1.1 200 OK\r\n"
				 "Content-Type: audio/mpeg\r\n"
				 "Cache-Control: no-store, no-transform\r\n"
				 "X-Accel-Buffering: no\r\n"
				 "X-Content-Type-Options: nosniff\r\n"
				 "icy-name: Radio\r\nX-A: b\r\n"
				 "Relay-Session: 7\r\nRelay-Sequence: 9\r\n"
				 "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
	answer.format = FORMAT_RAW;
	start.is_known = false;
	length = stream_answer_head(&answer, &start, buf, sizeof(buf) - 1);
	buf[length] = '\0';
	assert_null(strstr(buf, "chunked"));
	assert_null(strstr(buf, "Relay-"));
	answer.format = FORMAT_EVENTS;
	length = stream_answer_head(&answer, &start, buf, sizeof(buf) - 1);
	buf[length] = '\0';
	assert_non_null(strstr(buf, "Content-Type: text/event-stream\r\n"));
}

/* What depends on Accept-Encoding says so, whatever it is this time. */
static void a_compressed_body_begins_with_the_head_of_gzip(void **state)
{
	static const char gzip[] = "a\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff\r\n";
	const struct stream_start start = {.is_known = false};
	struct stream_answer answer = {.format = FORMAT_EVENTS, .may_compress = true};
	char buf[STREAM_ANSWER_BYTES], *body;
	ssize_t length = stream_answer_head(&answer, &start, buf, sizeof(buf) - 1);

	(void)state;
	buf[length] = '\0';
	assert_non_null(strstr(buf, "\r\nVary: Accept-Encoding\r\n"));
	assert_null(strstr(buf, "Content-Encoding"));
	answer.format = FORMAT_EVENTS_GZIP;
	length = stream_answer_head(&answer, &start, buf, sizeof(buf));
	assert_true(length > 0);
	body = strstr(buf, "\r\n\r\n") + 4;
	assert_int_equal(buf + length - body, sizeof(gzip) - 1);
	assert_memory_equal(body, gzip, sizeof(gzip) - 1);
	assert_non_null(strstr(buf, "\r\nVary: Accept-Encoding\r\nContent-Encoding: gzip\r\n"));
	assert_int_equal(stream_answer_head(&answer, &start, buf, (size_t)length - 1), -ENOSPC);
	answer.is_head = true;
	length = stream_answer_head(&answer, &start, buf, sizeof(buf) - 1);
	buf[length] = '\0';
	assert_non_null(strstr(buf, "\r\nContent-Encoding: gzip\r\n"));
	assert_string_equal(strstr(buf, "\r\n\r\n"), "\r\n\r\n");
	answer = (struct stream_answer){.format = FORMAT_RAW, .may_compress = true};
	length = stream_answer_head(&answer, &start, buf, sizeof(buf) - 1);
	buf[length] = '\0';
	assert_null(strstr(buf, "Vary"));
}

/* With the longest origin and type, the most fields, and the largest numbers. */
static void every_answer_fits(void **state)
{
	static const enum format formats[] = {FORMAT_HTTP, FORMAT_RAW, FORMAT_EVENTS,
					      FORMAT_EVENTS_PLAIN, FORMAT_EVENTS_GZIP};
	const struct stream_start start = {
		.is_known = true, .session = UINT32_MAX, .sequence = UINT64_MAX};
	const struct stream_range range = {UINT32_MAX, 1, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	struct stream_answer answer = {.is_head = false};
	char buf[STREAM_ANSWER_BYTES], fields[4 * STREAM_ANSWER_BYTES] = "";
	struct asked asked;

	(void)state;
	for (size_t i = 0; i < 20; i++)
		(void)strcat(fields, "Access-Control-Request-Headers: x-a-rather-long-name,"
				     "x-another-name-that-is-long\r\n");
	ask(&asked, "/a", fields, 1);
	answer.allows_credentials = answer.may_compress = true;
	memset(answer.of_feed.content_type, 't', STREAM_TYPE_BYTES);
	for (size_t i = 0; i + 4 < sizeof(answer.of_feed.fields); i += 4)
		memcpy(answer.of_feed.fields + i, "a\0b", 4);
	memset(answer.origin, 'o', STREAM_ORIGIN_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		answer.format = formats[i];
		assert_true(stream_answer_head(&answer, &start, buf, sizeof(buf)) > 0);
		assert_true(stream_answer_out_of_range(&answer, &range, buf, sizeof(buf)) > 0);
		assert_true(stream_answer_options(&answer, &asked.request, buf, sizeof(buf)) > 0);
	}
}

/* What a preflight is answered, from Allow on. */
static const char *preflight(const char *fields)
{
	struct stream_answer answer = {.origin = "https://a.example"};
	static char buf[STREAM_ANSWER_BYTES + 1];
	struct asked asked;
	ssize_t length;

	ask(&asked, "/a", fields, 1);
	length = stream_answer_options(&answer, &asked.request, buf, sizeof(buf) - 1);
	assert_true(length > 0);
	buf[length] = '\0';
	return strstr(buf, "Allow: ");
}

#define ALLOW_BEGIN                                                                                \
	"Allow: GET, HEAD, OPTIONS\r\nAccess-Control-Allow-Methods: GET, HEAD\r\n"                 \
	"Access-Control-Allow-Headers: Authorization, Last-Event-ID"
#define ALLOW_END "Access-Control-Max-Age: 600\r\nConnection: close\r\n\r\n"

static void a_preflight_is_allowed_what_it_asks_for(void **state)
{
	(void)state;
	assert_string_equal(preflight(""), ALLOW_BEGIN "\r\n" ALLOW_END);
	assert_string_equal(preflight("Access-Control-Request-Headers: cache-control,x-a\r\n"),
			    ALLOW_BEGIN ", cache-control, x-a\r\n" ALLOW_END);
	assert_string_equal(preflight("Access-Control-Request-Headers: a b, \"x\", c\r\n"),
			    ALLOW_BEGIN ", c\r\n" ALLOW_END);
	assert_string_equal(preflight("Access-Control-Request-Private-Network: true\r\n"),
			    ALLOW_BEGIN
			    "\r\nAccess-Control-Allow-Private-Network: true\r\n" ALLOW_END);
	assert_string_equal(preflight("Access-Control-Request-Private-Network: no\r\n"),
			    ALLOW_BEGIN "\r\n" ALLOW_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_follow_the_fields),
		cmocka_unit_test(parameters_are_read),
		cmocka_unit_test(times_are_read),
		cmocka_unit_test(what_cannot_be_meant_is_refused),
		cmocka_unit_test(where_a_client_goes_on_is_read),
		cmocka_unit_test(a_path_that_no_feed_has_is_told),
		cmocka_unit_test(heads_are_what_they_should_be),
		cmocka_unit_test(a_compressed_body_begins_with_the_head_of_gzip),
		cmocka_unit_test(every_answer_fits),
		cmocka_unit_test(a_preflight_is_allowed_what_it_asks_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
