// SPDX-License-Identifier: MIT
/*
 * Answers of an HTTP server taken apart, and query values put together; the socket is a matter of
 * the end-to-end tests.
 *
 * The tools are programs, not part of the library, so the files under test are included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/tools/relayctl/admin_client.c"
#include "relay/tools/shared/connect_address.c"
#include "relay/tools/shared/stop.c"

struct answer_case {
	const char *bytes;
	unsigned status;  // 0: refused
	const char *text; // the body, or the reason
};

static const struct answer_case answers[] = {
	{"HTTP/1.1 200 OK\r\n\r\nbody", 200, "body"},
	{"HTTP/1.0 200 \r\n\r\n", 200, ""},
	{"HTTP/1.0 404\r\n\r\nx", 404, "x"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc"},
	{"HTTP/1.1 200 OK\r\ncontent-length:3\r\n\r\nabcd", 200, "abc"},
	{"HTTP/1.1 501 Not Implemented\r\nA: b\r\nC: d\r\n\r\n\r\n", 501, "\r\n"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd", 0, "the answer was cut short"},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", 0, "the answer was cut short"},
	{"HTTP/1.1 200 OK\r\nA: b", 0, "the answer was cut short"},
	{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 0,
	 "the answer's length cannot be understood"},
	{"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", 0,
	 "the answer's length cannot be understood"},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
	 "the answer's length cannot be understood"},
	{"HTTP/2 200 OK\r\n\r\n", 0, "the answer is not HTTP"},
	{"HTTP/1.1 20 OK\r\n\r\n", 0, "the answer is not HTTP"},
	{"HTTP/1.1 2000 OK\r\n\r\n", 0, "the answer is not HTTP"},
	{"HTTP/1.1 099 OK\r\n\r\n", 0, "the answer is not HTTP"},
	{"HTTP/1.1 600 OK\r\n\r\n", 0, "the answer is not HTTP"},
	{"SSH-2.0-OpenSSH\r\n", 0, "the answer is not HTTP"},
	{"RLY1", 0, "the answer is not HTTP"},
	{"", 0, "it closed without an answer"},
};

static void answers_are_whole_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		const struct answer_case *row = &answers[i];
		// On the heap and of the exact length, so that a sanitizer sees a step too far.
		char *bytes = strdup(row->bytes);
		char *body = NULL;
		size_t body_bytes = 0;
		unsigned status = 0;
		struct errmsg error = {.text = ""};
		int r;

		assert_non_null(bytes);
		r = admin_answer_parse(bytes, strlen(row->bytes), &status, &body, &body_bytes,
				       &error);
		assert_int_equal(r, row->status ? 0 : -EPROTO);
		assert_int_equal(status, row->status);
		assert_string_equal(row->status ? body : error.text, row->text);
		if (row->status)
			assert_int_equal(body_bytes, strlen(row->text));
		free(bytes);
	}
}

static void query_values_are_encoded(void **state)
{
	char buf[32];

	(void)state;
	assert_int_equal(admin_client_encode(buf, sizeof buf, "a feed&id=1"), 0);
	assert_string_equal(buf, "a%20feed%26id%3D1");
	assert_int_equal(admin_client_encode(buf, sizeof buf, "-._~AZaz09"), 0);
	assert_string_equal(buf, "-._~AZaz09");
	assert_int_equal(admin_client_encode(buf, sizeof buf, "\xc3\xa9\r\n%"), 0);
	assert_string_equal(buf, "%C3%A9%0D%0A%25");
	assert_int_equal(admin_client_encode(buf, sizeof buf, ""), 0);
	assert_string_equal(buf, "");
	assert_int_equal(admin_client_encode(buf, 4, "ab"), -ENAMETOOLONG);
	assert_int_equal(admin_client_encode(buf, 0, ""), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_whole_or_refused),
		cmocka_unit_test(query_values_are_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
