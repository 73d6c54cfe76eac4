// SPDX-License-Identifier: MIT
/*
 * Response heads: exactly what is sent, nothing where it does not fit, and no way out of a line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "http/http_response.h"
#include "tests/unit/without_date.h"

#define TEXT_FIELDS(length)                                                                        \
	"Content-Type: text/plain; charset=utf-8\r\nContent-Length: " length                       \
	"\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: "           \
	"close\r\n\r\n"

static void check_bytes(char *buf, ssize_t count, const char *expected)
{
	assert_true(count > 0);
	count = (ssize_t)without_date(buf, (size_t)count);
	assert_int_equal(count, strlen(expected));
	assert_memory_equal(buf, expected, strlen(expected));
}

static ssize_t write_head(char *buf, size_t size)
{
	struct http_response response;

	http_response_begin(&response, buf, size, 200);
	http_response_field(&response, "Content-Type", "application/octet-stream");
	http_response_field_number(&response, "X-Number", UINT64_MAX);
	http_response_field(&response, "X-Empty", "");
	return http_response_end(&response);
}

static void a_head_is_written_as_it_should_be(void **state)
{
	static const char expected[] =
		"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
		"X-Number: 18446744073709551615\r\nX-Empty: \r\n\r\n";
	char buf[256];

	(void)state;
	check_bytes(buf, write_head(buf, sizeof(buf)), expected);
	for (size_t size = 0; size < sizeof(expected) - 1 + DATE_BYTES; size++) {
		memset(buf, '#', sizeof(buf));
		assert_int_equal(write_head(buf, size), -ENOSPC);
		assert_int_equal(buf[size], '#');
	}
	assert_int_equal(write_head(buf, sizeof(expected) - 1 + DATE_BYTES),
			 sizeof(expected) - 1 + DATE_BYTES);
}

static ssize_t write_text(char *buf, size_t size, const char *line, bool is_head)
{
	struct http_response response;

	http_response_begin(&response, buf, size, 503);
	http_response_field_number(&response, "Retry-After", 5);
	return http_response_end_text(&response, line, is_head);
}

static void an_error_has_one_line_of_text(void **state)
{
	static const char expected[] =
		"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n" TEXT_FIELDS(
			"17") "the feed is full\n";
	static const char head[] =
		"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n" TEXT_FIELDS("17");
	char buf[512];

	(void)state;
	check_bytes(buf, write_text(buf, sizeof(buf), "the feed is full", false), expected);
	check_bytes(buf, write_text(buf, sizeof(buf), "the feed is full", true), head);
	for (size_t size = 0; size < sizeof(expected) - 1 + DATE_BYTES; size++) {
		memset(buf, '#', sizeof(buf));
		assert_int_equal(write_text(buf, size, "the feed is full", false), -ENOSPC);
		assert_int_equal(buf[size], '#');
	}
}

static ssize_t write_field(char *buf, const char *name, const char *value)
{
	struct http_response response;

	http_response_begin(&response, buf, 256, 200);
	http_response_field(&response, name, value);
	return http_response_end(&response);
}

static void no_byte_breaks_out_of_its_line(void **state)
{
	char buf[512];

	(void)state;
	for (unsigned byte = 1; byte < 256; byte++) {
		char text[] = {'a', (char)byte, 'b', '\0'};
		bool is_control = byte < 0x20 || byte == 0x7f;

		assert_int_equal(write_field(buf, "X", text) > 0, !is_control || byte == '\t');
		assert_int_equal(write_field(buf, text, "x") > 0,
				 byte > 0x20 && byte < 0x7f &&
					 !strchr("()<>@,;:\\\"/[]?={}", (int)byte));
		assert_int_equal(write_text(buf, sizeof(buf), text, false) > 0,
				 !is_control && byte < 0x80);
	}
	assert_int_equal(write_field(buf, "", "x"), -EINVAL);
	assert_true(write_text(buf, sizeof(buf), "no feed \xc3\xa4", false) > 0);
	assert_int_equal(write_text(buf, sizeof(buf), "no feed \xc3", false), -EINVAL);
}

static void an_unknown_status_is_not_sent(void **state)
{
	struct http_response response;
	char buf[64];

	(void)state;
	assert_null(http_status_text(299));
	assert_string_equal(http_status_text(404), "Not Found");
	http_response_begin(&response, buf, sizeof(buf), 299);
	assert_int_equal(http_response_end(&response), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_written_as_it_should_be),
		cmocka_unit_test(an_error_has_one_line_of_text),
		cmocka_unit_test(no_byte_breaks_out_of_its_line),
		cmocka_unit_test(an_unknown_status_is_not_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
