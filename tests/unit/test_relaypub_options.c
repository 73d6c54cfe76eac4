// SPDX-License-Identifier: MIT
/*
 * The command line of relaypub: what is taken, what follows from it, and the words for what is not.
 *
 * The tools are programs, not part of the library, so the files under test are included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/tools/relaypub/relaypub_options.c"
#include "relay/tools/shared/arguments.c"
#include "relay/tools/shared/connect_address.c"
#include "relay/tools/shared/delimiter.c"
#include "relay/tools/shared/stop.c"
#include "tests/unit/word_rig.h"

static int parse(const char *line, struct relaypub_options *options, struct errmsg *error)
{
	char *words[WORDS_MAX];
	int count = split_words(line, words);

	return relaypub_options_parse(count, words, options, error);
}

static int take(const char *line, struct errmsg *error)
{
	struct relaypub_options options;

	return parse(line, &options, error);
}

static void what_is_wrong_is_said(void **state)
{
	static const struct refused_line refused[] = {
		{"", "expected an ADDRESS (see --help)"},
		{"--demo", "expected an ADDRESS (see --help)"},
		{"-x a:1", "unknown option -x (see --help)"},
		{"--demo=yes a:1", "--demo=yes: not an option, or not with a value (see --help)"},
		{"a:1 --rate", "--rate: expected a value after it (see --help)"},
		{"--rate -1 a:1", "--rate: \"-1\" is not a number of at least 0"},
		{"--rate 4294967296 a:1", "--rate is at most 4294967295"},
		{"-n 0 a:1", "--count: \"0\" is not a number of at least 1"},
		{"--size 0 a:1", "--size: \"0\" is not a size from 1 to 128m, such as 64k"},
		{"--size 129m a:1", "--size: \"129m\" is not a size from 1 to 128m, such as 64k"},
		{"--size 64k --framing u16be a:1",
		 "--size is more than the length field of --framing can say"},
		{"--framing json a:1", "--framing: \"json\" is none of none, line, u16be, u16le, "
				       "u32be, u32le, relay"},
		{"--positions x a:1", "--positions: \"x\" is not a number of at least 0"},
		{"--positions 1 --framing line a:1",
		 "--positions cannot be lines: its bytes may be line ends"},
		{"--demo --size 5 a:1", "--demo goes with neither --size nor --positions"},
		{"--demo --positions 1 a:1", "--demo goes with neither --size nor --positions"},
		{"--demo a:1 file", "a FILE goes with neither --demo nor --positions"},
		{"--positions 1 a:1 file", "a FILE goes with neither --demo nor --positions"},
		{"--connect-retry 5 a:1",
		 "--connect-retry: \"5\" is not a duration such as 500ms, 10s or 5m"},
		{"a", "a: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
		{"http://h/a",
		 "http://h/a: not an address; expected tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"},
	};

	(void)state;
	assert_refused(refused, ARRAY_LEN(refused), take);
}

static void defaults_follow_from_what_is_published(void **state)
{
	static const struct {
		const char *line;
		enum message_source_kind kind;
		uint64_t size;
		enum delimiter framing;
		uint64_t rate;
		bool reads_lines;
	} taken[] = {
		{"a:1 --demo", MESSAGE_SOURCE_DEMO, MESSAGE_SOURCE_DEMO_BYTES, DELIMITER_LINE,
		 DEMO_RATE, false},
		{"a:1 --demo --framing u16be --rate 5", MESSAGE_SOURCE_DEMO,
		 MESSAGE_SOURCE_DEMO_BYTES, DELIMITER_U16BE, 5, false},
		{"a:1 --positions 7", MESSAGE_SOURCE_POSITIONS, 64 << 10, DELIMITER_NONE, 0, false},
		{"a:1 --positions 7 --framing u16le", MESSAGE_SOURCE_POSITIONS, UINT16_MAX,
		 DELIMITER_U16LE, 0, false},
		{"a:1 --positions 7 --size 100", MESSAGE_SOURCE_POSITIONS, 100, DELIMITER_NONE, 0,
		 false},
		{"a:1 --size 100 --rate 9", MESSAGE_SOURCE_FILL, 100, DELIMITER_NONE, 9, false},
		{"a:1", MESSAGE_SOURCE_FILES, 1 << 20, DELIMITER_NONE, 0, false},
		{"a:1 x y", MESSAGE_SOURCE_FILES, 1 << 20, DELIMITER_NONE, 0, false},
		{"a:1 x --size 100", MESSAGE_SOURCE_FILES, 100, DELIMITER_NONE, 0, false},
		{"a:1 x --framing u32be", MESSAGE_SOURCE_FILES, 64 << 10, DELIMITER_U32BE, 0,
		 false},
		{"a:1 x --framing u16be", MESSAGE_SOURCE_FILES, UINT16_MAX, DELIMITER_U16BE, 0,
		 false},
		// They have their ends already.
		{"a:1 x --framing line", MESSAGE_SOURCE_FILES, 1 << 20, DELIMITER_NONE, 0, true},
	};
	struct relaypub_options options;
	struct errmsg error;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		if (parse(taken[i].line, &options, &error) < 0)
			fail_msg("%s: %s", taken[i].line, error.text);
		if (options.source.kind != taken[i].kind || options.source.size != taken[i].size ||
		    options.framing != taken[i].framing || options.rate != taken[i].rate ||
		    options.reads_lines != taken[i].reads_lines)
			fail_msg("%s", taken[i].line);
		assert_string_equal(options.address.host, "a");
	}
}

static void the_rest_is_as_it_was_said(void **state)
{
	struct relaypub_options options;
	struct errmsg error;

	(void)state;
	assert_int_equal(parse("-q --listen --reconnect --connect-retry 2m -n 5 --positions 9 "
			       "unix:/x",
			       &options, &error),
			 0);
	assert_true(options.quiet && options.listens && options.reconnects);
	assert_int_equal(options.connect_ms, 120000);
	assert_int_equal(options.count, 5);
	assert_int_equal(options.source.seed, 9);
	assert_true(options.address.is_unix);
	assert_string_equal(options.address.path, "/x");
	assert_int_equal(parse("a:1 x - y", &options, &error), 0);
	assert_int_equal(options.source.file_count, 3);
	assert_string_equal(options.source.files[1], "-");
	assert_int_equal(parse("--demo -h", &options, &error), 0);
	assert_true(options.help);
	assert_non_null(strstr(relaypub_options_usage(), "usage: relaypub"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(defaults_follow_from_what_is_published),
		cmocka_unit_test(the_rest_is_as_it_was_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
