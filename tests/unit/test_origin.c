// SPDX-License-Identifier: MIT
/*
 * Origins: what is one, which are the same, and lists of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "config/origin.h"

static bool is_origin(const char *text)
{
	struct origin origin;

	return origin_parse(text, strlen(text), &origin);
}

static void only_a_scheme_and_a_host_are_an_origin(void **state)
{
	static const char *const good[] = {
		"http://a",
		"https://example.org",
		"https://example.org:8443",
		"http://127.0.0.1:80",
		"http://[::1]",
		"http://[2001:db8::1]:8080",
		"HTTPS://A.B",
		"chrome-extension://abcd",
		"app+x.y-z://h",
		"null",
		"file://",
		"FILE://",
	};
	static const char *const bad[] = {
		"",
		"Null",
		"nul",
		"file:///",
		"file:",
		"*",
		"example.org",
		"//a",
		"http:",
		"http:/a",
		"http://",
		"http:///",
		"http://a/",
		"http://a?b",
		"http://a#b",
		"http://a:",
		"http://a:x",
		"http://a:123456",
		"http://u@a",
		"http://a b",
		"1http://a",
		"http://[",
		"http://[]",
		"http://[::1",
		"http://[::1]x",
		"http://[g]",
		"http://\xc3\xa4",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(is_origin(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(is_origin(bad[i]));
}

static bool has(const char *list, const char *text)
{
	struct origin origin;

	assert_true(origin_parse(text, strlen(text), &origin));
	return origins_have(list, &origin);
}

static void a_list_has_what_is_the_same_as_one_of_it(void **state)
{
	static const char list[] = "https://example.org, http://localhost:8000,http://b:80";

	(void)state;
	assert_true(has(list, "https://example.org"));
	assert_true(has(list, "https://example.org:443"));
	assert_true(has(list, "HTTPS://EXAMPLE.org"));
	assert_true(has(list, "http://localhost:8000"));
	assert_true(has(list, "http://b"));
	assert_false(has(list, "http://example.org"));
	assert_false(has(list, "https://example.org:80"));
	assert_false(has(list, "https://example.or"));
	assert_false(has(list, "https://example.org.evil"));
	assert_false(has(list, "http://localhost"));
	assert_false(has(list, "https://b"));
	assert_true(has("*", "https://any.where"));
	assert_false(has("none", "https://any.where"));
	assert_true(has("https://a, null", "null"));
	assert_true(has("file://,https://a", "file://"));
	assert_false(has("https://a", "null"));
	assert_false(has("null", "file://"));
	assert_true(has("*", "null"));
}

static void a_list_is_read_to_its_end(void **state)
{
	static const struct {
		const char *list;
		int count; /* -1: it is not valid */
	} cases[] = {
		{"http://a", 1},
		{"http://a,http://b", 2},
		{" http://a ,\thttp://b ", 2},
		{"http://a,", -1},
		{"http://a http://b", -1},
		{",http://a", -1},
		{"http://a,,http://b", -1},
		{"http://a,none", -1},
		{"*", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *rest = cases[i].list;
		struct errmsg err = {""};
		struct origin origin;
		int count = 0, r;

		while ((r = origin_parse_next(&rest, &origin, &err)) > 0)
			count++;
		assert_int_equal(r, cases[i].count < 0 ? -EINVAL : 0);
		assert_int_equal(r < 0 ? strlen(err.text) > 0 : count, r < 0 ? 1 : cases[i].count);
	}
}

static bool is_of(const char *text, const char *host)
{
	struct origin origin;

	assert_true(origin_parse(text, strlen(text), &origin));
	return origin_is_of_host(&origin, host, strlen(host));
}

static void a_server_knows_its_own(void **state)
{
	(void)state;
	assert_true(is_of("http://relay.test:7003", "relay.test:7003"));
	assert_true(is_of("http://relay.test", "Relay.test"));
	assert_true(is_of("http://relay.test", "relay.test:80"));
	assert_true(is_of("https://relay.test", "relay.test:443"));
	assert_true(is_of("http://[::1]:7003", "[::1]:7003"));
	assert_false(is_of("http://relay.test:7003", "relay.test"));
	assert_false(is_of("http://relay.test", "relay.test:443"));
	assert_false(is_of("http://relay.test.evil", "relay.test"));
	assert_false(is_of("http://relay.test", ""));
	assert_false(is_of("null", ""));
	assert_false(is_of("null", "null"));
	assert_false(is_of("file://", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_scheme_and_a_host_are_an_origin),
		cmocka_unit_test(a_list_has_what_is_the_same_as_one_of_it),
		cmocka_unit_test(a_list_is_read_to_its_end),
		cmocka_unit_test(a_server_knows_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
