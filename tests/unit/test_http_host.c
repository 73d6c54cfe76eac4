// SPDX-License-Identifier: MIT
/*
 * By which names a server may be asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/http_host.h"

static bool is_known(const char *host, const char *names)
{
	return http_host_is_known((struct http_text){host, strlen(host)}, names);
}

static void addresses_and_localhost_are_always_known(void **state)
{
	static const char *const good[] = {
		"",
		"127.0.0.1",
		"10.0.0.5:7090",
		"[::1]",
		"[2001:db8::1]:7003",
		"localhost",
		"localhost:65535",
		"LocalHost:",
		"[fe80::1%25eth0]:7003",
		"[fe80::1%eth0]",
	};
	static const char *const bad[] = {
		"a.example",
		"a.example:7003",
		"localhost.a.example",
		"127.0.0.1.a.example",
		"[a]",
		"1",
		"127.1",
		"[127.0.0.1",
		"10.0.0.5x",
		"[::1]x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(is_known(good[i], ""));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(is_known(bad[i], ""));
}

static void names_are_known_that_are_listed(void **state)
{
	static const char names[] = "relay.example,b.example,c";

	(void)state;
	assert_true(is_known("relay.example", names));
	assert_true(is_known("RELAY.example:7003", names));
	assert_true(is_known("b.example", names));
	assert_true(is_known("c:1", names));
	assert_true(is_known("c", " b.example ,\tc"));
	assert_true(is_known("b.example", " b.example ,\tc"));
	assert_false(is_known("c", "b.example c"));
	assert_false(is_known("relay.exampl", names));
	assert_false(is_known("relay.example.evil", names));
	assert_false(is_known("evil.relay.example", names));
	assert_false(is_known("b.example ", names));
}

static void this_machine_has_three_names(void **state)
{
	static const char *const good[] = {"localhost", "LOCALHOST:7", "127.0.0.1", "127.1.2.3:80",
					   "[::1]:7003"};
	static const char *const bad[] = {
		"", "127.0.0.1.evil.example", "127.evil", "128.0.0.1", "[::2]", "a.localhost"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(http_host_is_loopback((struct http_text){good[i], strlen(good[i])}));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(http_host_is_loopback((struct http_text){bad[i], strlen(bad[i])}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_and_localhost_are_always_known),
		cmocka_unit_test(names_are_known_that_are_listed),
		cmocka_unit_test(this_machine_has_three_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
