// SPDX-License-Identifier: MIT
/*
 * Request heads: the table of http_request_cases.def, each case whole, byte by byte and cut at
 * every place; limits; and what the caller is given of a head that is whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "http/http_request.h"
#include "tests/unit/parse_check.h"

#define LINE(line)     line "\r\nHost: a\r\n\r\n"
#define TARGET(target) LINE("GET " target " HTTP/1.1")
#define FIELDS(fields) "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define HOST(host)     "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"
#define POST(fields)   "POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"

#define PUT(fields)    "PUT /a HTTP/1.1\r\nHost: a\r\n" fields "\r\n"

struct row {
	enum parse_rig_kind kind;
	const char *expected;
	const char *bytes;
	size_t count;
};

#define CASE(expected, bytes)    {PARSE_RIG_SUBSCRIBER, expected, bytes, sizeof(bytes) - 1},
#define PUBLISH(expected, bytes) {PARSE_RIG_PUBLISHER, expected, bytes, sizeof(bytes) - 1},
#define ADMIN(expected, bytes)   {PARSE_RIG_ADMIN, expected, bytes, sizeof(bytes) - 1},
static const struct row rows[] = {
#include "tests/unit/http_request_cases.def"
};

static void check_row(const struct row *row)
{
	parse_check(row->kind, row->bytes, row->bytes, row->count, row->expected, true);
}

static void every_head_is_judged_as_the_table_says(void **state)
{
	(void)state;
	assert_true(ARRAY_LEN(rows) >= 200);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
}

// --- limits

// A head of just `count` bytes, filled up by its target or by its last field.
static size_t make_long_head(char *buf, size_t count, bool by_target)
{
	static const char start[] = "GET /",
			  middle[] = " HTTP/1.1\r\nHost: a\r\nX: ", end[] = "\r\n\r\n";
	size_t fill = count - strlen(start) - strlen(middle) - strlen(end);

	memcpy(buf, start, strlen(start));
	buf += strlen(start);
	if (by_target)
		memset(buf, 'x', fill);
	buf += by_target ? fill : 0;
	memcpy(buf, middle, strlen(middle));
	buf += strlen(middle);
	if (!by_target)
		memset(buf, 'x', fill);
	buf += by_target ? 0 : fill;
	memcpy(buf, end, strlen(end));
	return count;
}

static void check_long(size_t count, bool by_target, const char *expected)
{
	char buf[2 * HTTP_HEAD_BYTES];

	check_row(&(struct row){PARSE_RIG_SUBSCRIBER, expected, buf,
				make_long_head(buf, count, by_target)});
}

static void a_head_is_at_most_32_kib(void **state)
{
	(void)state;
	check_long(HTTP_HEAD_BYTES, false, "GET / 1.1 host=a fields=2 body=0 head=32768");
	check_long(HTTP_HEAD_BYTES, true, "GET /xxx");
	check_long(HTTP_HEAD_BYTES + 1, false, "431");
	check_long(HTTP_HEAD_BYTES + 1, true, "431");
	check_long(2 * HTTP_HEAD_BYTES, false, "431");
	check_long(HTTP_HEAD_BYTES + 100, true, "414");
	check_long(2 * HTTP_HEAD_BYTES, true, "414");
}

// A request with `count` fields, each with one more character than the one before.
static size_t make_fields(char *buf, size_t size, size_t count)
{
	size_t length = (size_t)snprintf(buf, size, "GET / HTTP/1.1\r\nHost: a\r\n");

	for (size_t i = 1; i < count; i++)
		length += (size_t)snprintf(buf + length, size - length, "X%zu: %*s\r\n", i, (int)i,
					   "y");
	return length + (size_t)snprintf(buf + length, size - length, "\r\n");
}

static void a_head_has_at_most_64_fields(void **state)
{
	char buf[HTTP_HEAD_BYTES];

	(void)state;
	check_row(&(struct row){PARSE_RIG_SUBSCRIBER, "GET / 1.1 host=a fields=64", buf,
				make_fields(buf, sizeof(buf), HTTP_FIELDS_MAX)});
	check_row(&(struct row){PARSE_RIG_SUBSCRIBER, "431", buf,
				make_fields(buf, sizeof(buf), HTTP_FIELDS_MAX + 1)});
}

// --- what the caller is given

static void read_head(struct http_request *request, const char *head)
{
	http_request_init(request, HTTP_GET | HTTP_HEAD, 0);
	assert_int_equal(http_request_parse(request, head, strlen(head)), HTTP_PARSE_WHOLE);
}

static void every_byte_is_allowed_just_where_it_should_be(void **state)
{
	(void)state;
	for (unsigned byte = 0; byte < 256; byte++) {
		struct http_request request;
		char head[] = FIELDS("X: ?\r\n");
		bool good = byte == '\t' || (byte >= 0x20 && byte != 0x7f);

		*strchr(head, '?') = (char)byte;
		http_request_init(&request, HTTP_GET, 0);
		assert_int_equal(http_request_parse(&request, head, sizeof(head) - 1),
				 good ? HTTP_PARSE_WHOLE : HTTP_PARSE_ERROR);
		memcpy(head, FIELDS("?: X\r\n"), sizeof(head));
		*strchr(head, '?') = (char)byte;
		good = byte > 0x20 && byte < 0x7f && !strchr("()<>@,;:\\\"/[]?={}", (int)byte);
		http_request_init(&request, HTTP_GET, 0);
		assert_int_equal(http_request_parse(&request, head, sizeof(head) - 1),
				 good ? HTTP_PARSE_WHOLE : HTTP_PARSE_ERROR);
	}
}

static void fields_are_found_without_case(void **state)
{
	struct http_request request;
	struct http_text text = {"unchanged", 9};

	(void)state;
	read_head(&request, FIELDS("X-Name:  one \r\nEmpty:\r\nx-NAME: two\r\n"));
	assert_false(http_fields_find(&request.fields, "Missing", &text));
	assert_true(http_text_equals(text, "unchanged"));
	assert_false(http_fields_find(&request.fields, "X-Nam", &text));
	assert_true(http_fields_find(&request.fields, "x-name", &text));
	assert_true(http_text_equals(text, "one"));
	assert_true(http_fields_find(&request.fields, "EMPTY", &text));
	assert_int_equal(text.length, 0);
	assert_int_equal(http_fields_count(&request.fields, "X-NAME"), 2);
	assert_int_equal(http_fields_count(&request.fields, "Missing"), 0);
}

static void check_list(const char *head, const char *expected)
{
	struct http_request request;
	struct http_list list = {.fields = &request.fields, .name = "L"};
	struct http_text element;
	char text[256] = "";

	read_head(&request, head);
	while (http_list_next(&list, &element)) {
		assert_true(strlen(text) + element.length + 2 < sizeof(text));
		strncat(text, element.at, element.length);
		strcat(text, "|");
	}
	assert_string_equal(text, expected);
	assert_false(http_list_next(&list, &element));
}

static void lists_go_over_all_fields_of_the_name(void **state)
{
	(void)state;
	check_list(FIELDS(""), "");
	check_list(FIELDS("L:\r\n"), "");
	check_list(FIELDS("L: ,, ,\t,\r\n"), "");
	check_list(FIELDS("L: a\r\n"), "a|");
	check_list(FIELDS("L: a,b ,\tc d,\r\n"), "a|b|c d|");
	check_list(FIELDS("L: a\r\nM: x\r\nl: b, c\r\n"), "a|b|c|");
	check_list(FIELDS("L: \"a,b\", c\r\n"), "\"a,b\"|c|");
	check_list(FIELDS("L: \"a\\\",b\", c\r\n"), "\"a\\\",b\"|c|");
	check_list(FIELDS("L: a=\"b,c\";d, e\r\n"), "a=\"b,c\";d|e|");
	check_list(FIELDS("L: \"a, b\r\nL: c\r\n"), "\"a, b|c|");
	check_list(FIELDS("L: a\\, b\r\n"), "a\\|b|");
	check_list(FIELDS("L: \"a\\\r\n"), "\"a\\|");
}

static void a_list_has_a_token_or_not(void **state)
{
	struct http_request request;

	(void)state;
	read_head(&request, FIELDS("Connection: keep-alive, Upgrade\r\nConnection: other\r\n"));
	assert_true(http_fields_list_has(&request.fields, "connection", "upgrade"));
	assert_true(http_fields_list_has(&request.fields, "Connection", "Keep-Alive"));
	assert_true(http_fields_list_has(&request.fields, "Connection", "other"));
	assert_false(http_fields_list_has(&request.fields, "Connection", "keep"));
	assert_false(http_fields_list_has(&request.fields, "Connection", "alive, upgrade"));
	assert_false(http_fields_list_has(&request.fields, "Connection", ""));
}

static void accept_is_weighed(void **state)
{
	static const struct {
		const char *head;
		unsigned events, bytes; // of text/event-stream, application/octet-stream
	} table[] = {
		{FIELDS(""), 1000, 1000},
		{FIELDS("Accept:\r\n"), 0, 0},
		{FIELDS("Accept: */*\r\n"), 1000, 1000},
		{FIELDS("Accept: text/event-stream\r\n"), 1000, 0},
		{FIELDS("Accept: TEXT/Event-Stream\r\n"), 1000, 0},
		{FIELDS("Accept: text/event-stream, */*;q=0.1\r\n"), 1000, 100},
		{FIELDS("Accept: text/*;q=0.5, */*;q=0.25\r\n"), 500, 250},
		{FIELDS("Accept: text/event-stream;q=0, */*\r\n"), 0, 1000},
		{FIELDS("Accept: */*, text/event-stream;q=0\r\n"), 0, 1000},
		{FIELDS("Accept: text/event-stream;q=0.2\r\nAccept: text/*\r\n"), 200, 0},
		{FIELDS("Accept: text/event-stream;charset=utf-8;q=0.3\r\n"), 300, 0},
		{FIELDS("Accept: text/event-stream ; charset=\"a;q=0\" ; Q=0.3\r\n"), 300, 0},
		{FIELDS("Accept: text/event-stream;q=0.2, text/event-stream;q=0.4\r\n"), 400, 0},
		{FIELDS("Accept: */*;q=1.000\r\n"), 1000, 1000},
		{FIELDS("Accept: */*;q=0.125\r\n"), 125, 125},
		{FIELDS("Accept: */*;q=1.\r\n"), 1000, 1000},
		{FIELDS("Accept: */*;q=1.001\r\n"), 0, 0},
		{FIELDS("Accept: */*;q=0.1234\r\n"), 0, 0},
		{FIELDS("Accept: */*;q=\r\n"), 0, 0},
		{FIELDS("Accept: */*;q=2\r\n"), 0, 0},
		{FIELDS("Accept: */*;q=.5\r\n"), 0, 0},
		{FIELDS("Accept: */*;q=0,5\r\n"), 0, 0},
		{FIELDS("Accept: */*;q=0x5\r\n"), 0, 0},
		{FIELDS("Accept: */*;q=-1\r\n"), 0, 0},
		{FIELDS("Accept: */event-stream\r\n"), 0, 0},
		{FIELDS("Accept: text\r\n"), 0, 0},
		{FIELDS("Accept: /\r\n"), 0, 0},
		{FIELDS("Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
			"\r\n"),
		 800, 800},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct http_request request;

		print_message("%s", table[i].head);
		read_head(&request, table[i].head);
		assert_int_equal(http_fields_accept(&request.fields, "text", "event-stream"),
				 table[i].events);
		assert_int_equal(http_fields_accept(&request.fields, "application", "octet-stream"),
				 table[i].bytes);
	}
}

#define CODINGS(value) FIELDS("Accept-Encoding: " value "\r\n")

static void a_coding_is_taken_where_it_is_welcome(void **state)
{
	static const struct {
		const char *head;
		bool is_taken;
	} table[] = {
		{FIELDS(""), false},
		{CODINGS(""), false},
		{CODINGS("identity"), false},
		{CODINGS("gzip"), true},
		{CODINGS("GZip"), true},
		{CODINGS("gzip, deflate, br, zstd"), true},
		{CODINGS("deflate, br"), false},
		{CODINGS("br"), false},
		{FIELDS("Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n"), true},
		{CODINGS("*"), true},
		{CODINGS("*;q=0"), false},
		{CODINGS("gzip;q=0"), false},
		{CODINGS("gzip;q=0.000"), false},
		{CODINGS("gzip; q=0, *"), false},
		{CODINGS("*;q=0, gzip"), true},
		{CODINGS("gzip;q=0.001"), true},
		{CODINGS("gzip;q=0.5, identity"), false},
		{CODINGS("gzip;q=0.5, identity;q=0.5"), true},
		{CODINGS("gzip;q=0.5, identity;q=0.1"), true},
		{CODINGS("identity;q=1, *;q=0"), false},
		{CODINGS("gzip;q=high"), false},
		{CODINGS("gzip;q=1.5"), false},
		{CODINGS("notgzip"), false},
		{CODINGS("gzipped"), false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct http_request request;

		print_message("%s", table[i].head);
		read_head(&request, table[i].head);
		assert_int_equal(http_fields_accept_coding(&request.fields, "gzip"),
				 table[i].is_taken);
	}
}

static void what_does_not_fit_is_said_and_not_cut(void **state)
{
	struct http_request request;
	char path[6];

	(void)state;
	read_head(&request, TARGET("/%61bcd?token=x"));
	assert_int_equal(http_target_path(&request.target, path, 6), 5);
	assert_string_equal(path, "/abcd");
	assert_int_equal(http_target_path(&request.target, path, 5), -ENOSPC);
	assert_int_equal(http_target_path(&request.target, path, 0), -ENOSPC);
	assert_true(http_text_equals(request.target.path, "/%61bcd"));
	assert_true(http_text_equals(request.target.query, "token=x"));
}

static void parameters_are_read_one_by_one(void **state)
{
	struct http_request request;
	char name[3], value[4];
	struct http_text rest;

	(void)state;
	read_head(&request, TARGET("/?ab=c%64e&abc=d&a=bcde&&%62"));
	rest = request.target.query;
	assert_int_equal(http_target_parameter(&rest, name, 3, value, 4), 1);
	assert_string_equal(name, "ab");
	assert_string_equal(value, "cde");
	assert_int_equal(http_target_parameter(&rest, name, 3, value, 4), 1);
	assert_string_equal(name, "");
	assert_int_equal(http_target_parameter(&rest, name, 3, value, 4), -EINVAL);
	assert_string_equal(name, "a");
	assert_int_equal(http_target_parameter(&rest, name, 3, value, 4), 1);
	assert_string_equal(name, "b");
	assert_string_equal(value, "");
	assert_int_equal(http_target_parameter(&rest, name, 3, value, 4), 0);
	assert_int_equal(http_target_parameter(&rest, name, 3, value, 4), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_head_is_judged_as_the_table_says),
		cmocka_unit_test(a_head_is_at_most_32_kib),
		cmocka_unit_test(a_head_has_at_most_64_fields),
		cmocka_unit_test(every_byte_is_allowed_just_where_it_should_be),
		cmocka_unit_test(fields_are_found_without_case),
		cmocka_unit_test(lists_go_over_all_fields_of_the_name),
		cmocka_unit_test(a_list_has_a_token_or_not),
		cmocka_unit_test(accept_is_weighed),
		cmocka_unit_test(a_coding_is_taken_where_it_is_welcome),
		cmocka_unit_test(what_does_not_fit_is_said_and_not_cut),
		cmocka_unit_test(parameters_are_read_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
