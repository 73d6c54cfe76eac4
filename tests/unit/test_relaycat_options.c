// SPDX-License-Identifier: MIT
/*
 * The command line of relaycat: what is taken, and the words for what is not.
 *
 * The tools are programs, not part of the library, so the files under test are included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "relay/tools/relaycat/feed_token.c"
#include "relay/tools/relaycat/http_feed.c"
#include "relay/tools/relaycat/relaycat_options.c"
#include "relay/tools/shared/arguments.c"
#include "relay/tools/shared/connect_address.c"
#include "relay/tools/shared/delimiter.c"
#include "relay/tools/shared/stop.c"
#include "tests/unit/word_rig.h"

static int parse(const char *line, struct relaycat_options *options, struct errmsg *error)
{
	char *words[WORDS_MAX];
	int count = split_words(line, words);

	return relaycat_options_parse(count, words, options, error);
}

static int take(const char *line, struct errmsg *error)
{
	struct relaycat_options options;

	return parse(line, &options, error);
}

static const struct refused_line refused[] = {
	{"", "expected an ADDRESS (see --help)"},
	{"-q", "expected an ADDRESS (see --help)"},
	{"a:1 b:2", "expected one ADDRESS only (see --help)"},
	{"-x a:1", "unknown option -x (see --help)"},
	{"--no-such a:1", "--no-such: not an option, or not with a value (see --help)"},
	{"--framed=yes a:1", "--framed=yes: not an option, or not with a value (see --help)"},
	{"-n", "-n: expected a value after it (see --help)"},
	{"-n 0 a:1", "--count: \"0\" is not a number of at least 1"},
	{"-n -1 a:1", "--count: \"-1\" is not a number of at least 1"},
	{"-n 18446744073709551616 a:1",
	 "--count: \"18446744073709551616\" is not a number of at least 1"},
	{"--bytes 0 a:1", "--bytes: \"0\" is not a size of at least 1, such as 64k"},
	{"--bytes 1t a:1", "--bytes: \"1t\" is not a size of at least 1, such as 64k"},
	{"--timeout 5 a:1", "--timeout: \"5\" is not a duration such as 500ms, 10s or 5m"},
	{"--connect-retry -5s a:1",
	 "--connect-retry: \"-5s\" is not a duration such as 500ms, 10s or 5m"},
	{"--positions x a:1", "--positions: \"x\" is not a number of at least 0"},
	{"--framing lines a:1",
	 "--framing: \"lines\" is none of none, line, u16be, u16le, u32be, u32le"},
	{"--framing relay a:1",
	 "--framing: \"relay\" is none of none, line, u16be, u16le, u32be, u32le"},
	{"--from x http://h/a",
	 "--from: \"x\" is neither the number of a message nor SESSION-NUMBER"},
	{"--from -5 http://h/a",
	 "--from: \"-5\" is neither the number of a message nor SESSION-NUMBER"},
	{"--from 7- http://h/a",
	 "--from: \"7-\" is neither the number of a message nor SESSION-NUMBER"},
	{"--from 0-7 http://h/a",
	 "--from: \"0-7\" is neither the number of a message nor SESSION-NUMBER"},
	{"--from 4294967296-7 http://h/a",
	 "--from: \"4294967296-7\" is neither the number of a message nor SESSION-NUMBER"},
	{"--from 1-2-3 http://h/a",
	 "--from: \"1-2-3\" is neither the number of a message nor SESSION-NUMBER"},
	{"--from 00000000000000000000000000000000000000000000000000000000000000007 http://h/a",
	 "--from: \"00000000000000000000000000000000000000000000000000000000000000007\" is neither "
	 "the number of a message nor SESSION-NUMBER"},
	{"--since yesterday http://h/a",
	 "--since: \"yesterday\" is neither a time such as 2026-11-28T09:30:00Z nor a duration "
	 "before now such as -15m"},
	{"--until 15m http://h/a",
	 "--until: \"15m\" is neither a time such as 2026-11-28T09:30:00Z nor a duration before "
	 "now such as -15m"},
	{"--from 1 a:1", "--from, --since and --until need an address http://HOST[:PORT]/FEED"},
	{"--until -1s unix:/x",
	 "--from, --since and --until need an address http://HOST[:PORT]/FEED"},
	{"--from 1 --since -1s http://h/a", "--from and --since exclude one another"},
	{"--reconnect file:/x", "--reconnect: a file does not come back"},
	{"a", "a: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
	{"tcp:a", "tcp:a: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
	{"tcp::1", "tcp::1: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
	{"tcp:a:", "tcp:a:: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
	{"::1:80", "::1:80: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
	{"[::1:80", "[::1:80: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
	{"[]:80", "[]:80: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
	{"unix:", "unix:: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
	{"http://h", "http://h: not a URL of a feed; expected http://HOST[:PORT]/FEED"},
	{"http://h/", "http://h/: not a URL of a feed; expected http://HOST[:PORT]/FEED"},
	{"http:///a", "http:///a: not a URL of a feed; expected http://HOST[:PORT]/FEED"},
	{"http://me@h/a", "http://me@h/a: not a URL of a feed; expected http://HOST[:PORT]/FEED"},
	{"http://h/a?from=1",
	 "http://h/a?from=1: not a URL of a feed; expected http://HOST[:PORT]/FEED"},
	{"http://h/a#b", "http://h/a#b: not a URL of a feed; expected http://HOST[:PORT]/FEED"},
	{"http://h/\xc3\xa4", "http://h/\xc3\xa4: not a URL of a feed; expected "
			      "http://HOST[:PORT]/FEED"},
	{"http://h:/a", "h:: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
	{"https://h/a",
	 "https://h/a: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
};

static void what_is_wrong_is_said(void **state)
{
	(void)state;
	assert_refused(refused, ARRAY_LEN(refused), take);
}

static void a_path_has_a_length(void **state)
{
	const size_t longest = sizeof(((struct connect_address *)0)->path) - 1;
	struct relaycat_options options;
	struct errmsg error;
	char line[256] = "unix:";

	(void)state;
	memset(line + 5, 'x', longest);
	assert_int_equal(parse(line, &options, &error), 0);
	assert_int_equal(strlen(options.address.path), longest);
	line[5 + longest] = 'x';
	assert_int_equal(parse(line, &options, &error), -EINVAL);
}

static void addresses_are_taken(void **state)
{
	static const struct {
		const char *text, *host, *port;
	} cases[] = {
		{"tcp:a.example:7001", "a.example", "7001"},
		{"127.0.0.1:7001", "127.0.0.1", "7001"},
		{"tcp:[::1]:7001", "::1", "7001"},
		{"[fe80::1%eth0]:http", "fe80::1%eth0", "http"},
		{"http://a.example/prices", "a.example", "80"},
		{"HTTP://a.example:8080/p/q", "a.example", "8080"},
		{"http://[::1]/prices", "::1", "80"},
		{"http://[::1]:8080/prices", "::1", "8080"},
	};
	struct relaycat_options options;
	struct errmsg error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (parse(cases[i].text, &options, &error) < 0)
			fail_msg("%s", error.text);
		assert_string_equal(options.address.host, cases[i].host);
		assert_string_equal(options.address.port, cases[i].port);
		assert_string_equal(options.address.text, cases[i].text);
		assert_int_equal(options.is_http, strncasecmp(cases[i].text, "http", 4) == 0);
		assert_int_equal(options.framed, options.is_http);
		assert_null(options.address.file);
	}
	assert_int_equal(parse("file:a:1", &options, &error), 0);
	assert_string_equal(options.address.file, "a:1");
	assert_int_equal(parse("/proc/self/status", &options, &error), 0);
	assert_string_equal(options.address.file, "/proc/self/status");
}

static void what_follows_from_an_option_is_set(void **state)
{
	struct relaycat_options options;
	struct errmsg error;

	(void)state;
	assert_int_equal(parse("a:1 --verify -n 5", &options, &error), 0);
	assert_true(options.verify && options.framed);
	assert_int_equal(options.framing, DELIMITER_NONE);
	assert_int_equal(parse("a:1 --headers", &options, &error), 0);
	assert_true(options.headers && options.framed);
	assert_int_equal(parse("-n 5 a:1", &options, &error), 0);
	assert_int_equal(options.framing, DELIMITER_LINE); // there is something to count
	assert_int_equal(parse("-n 5 --framing u32be a:1", &options, &error), 0);
	assert_int_equal(options.framing, DELIMITER_U32BE);
	assert_int_equal(parse("--bytes 64k --timeout 500ms --connect-retry 2m --positions 0 a:1",
			       &options, &error),
			 0);
	assert_int_equal(options.bytes, 65536);
	assert_int_equal(options.timeout_ms, 500);
	assert_int_equal(options.connect_ms, 120000);
	assert_true(options.positions);
	assert_int_equal(
		parse("--from 7-90 --until 2026-11-28T09:30:00Z http://h/a", &options, &error), 0);
	assert_string_equal(options.range.from, "7-90");
	assert_true(options.until_ns == UINT64_C(1795858200000000000));
	assert_int_equal(parse("-h", &options, &error), 0);
	assert_true(options.help);
	assert_non_null(strstr(relaycat_options_usage(), "usage: relaycat"));
}

static void a_token_is_read_from_its_file(void **state)
{
	static const struct {
		const char *text, *token; // NULL: it has none
	} cases[] = {
		{"# of the dashboard\n\nabc\ndef\n", "abc"},
		{"abc\r\n", "abc"},
		{"abc", "abc"},
		{"", NULL},
		{"# none\n", NULL},
		{"two words\n", NULL},
		{"a:b\n", NULL},
		{"\xc3\xa4\n", NULL},
	};
	char path[] = "/tmp/relay-token-XXXXXX", line[128], comment[1200];
	struct relaycat_options options;
	struct errmsg error;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	(void)snprintf(comment, sizeof comment, "#%01100d\nabc\n", 0);
	assert_int_equal(pwrite(fd, comment, strlen(comment), 0), strlen(comment));
	(void)snprintf(line, sizeof line, "--token-file %s http://h/a", path);
	assert_int_equal(parse(line, &options, &error), 0);
	assert_string_equal(options.token, "abc");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t bytes = strlen(cases[i].text);

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, cases[i].text, bytes, 0), bytes);
		(void)snprintf(line, sizeof line, "--token-file %s http://h/a", path);
		assert_int_equal(parse(line, &options, &error), cases[i].token ? 0 : -EINVAL);
		if (cases[i].token)
			assert_string_equal(options.token, cases[i].token);
		else
			assert_non_null(strstr(error.text, path));
	}
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, "abc", 3, 0), 3);
	(void)snprintf(line, sizeof line, "--token-file %s a:1", path);
	assert_int_equal(parse(line, &options, &error), -EINVAL);
	assert_string_equal(error.text, "--token-file needs an address http://HOST[:PORT]/FEED");
	(void)close(fd);
	(void)unlink(path);
	assert_int_equal(parse(line, &options, &error), -ENOENT);
	assert_memory_equal(error.text, "--token-file: ", 14);
	assert_int_equal(parse("--token-file /tmp http://h/a", &options, &error), -EISDIR);
	assert_string_equal(error.text, "--token-file: cannot read /tmp: Is a directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(a_path_has_a_length),
		cmocka_unit_test(addresses_are_taken),
		cmocka_unit_test(what_follows_from_an_option_is_set),
		cmocka_unit_test(a_token_is_read_from_its_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
