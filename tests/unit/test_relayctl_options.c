// SPDX-License-Identifier: MIT
/*
 * The command line of relayctl: what is taken, and the words for what is not.
 *
 * The tools are programs, not part of the library, so the files under test are included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/tools/shared/arguments.c"
#include "relay/tools/relayctl/relayctl_options.c"
#include "tests/unit/word_rig.h"

static int parse(const char *line, struct relayctl_options *options, struct errmsg *error)
{
	char *words[WORDS_MAX];
	int count = split_words(line, words);

	return relayctl_options_parse(count, words, options, error);
}

static const struct {
	const char *line, *reason;
} refused[] = {
	{"", "expected a COMMAND (see --help)"},
	{"--json", "expected a COMMAND (see --help)"},
	{"statu", "no command \"statu\" (see --help)"},
	{"status x", "status: expected nothing behind it (see --help)"},
	{"status --feed a", "status takes no --feed (see --help)"},
	{"feeds --slow", "feeds takes no --slow (see --help)"},
	{"top --limit 5", "top takes no --limit (see --help)"},
	{"subscribers --interval 1s", "subscribers takes no --interval (see --help)"},
	{"subscribers --names", "subscribers takes no --names (see --help)"},
	{"subscribers --limit 0", "--limit: \"0\" is not a number of at least 1"},
	{"top --interval 5", "--interval: \"5\" is not a duration such as 500ms, 10s or 5m"},
	{"status --timeout soon", "--timeout: \"soon\" is not a duration such as 500ms, 10s or 5m"},
	{"show", "show: expected config|limits (see --help)"},
	{"show config limits", "show: expected config|limits (see --help)"},
	{"show memory", "show: \"memory\" is neither config nor limits"},
	{"kick 5", "kick: expected --feed FEED"},
	{"kick --feed a", "kick: expected ID (see --help)"},
	{"kick --feed a -5", "unknown option -5 (see --help)"},
	{"kick --feed a 5x", "kick: \"5x\" is not a number of at least 0"},
	{"title x", "title: expected --feed FEED"},
	{"title --feed a", "title: expected TEXT (see --help)"},
	{"title --feed a So What", "title: expected TEXT (see --help)"},
	{"drain --spread", "--spread: expected a value after it (see --help)"},
	{"drain --spread 5", "--spread: \"5\" is not a duration such as 500ms, 10s or 5m"},
	{"drain --spread 0s", "--spread: expected a time above 0"},
	{"drain --spread 5m --cancel", "drain: expected --spread or --cancel, not both"},
	{"reload --cancel", "reload takes no --spread and --cancel (see --help)"},
	{"log-level", "log-level: expected LEVEL (see --help)"},
	{"status --socket", "--socket: expected a value after it (see --help)"},
	{"status --sock=", ""}, // an abbreviation, and an empty path
	{"status -u a -s b", "--socket and --unit both say which relay (see --help)"},
	{"status -x", "unknown option -x (see --help)"},
	{"status --json=yes", "--json=yes: not an option, or not with a value (see --help)"},
};

static void what_is_wrong_is_said(void **state)
{
	struct relayctl_options options;
	struct errmsg error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		bool is_refused = *refused[i].reason != '\0';

		error.text[0] = '\0';
		assert_int_equal(parse(refused[i].line, &options, &error),
				 is_refused ? -EINVAL : 0);
		assert_string_equal(error.text, refused[i].reason);
	}
}

static void options_stand_anywhere(void **state)
{
	struct relayctl_options options;
	struct errmsg error;

	(void)state;
	assert_int_equal(parse("--json kick -s /tmp/a 17 --feed b", &options, &error), 0);
	assert_int_equal(options.command, COMMAND_KICK);
	assert_false(options.looks);
	assert_string_equal(options.argument, "17");
	assert_string_equal(options.socket, "/tmp/a");
	assert_string_equal(options.feed, "b");
	assert_true(options.json);
	assert_int_equal(parse("status --unit relay@fx", &options, &error), 0);
	assert_string_equal(options.unit, "relay@fx");
	assert_null(options.socket);
	assert_int_equal(parse("subscribers --slow --limit 7 --feed=x", &options, &error), 0);
	assert_true(options.slow);
	assert_int_equal(options.limit, 7);
	assert_string_equal(options.feed, "x");
	assert_false(options.json);
	assert_int_equal(parse("subscribers --limit 99999999", &options, &error), 0);
	assert_int_equal(options.limit, LIMIT_MAX);
}

static void what_is_not_said_has_a_default(void **state)
{
	struct relayctl_options options;
	struct errmsg error;

	(void)state;
	assert_int_equal(parse("status", &options, &error), 0);
	assert_true(options.looks);
	assert_null(options.socket);
	assert_null(options.unit);
	assert_null(options.argument);
	assert_int_equal(options.timeout_ms, 10000);
	assert_int_equal(parse("reload", &options, &error), 0);
	assert_int_equal(options.timeout_ms, 60000);
	assert_int_equal(parse("reload --timeout 5m", &options, &error), 0);
	assert_int_equal(options.timeout_ms, 300000);
	assert_int_equal(parse("top --interval 1ms", &options, &error), 0);
	assert_int_equal(options.interval_ms, INTERVAL_MIN_MS);
	assert_int_equal(parse("--help --nonsense", &options, &error), -EINVAL);
	assert_int_equal(parse("-h", &options, &error), 0);
	assert_true(options.help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(options_stand_anywhere),
		cmocka_unit_test(what_is_not_said_has_a_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
