// SPDX-License-Identifier: MIT
/*
 * config/: what a file gives, and that whatever is wrong with one is told, in its line, all of it.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "config/config.h"
#include "tests/unit/pipe_rig.h"

/* --- the rig: a directory with one file, and what loading it gave --- */

struct rig {
	char dir[32];
	int fds;
	struct config *config;
	struct config_errors errors;
};

static int begin(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->fds = pipe_rig_count_fds();
	memcpy(rig->dir, "/tmp/relay-config-XXXXXX", sizeof("/tmp/relay-config-XXXXXX"));
	assert_non_null(mkdtemp(rig->dir));
	assert_int_equal(chdir(rig->dir), 0);
	*state = rig;
	return 0;
}

static void forget(struct rig *rig)
{
	config_free(&rig->config);
	assert_null(rig->config);
	config_errors_free(&rig->errors);
}

static int end(void **state)
{
	struct rig *rig = *state;

	forget(rig);
	unlink("a.ini");
	unlink("b.ini");
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(rig->dir), 0);
	assert_int_equal(pipe_rig_count_fds(), rig->fds);
	free(rig);
	return 0;
}

static void write_file(const char *path, const char *bytes, size_t count)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, count, file), count);
	assert_int_equal(fclose(file), 0);
}

static int load_with(struct rig *rig, const char *text, const char *override)
{
	struct config_override overrides[] = {{override}};

	forget(rig);
	write_file("a.ini", text, strlen(text));
	return config_load("a.ini", overrides, override ? 1 : 0, &rig->config, &rig->errors);
}

static void load(struct rig *rig, const char *text)
{
	if (load_with(rig, text, NULL) < 0)
		config_errors_print(stderr, &rig->errors);
	assert_non_null(rig->config);
	assert_int_equal(rig->errors.total, 0);
}

/* One more error, and it is this: a place, and words that its text has. */
static void check_error(const struct rig *rig, size_t i, const char *place, const char *words)
{
	const char *text;

	assert_true(i < rig->errors.count);
	text = rig->errors.list[i].text;
	if (strncmp(text, place, strlen(place)) != 0 || !strstr(text, words))
		fail_msg("error %zu is\n  %s\nexpected\n  %s ... %s", i, text, place, words);
	assert_int_equal(strncmp(text + strlen(place), ": error: ", 9), 0);
	assert_null(strchr(text, '\n'));
}

/* The file has exactly one error. */
static void check_only_error(struct rig *rig, const char *text, const char *place,
			     const char *words)
{
	int r = load_with(rig, text, NULL);

	if (rig->errors.count != 1)
		config_errors_print(stderr, &rig->errors);
	assert_int_equal(r, -EINVAL);
	assert_null(rig->config);
	assert_int_equal(rig->errors.count, 1);
	check_error(rig, 0, place, words);
}

#define FEED     "[feed a]\ningest = stdin\n"                            /* 2 lines */
#define LISTENER "[listener l]\nfeed = a\nlisten = tcp:127.0.0.1:7001\n" /* 3 lines */

/* A whole file of which only `lines` are of interest: they are in the feed, from line 6 on. */
#define IN_FEED(lines) LISTENER FEED lines
/* ... or in the listener, from line 6 on. */
#define IN_LISTENER(lines) FEED LISTENER lines

/* --- what a file gives --- */

static void defaults_are_those_of_the_table(void **state)
{
	struct rig *rig = *state;
	const struct config_feed *feed;
	const struct config_listener *listener;

	load(rig, IN_FEED(""));
	assert_int_equal(rig->config->relay.turn_budget, 2);
	assert_int_equal(rig->config->relay.drain, 10000);
	assert_int_equal(rig->config->relay.log_level, LOG_LEVEL_INFO);
	assert_int_equal(rig->config->feed_count, 1);
	feed = config_find_feed(rig->config, "a");
	assert_ptr_equal(feed, rig->config->feeds);
	assert_int_equal(feed->ingest.kind, CONFIG_INGEST_STDIN);
	assert_int_equal(feed->framing.kind, CONFIG_FRAMING_NONE);
	assert_int_equal(feed->max_message, 16 << 20);
	assert_int_equal(feed->segment, 512 << 10);
	assert_int_equal(feed->ring, 8 << 20);
	assert_int_equal(feed->engine, CONFIG_ENGINE_AUTO);
	assert_int_equal(feed->stall_timeout, 10000);
	assert_false(config_is_set(&feed->section, CONFIG_FEED_ring));
	assert_true(config_is_set(&feed->section, CONFIG_FEED_ingest));
	assert_int_equal(feed->section.origins[CONFIG_FEED_ingest].line, 5);
	listener = config_find_listener(rig->config, "l");
	assert_non_null(listener);
	assert_string_equal(listener->listen, "tcp:127.0.0.1:7001");
	assert_string_equal(listener->congestion, "");
	assert_int_equal(listener->max_input, 4096);
	assert_null(config_find_feed(rig->config, "b"));
	assert_null(config_find_listener(rig->config, "a"));
}

static void values_of_all_types_are_read(void **state)
{
	struct rig *rig = *state;
	const struct config_feed *feed;

	load(rig, "\xef\xbb\xbf[relay]\r\n"
		  "log_level = debug\r\n" IN_FEED("framing = fixed:188\n"
						  "ring=16m\n"
						  "burst\t=\t90s\t; blank and semicolon\n"
						  "  # an indented comment\n"
						  "heartbeat = 0 # none\n"
						  "on_slow = wait\n"
						  "max_subscribers = 5"));
	feed = &rig->config->feeds[0];
	assert_int_equal(rig->config->relay.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(feed->framing.kind, CONFIG_FRAMING_FIXED);
	assert_int_equal(feed->framing.fixed_bytes, 188);
	assert_int_equal(feed->ring, 16 << 20);
	assert_int_equal(feed->burst.bytes, 0);
	assert_int_equal(feed->burst.ms, 90000);
	assert_int_equal(feed->heartbeat, 0);
	assert_int_equal(feed->on_slow, CONFIG_ON_SLOW_WAIT);
	assert_int_equal(feed->max_subscribers, 5);
	load(rig, IN_FEED("burst = 64k\nframing = u32le\n"));
	assert_int_equal(rig->config->feeds[0].burst.bytes, 65536);
	assert_int_equal(rig->config->feeds[0].burst.ms, 0);
	assert_int_equal(rig->config->feeds[0].framing.kind, CONFIG_FRAMING_U32LE);
}

static void check_ingest(struct rig *rig, const char *text, enum config_ingest_kind kind,
			 const char *const *addresses)
{
	const struct config_ingest *ingest;
	char file[1024];
	size_t count = 0;

	snprintf(file, sizeof(file), LISTENER "[feed a]\ningest = %s\n", text);
	load(rig, file);
	ingest = &rig->config->feeds[0].ingest;
	assert_int_equal(ingest->kind, kind);
	assert_string_equal(ingest->text, text);
	for (; addresses[count]; count++)
		assert_string_equal(ingest->addresses[count], addresses[count]);
	assert_int_equal(ingest->address_count, count);
}

#define LIST(...)                                                                                  \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__ __VA_OPT__(, ) NULL                                                    \
	}

static void ingests_of_all_forms_are_read(void **state)
{
	check_ingest(*state, "listen tcp:127.0.0.1:7000", CONFIG_INGEST_LISTEN,
		     LIST("tcp:127.0.0.1:7000"));
	check_ingest(*state, "listen tcp:*:0", CONFIG_INGEST_LISTEN, LIST("tcp:*:0"));
	check_ingest(*state, "listen unix:/run/a b, c", CONFIG_INGEST_LISTEN,
		     LIST("unix:/run/a b, c"));
	check_ingest(*state, "connect  tcp:a.example:1,tcp:[fe80::1%eth0]:2 , tcp:b:3",
		     CONFIG_INGEST_CONNECT,
		     LIST("tcp:a.example:1", "tcp:[fe80::1%eth0]:2", "tcp:b:3"));
	check_ingest(*state, "connect unix:@abstract", CONFIG_INGEST_CONNECT,
		     LIST("unix:@abstract"));
	check_ingest(*state, "fifo:/run/f", CONFIG_INGEST_FIFO, LIST("/run/f"));
	check_ingest(*state, "file:some file", CONFIG_INGEST_FILE, LIST("some file"));
	check_ingest(*state, "stdin", CONFIG_INGEST_STDIN, LIST());
}

static void bad_ingests_are_refused(void **state)
{
	static const char *const texts[][2] = {
		{"listen", "nothing behind 'listen'"},
		{"listen tcp:127.0.0.1", "port"},
		{"listen tcp:127.0.0.1:65536", "65535"},
		{"listen tcp:::1:7000", "brackets"},
		{"listen tcp:[1.2.3.4]:7000", "IPv6"},
		{"listen tcp:a b:7000", "host name"},
		{"listen udp:a:1", "is not an address"},
		{"listen tcp:a:1, tcp:b:2", "takes one address"},
		{"listentcp:a:1", "expected listen"},
		{"connect tcp:a:0", "names no host and port"},
		{"connect tcp:*:5", "names no host and port"},
		{"connect tcp:a:1,", "is not an address"},
		{"connect unix:", "path is missing"},
		{"fifo:", "nothing behind 'fifo:'"},
		{"fifo /run/f", "expected listen"},
		{"stdin 5", "text behind 'stdin'"},
		{"", "it is empty"},
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char file[1024];

		snprintf(file, sizeof(file), LISTENER "[feed a]\ningest = %s\n", texts[i][0]);
		check_only_error(*state, file, "a.ini:5", texts[i][1]);
	}
}

static void listeners_have_the_values_of_their_feed(void **state)
{
	struct rig *rig = *state;
	const struct config_listener *listener;

	load(rig, IN_FEED("framing = line\nburst = 5s\n"));
	listener = &rig->config->listeners[0];
	assert_int_equal(listener->burst.ms, 5000);
	assert_int_equal(listener->on_slow, CONFIG_ON_SLOW_SKIP);
	assert_true(listener->section.origins[CONFIG_LISTENER_burst].inherited);
	assert_int_equal(listener->section.origins[CONFIG_LISTENER_burst].line, 7);
	assert_false(config_is_set(&listener->section, CONFIG_LISTENER_burst));
	load(rig, IN_FEED(""));
	assert_int_equal(rig->config->listeners[0].on_slow, CONFIG_ON_SLOW_DISCONNECT);
	load(rig, IN_LISTENER("format = framed\n"));
	assert_int_equal(rig->config->listeners[0].on_slow, CONFIG_ON_SLOW_SKIP);
	load(rig, IN_LISTENER("on_slow = wait\nburst = 0\n"));
	assert_int_equal(rig->config->listeners[0].on_slow, CONFIG_ON_SLOW_WAIT);
	assert_true(config_is_set(&rig->config->listeners[0].section, CONFIG_LISTENER_burst));
}

static void ports_of_zero_never_clash(void **state)
{
	load(*state, "[feed a]\ningest = listen tcp:127.0.0.1:0\n"
		     "[listener l]\nfeed = a\nlisten = tcp:127.0.0.1:0\n"
		     "[listener m]\nfeed = a\nlisten = tcp:*:0\n");
}

/* --- what is refused --- */

static void bad_lines_are_refused_each_with_its_line(void **state)
{
	struct rig *rig = *state;

	check_only_error(rig, "x = 1\n" IN_FEED(""), "a.ini:1", "before the first section");
	check_only_error(rig, IN_FEED("bure = 1\n"), "a.ini:6",
			 "unknown key 'bure' in [feed a]; did you mean 'burst'? expected one of "
			 "ingest, framing");
	check_only_error(rig, IN_FEED("listen = tcp:a:1\n"), "a.ini:6",
			 "belongs in [listener NAME]");
	check_only_error(rig, IN_FEED("Ring = 8m\n"), "a.ini:6", "did you mean 'ring'?");
	check_only_error(rig, IN_FEED("ring = 8m\nring = 8m\n"), "a.ini:7",
			 "duplicate key 'ring' in [feed a]; the first one is in line 6");
	check_only_error(rig, IN_FEED("ring = 8m\n  16m\n"), "a.ini:7", "indented");
	check_only_error(rig, IN_FEED("ring = 8m\n\tburst = 1k\n"), "a.ini:7", "indented");
	check_only_error(rig, IN_FEED("ring: 8m\n"), "a.ini:6", "expected 'key = value'");
	check_only_error(rig, IN_FEED("ring\n"), "a.ini:6", "expected 'key = value'");
	check_only_error(rig, IN_FEED("= 8m\n"), "a.ini:6", "expected 'key = value'");
	check_only_error(rig, IN_FEED("ring # = 8m\n"), "a.ini:6", "expected 'key = value'");
	check_only_error(rig, IN_FEED("\x1b[31m = 1\n"), "a.ini:6",
			 "control byte 0x1b in column 1");
	check_only_error(rig, IN_FEED("ring = 8m\rx\n"), "a.ini:6", "control byte 0x0d");
	check_only_error(rig, IN_FEED("ring = \xc3\x28\n"), "a.ini:6",
			 "0xc3 in column 8 is not UTF-8");
	check_only_error(rig, IN_FEED("\xed\xa0\x80=1\n"), "a.ini:6", "not UTF-8");
	check_only_error(rig, IN_FEED("\xf8\x88\x80\x80=1\n"), "a.ini:6", "not UTF-8");
	check_only_error(rig, IN_FEED("ring = \xf0\x9f"), "a.ini:6", "not UTF-8");
}

static void bad_values_are_refused_with_what_was_expected(void **state)
{
	struct rig *rig = *state;

	check_only_error(rig, IN_FEED("ring = big\n"), "a.ini:6",
			 "bad value 'big' for 'ring'; expected a size from 128k to 1g");
	check_only_error(rig, IN_FEED("ring = 2g\n"), "a.ini:6", "out of range");
	check_only_error(rig, IN_FEED("ring = 99999999999999999999\n"), "a.ini:6", "out of range");
	check_only_error(rig, IN_FEED("ring =\n"), "a.ini:6", "it is empty");
	check_only_error(rig, IN_FEED("grace = 10\n"), "a.ini:6", "it has no unit");
	check_only_error(rig, IN_FEED("burst = 5m\n"), "a.ini:6", "mebibytes or minutes");
	check_only_error(rig, IN_FEED("burst = 2d\n"), "a.ini:6", "out of range");
	check_only_error(rig, IN_FEED("engine = fast\n"), "a.ini:6",
			 "expected one of auto, splice, compact, copy");
	check_only_error(rig, IN_FEED("framing = fixed:0\n"), "a.ini:6", "out of range");
	check_only_error(rig, IN_FEED("framing = fixed:N\n"), "a.ini:6", "expected one of none");
	check_only_error(rig, IN_FEED("framing = fixed:65m\n"), "a.ini:6", "out of range");
	check_only_error(rig, IN_FEED("max_subscribers = -1\n"), "a.ini:6",
			 "expected 0, or a number from 1");
	check_only_error(rig, IN_LISTENER("send_buffer = 1\n"), "a.ini:6",
			 "expected 0, or a size from 4k to 64m");
	check_only_error(rig, IN_LISTENER("congestion = new reno\n"), "a.ini:6",
			 "at most 15 bytes without blanks");
	check_only_error(rig, FEED "[listener l]\nfeed = a\nlisten = 127.0.0.1:7001\n", "a.ini:5",
			 "expected tcp:HOST:PORT");
}

static void bad_sections_are_refused(void **state)
{
	struct rig *rig = *state;

	check_only_error(rig, IN_FEED("[feed b\nfoo = 1\n"), "a.ini:6", "unterminated section");
	check_only_error(rig, IN_FEED("[feed b] x\nfoo = 1\n"), "a.ini:6",
			 "text after the section");
	check_only_error(rig, IN_FEED("[fed b]\nfoo = 1\n"), "a.ini:6",
			 "unknown section [fed b]; did you mean 'feed'?");
	check_only_error(rig, IN_FEED("[]\n"), "a.ini:6", "unknown section []");
	check_only_error(rig, IN_FEED("[feed]\n"), "a.ini:6", "bad name ''");
	check_only_error(rig, IN_FEED("[feed b c]\n"), "a.ini:6", "bad name 'b c'");
	check_only_error(rig,
			 IN_FEED("[feed x23456789012345678901234567890123456789012345678901234567"
				 "89012345]\n"),
			 "a.ini:6", "expected 1 to 64 characters");
	check_only_error(rig, IN_FEED("[relay x]\n"), "a.ini:6", "[relay] has no name");
	check_only_error(rig, IN_FEED("[relay]\n[relay]\n"), "a.ini:7",
			 "duplicate section [relay]");
	check_only_error(rig, IN_FEED("[feed  a] # same\n"), "a.ini:6",
			 "duplicate section [feed a]; the first one is in line 4");
	check_only_error(rig, IN_LISTENER("[listener l]\n"), "a.ini:6",
			 "duplicate section [listener l]");
	load(rig, IN_FEED("\n[ relay ]  ; fine\n"));
}

static void names_of_64_bytes_are_not_cut(void **state)
{
	struct rig *rig = *state;
#define LONG "x2345678901234567890123456789012345678901234567890123456789012"

	load(rig, "[feed " LONG ".1]\ningest = stdin\n[feed " LONG ".2]\ningest = fifo:f\n"
		  "[listener 1]\nfeed = " LONG ".1\nlisten = tcp:a:1\n"
		  "[listener 2]\nfeed = " LONG ".2\nlisten = tcp:a:2\n");
	assert_int_equal(strlen(rig->config->feeds[1].section.name), 64);
	assert_int_equal(rig->config->feeds[1].ingest.kind, CONFIG_INGEST_FIFO);
}

/* FEED and LISTENER, and a comment of so many bytes in line 6. */
static void write_long_line(struct rig *rig, size_t bytes, const char *end)
{
	char line[CONFIG_LINE_BYTES + 2], text[CONFIG_LINE_BYTES + 256];

	(void)rig;
	memset(line, 'x', bytes);
	line[0] = '#';
	line[bytes] = '\0';
	snprintf(text, sizeof(text), "%s%s%s", IN_FEED(""), line, end);
	write_file("a.ini", text, strlen(text));
}

static void long_lines_are_read_up_to_the_limit(void **state)
{
	struct rig *rig = *state;
	char path[101], text[4400];

	write_long_line(rig, CONFIG_LINE_BYTES, "\n");
	assert_int_equal(config_load("a.ini", NULL, 0, &rig->config, &rig->errors), 0);
	forget(rig);
	write_long_line(rig, CONFIG_LINE_BYTES, "");
	assert_int_equal(config_load("a.ini", NULL, 0, &rig->config, &rig->errors), 0);
	forget(rig);
	write_long_line(rig, CONFIG_LINE_BYTES + 1, "\nring = x\n");
	assert_int_equal(config_load("a.ini", NULL, 0, &rig->config, &rig->errors), -EINVAL);
	assert_int_equal(rig->errors.count, 2);
	check_error(rig, 0, "a.ini:6", "overlong line of 4097 bytes; expected at most 4096");
	check_error(rig, 1, "a.ini:7", "bad value 'x'");

	/* longer than a buffer of inih as packaged */
	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	snprintf(text, sizeof(text),
		 LISTENER "[feed a]\ningest = file:%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s\n",
		 path, path, path, path, path, path, path, path, path, path, path, path, path, path,
		 path, path, path, path, path, path);
	load(rig, text);
	assert_int_equal(strlen(rig->config->feeds[0].ingest.addresses[0]), 2000);
}

static void a_zero_byte_is_refused(void **state)
{
	static const char text[] = IN_FEED("ring = 8m\0m\n");
	struct rig *rig = *state;

	write_file("a.ini", text, sizeof(text) - 1);
	assert_int_equal(config_load("a.ini", NULL, 0, &rig->config, &rig->errors), -EINVAL);
	assert_int_equal(rig->errors.count, 1);
	check_error(rig, 0, "a.ini:6", "control byte 0x00 in column 10");
}

static void what_is_missing_is_told(void **state)
{
	struct rig *rig = *state;

	check_only_error(rig, "", "a.ini", "there is nothing to relay");
	check_only_error(rig, LISTENER "[feed a]\n", "a.ini:4", "[feed a] has no 'ingest'");
	check_only_error(rig, IN_FEED("[listener m]\nlisten = unix:x\n"), "a.ini:6",
			 "[listener m] has no 'feed'");
	check_only_error(rig, IN_FEED("[listener m]\nfeed = a\n"), "a.ini:6",
			 "[listener m] has no 'listen'");
	check_only_error(rig, FEED, "a.ini:1", "no listener serves [feed a]");
	check_only_error(rig, IN_FEED("[listener m]\nlisten = unix:x\nfeed = aa\n"), "a.ini:8",
			 "there is no [feed aa]; did you mean 'a'?");
	check_only_error(rig, IN_FEED("[listener m]\nlisten = unix:x\nfeed = quite\n"), "a.ini:8",
			 "there is no [feed quite]; expected the name of a feed");
}

static void contradictions_are_refused(void **state)
{
	struct rig *rig = *state;

	check_only_error(rig, IN_FEED("ring = 128k\n"), "a.ini:6", "segment = 512k does not fit");
	check_only_error(rig, IN_FEED("ring = 512k\nsegment = 1m\n"), "a.ini:7",
			 "does not fit into ring = 512k");
	check_only_error(rig, IN_FEED("max_lag = 9m\n"), "a.ini:6", "never be reached");
	check_only_error(rig, IN_FEED("framing = fixed:20m\n"), "a.ini:6", "max_message = 16m");
	check_only_error(rig, IN_FEED("rate = 1m\n"), "a.ini:6", "file:PATH only");
	check_only_error(rig, IN_FEED("on_slow = skip\n"), "a.ini:6", "[listener l] is raw");
	check_only_error(rig, IN_LISTENER("on_slow = skip\n"), "a.ini:6", "[listener l] is raw");
	load(rig, IN_LISTENER("on_slow = skip\nformat = framed\n"));
	load(rig, IN_FEED("on_slow = skip\nframing = line\n"));
	check_only_error(rig,
			 IN_FEED("[feed b]\ningest = stdin\n[listener m]\nfeed = b\n"
				 "listen = tcp:127.0.0.1:7002\n"),
			 "a.ini:7", "stdin is read by [feed a] already");
}

static void addresses_are_had_once(void **state)
{
	static const struct {
		const char *a, *b;
		bool clash;
	} rows[] = {
		{"tcp:127.0.0.1:7001", "tcp:127.0.0.1:7001", true},
		{"tcp:127.0.0.1:7001", "tcp:127.0.0.1:7002", false},
		{"tcp:127.0.0.1:7001", "tcp:127.0.0.2:7001", false},
		{"tcp:127.0.0.1:7001", "tcp:127.0.0.1:07001", true},
		{"tcp:[::1]:7001", "tcp:[0:0::1]:7001", true},
		{"tcp:*:7001", "tcp:127.0.0.1:7001", true},
		{"tcp::7001", "tcp:[::1]:7001", true},
		{"tcp:0.0.0.0:7001", "tcp:127.0.0.1:7001", true},
		{"tcp:0.0.0.0:7001", "tcp:[::1]:7001", false},
		{"tcp:[::]:7001", "tcp:[::1]:7001", true},
		{"tcp:LocalHost:7001", "tcp:localhost:7001", true},
		{"unix:/x", "unix:/x", true},
		{"unix:/x", "unix:/y", false},
		{"unix:7001", "tcp:*:7001", false},
	};
	struct rig *rig = *state;
	char text[1024];

	for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		bool is_swapped = i % 2;

		snprintf(text, sizeof(text),
			 FEED "[listener l]\nfeed = a\nlisten = %s\n"
			      "[listener m]\nfeed = a\nlisten = %s\n",
			 is_swapped ? rows[i / 2].b : rows[i / 2].a,
			 is_swapped ? rows[i / 2].a : rows[i / 2].b);
		if (rows[i / 2].clash)
			check_only_error(rig, text, "a.ini:8", "is taken by [listener l]");
		else
			load(rig, text);
	}
	check_only_error(rig, "[feed a]\ningest = listen tcp:127.0.0.1:7001\n" LISTENER, "a.ini:5",
			 "is taken by [feed a]");
}

static void all_errors_are_told_in_order(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(load_with(rig,
				   "[feed a]\n"          /* 1: no ingest, and no listener */
				   "rign = 8m\n"         /* 2 */
				   "on_slow = maybe\n"   /* 3 */
				   "[feed a]\n"          /* 4: duplicate */
				   "ring = 1\n"          /* 5 */
				   "[listener l]\n"      /* 6 */
				   "feed = b\n"          /* 7 */
				   "listen = tcp:a:1\n"  /* 8 */
				   "[listener m]\n"      /* 9: no feed */
				   "listen = tcp:a:1\n", /* 10: taken */
				   "relay.drian=1s"),
			 -EINVAL);
	assert_int_equal(rig->errors.count, 10);
	check_error(rig, 0, "a.ini:1", "has no 'ingest'");
	check_error(rig, 1, "a.ini:1", "no listener serves");
	check_error(rig, 2, "a.ini:2", "did you mean 'ring'?");
	check_error(rig, 3, "a.ini:3", "bad value 'maybe'");
	check_error(rig, 4, "a.ini:4", "duplicate section");
	check_error(rig, 5, "a.ini:5", "bad value '1'");
	check_error(rig, 6, "a.ini:7", "there is no [feed b]; did you mean 'a'?");
	check_error(rig, 7, "a.ini:9", "has no 'feed'");
	check_error(rig, 8, "a.ini:10", "is taken by [listener l]");
	check_error(rig, 9, "-o relay.drian=1s", "did you mean 'drain'?");
}

static void too_many_errors_are_counted(void **state)
{
	struct rig *rig = *state;
	char text[6000];

	memset(text, 0, sizeof(text));
	for (size_t i = 0; i < 2500; i++)
		memcpy(text + 2 * i, "x\n", 2);
	assert_int_equal(load_with(rig, text, NULL), -EINVAL);
	assert_int_equal(rig->errors.count, 1000);
	assert_int_equal(rig->errors.total, 2501);
}

static void what_cannot_be_read_is_named(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(config_load("a.ini", NULL, 0, &rig->config, &rig->errors), -ENOENT);
	assert_int_equal(rig->errors.count, 1);
	check_error(rig, 0, "a.ini", "No such file or directory");
	forget(rig);
	assert_int_equal(config_load(rig->dir, NULL, 0, &rig->config, &rig->errors), -EISDIR);
	check_error(rig, 0, rig->dir, "Is a directory");
	assert_null(rig->config);
}

/* --- the command line --- */

static void overrides_win(void **state)
{
	struct rig *rig = *state;
	const struct config_override overrides[] = {
		{"feed a.b.ring=1m"}, {"feed a.b.ring=2m"}, {"relay.drain=1s"}};
	const struct config_feed *feed;

	assert_int_equal(load_with(rig,
				   "[feed a.b]\ningest = stdin\nring = 4m\n"
				   "[listener l]\nfeed = a.b\nlisten = unix:x\n",
				   NULL),
			 0);
	forget(rig);
	assert_int_equal(config_load("a.ini", overrides, 3, &rig->config, &rig->errors), 0);
	feed = config_find_feed(rig->config, "a.b");
	assert_int_equal(feed->ring, 2 << 20);
	assert_int_equal(feed->section.origins[CONFIG_FEED_ring].kind, CONFIG_ORIGIN_OVERRIDE);
	assert_int_equal(rig->config->relay.drain, 1000);
}

static void bad_overrides_are_refused(void **state)
{
	static const char *const rows[][3] = {
		{"nonsense", "-o nonsense", "expected SECTION.KEY=VALUE"},
		{"drain=1s", "-o drain=1s", "expected SECTION.KEY=VALUE"},
		{"feed aa.ring=1m", "-o feed aa.ring=1m", "did you mean 'feed a'?"},
		{"x.y=1", "-o x.y=1", "there is no section [x]"},
		{"relay.drain=5", "-o relay.drain=5", "it has no unit"},
		{"feed a.ring=128k", "-o feed a.ring", "does not fit"},
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(load_with(rig, IN_FEED(""), rows[i][0]), -EINVAL);
		assert_int_equal(rig->errors.count, 1);
		check_error(rig, 0, rows[i][1], rows[i][2]);
		assert_int_equal(rig->errors.list[0].line, UINT_MAX);
	}
}

/* --- reload --- */

static void check_change(const struct config_change *change, enum config_change_kind kind,
			 const char *text)
{
	char buf[256];

	assert_string_equal(config_change_print(buf, sizeof(buf), change), text);
	assert_int_equal(change->kind, kind);
}

static void a_reload_knows_what_has_changed(void **state)
{
	struct rig *rig = *state;
	const struct config_option *options[CONFIG_SECTION_OPTIONS];
	struct config_change *changes;
	struct config *old;
	size_t count;

	load(rig, IN_FEED("[feed gone]\ningest = fifo:f\n[listener g]\nfeed = gone\n"
			  "listen = unix:x\n"));
	old = rig->config;
	rig->config = NULL;
	load(rig, "[relay]\nlog_level = warn\n" IN_FEED(
			  "framing = line\nring = 16m\nburst = 64k\n[listener new]\nfeed = a\n"
			  "listen = unix:y\n"));

	assert_int_equal(config_differs_relay(&old->relay, &rig->config->relay, options), 1);
	assert_int_equal(config_differs_relay(&old->relay, &old->relay, NULL), 0);
	assert_int_equal(config_differs_feed(&old->feeds[0], &rig->config->feeds[0], options), 3);
	assert_string_equal(options[0]->key, "framing");
	assert_false(options[0]->is_reloadable);
	assert_true(options[1]->is_reloadable);

	assert_int_equal(config_reload_check(old, rig->config, &changes, &count), 0);
	assert_int_equal(count, 9);
	check_change(&changes[0], CONFIG_CHANGE_REMOVED, "feed gone: removed");
	check_change(&changes[1], CONFIG_CHANGE_REMOVED, "listener g: removed");
	check_change(&changes[2], CONFIG_CHANGE_LIVE,
		     "relay: log_level changed from 'info' to 'warn'");
	check_change(&changes[3], CONFIG_CHANGE_REMADE,
		     "feed a: framing changed from 'none' to 'line', so it is made anew");
	check_change(&changes[4], CONFIG_CHANGE_LIVE, "feed a: ring changed from '8m' to '16m'");
	check_change(&changes[5], CONFIG_CHANGE_LIVE, "feed a: burst changed from '0' to '64k'");
	check_change(&changes[6], CONFIG_CHANGE_LIVE,
		     "listener l: burst changed from '0' to '64k'");
	check_change(&changes[7], CONFIG_CHANGE_LIVE,
		     "listener l: on_slow changed from 'disconnect' to 'skip'");
	check_change(&changes[8], CONFIG_CHANGE_ADDED, "listener new: added");
	free(changes);
	assert_int_equal(config_reload_check(old, old, &changes, &count), 0);
	assert_int_equal(count, 0);
	free(changes);
	config_free(&old);
}

/* --- printing --- */

static void the_example_loads(void **state)
{
	struct rig *rig = *state;
	FILE *file = fopen("b.ini", "we");

	assert_non_null(file);
	config_print_example(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(config_load("b.ini", NULL, 0, &rig->config, &rig->errors), 0);
	assert_int_equal(rig->config->feed_count, 1);
	assert_int_equal(rig->config->listener_count, 2);
	assert_string_equal(rig->config->feeds[0].ingest.text, "listen tcp:127.0.0.1:7000");
}

/* The example with the '#' gone from all settings: the same values as with it. */
static void the_commented_settings_of_the_example_are_the_defaults(void **state)
{
	struct rig *rig = *state;
	char *text, *active;
	struct config_change *changes;
	struct config *plain;
	size_t bytes, n = 0, count;
	FILE *file = open_memstream(&text, &bytes);

	assert_non_null(file);
	config_print_example(file);
	assert_int_equal(fclose(file), 0);
	active = calloc(1, bytes + 1);
	assert_non_null(active);
	for (size_t i = 0; i < bytes; i++) {
		if (text[i] != '#' || (text[i + 1] == ' ' || text[i + 1] == '\n'))
			active[n++] = text[i];
	}
	load(rig, text);
	plain = rig->config;
	rig->config = NULL;
	load(rig, active);
	assert_true(config_is_set(&rig->config->feeds[0].section, CONFIG_FEED_grace));
	assert_int_equal(config_reload_check(plain, rig->config, &changes, &count), 0);
	assert_int_equal(count, 0);
	free(changes);
	config_free(&plain);
	free(active);
	free(text);
}

static void what_is_in_effect_loads_to_the_same(void **state)
{
	struct rig *rig = *state;
	struct config_change *changes;
	struct config *first;
	size_t count;
	FILE *file;

	assert_int_equal(
		load_with(rig,
			  IN_FEED("burst = 5120k\nmax_lag_time = 1500ms\n"
				  "framing = fixed:188\n[listener m]\nfeed = a\n"
				  "listen = unix:/a b\ncongestion = cubic\nburst = 300s\n"),
			  "feed a.ring=12m"),
		0);
	first = rig->config;
	rig->config = NULL;
	file = fopen("b.ini", "we");
	assert_non_null(file);
	config_print_effective(file, first);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(config_load("b.ini", NULL, 0, &rig->config, &rig->errors), 0);
	assert_int_equal(config_reload_check(first, rig->config, &changes, &count), 0);
	assert_int_equal(count, 0);
	free(changes);
	config_free(&first);
}

static void origins_are_printed(void **state)
{
	struct rig *rig = *state;
	size_t bytes;
	char *text;
	FILE *file = open_memstream(&text, &bytes);

	assert_non_null(file);
	assert_int_equal(load_with(rig, IN_FEED("burst = 1k\n"), "feed a.ring=12m"), 0);
	config_print_effective(file, rig->config);
	assert_int_equal(fclose(file), 0);
	assert_non_null(strstr(text, "\nring = 12m  # -o\n"));
	assert_non_null(strstr(text, "\nsegment = 512k  # default\n"));
	assert_non_null(strstr(text, "\ningest = stdin  # a.ini:5\n"));
	assert_non_null(strstr(text, "\nburst = 1k  # from [feed a], a.ini:6\n"));
	free(text);
}

static void keys_are_explained(void **state)
{
	const char *nearest;
	size_t bytes;
	char *text;
	FILE *file = open_memstream(&text, &bytes);

	(void)state;
	assert_non_null(file);
	assert_int_equal(config_print_explain(file, "listener.burst", &nearest), 0);
	assert_int_equal(config_print_explain(file, "rign", &nearest), -ENOENT);
	assert_string_equal(nearest, "ring");
	assert_int_equal(config_print_explain(file, "relay.ring", &nearest), -ENOENT);
	assert_int_equal(config_print_explain(file, "zzzzzzzz", &nearest), -ENOENT);
	assert_null(nearest);
	assert_int_equal(fclose(file), 0);
	assert_non_null(strstr(text, "[listener NAME] burst\n"));
	assert_null(strstr(text, "[feed NAME]"));
	free(text);
}

/* Whoever writes a row writes all of it. */
static void the_rows_of_the_table_are_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < config_option_count; i++) {
		const struct config_option *option = &config_options[i];

		assert_true(strlen(option->help) > 40);
		assert_int_equal(option->help[strlen(option->help) - 1], '.');
		if (option->type == CONFIG_TYPE_BYTES || option->type == CONFIG_TYPE_DURATION ||
		    option->type == CONFIG_TYPE_COUNT) {
			assert_non_null(option->min);
			assert_non_null(option->max);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(defaults_are_those_of_the_table),
		TEST(values_of_all_types_are_read),
		TEST(ingests_of_all_forms_are_read),
		TEST(bad_ingests_are_refused),
		TEST(listeners_have_the_values_of_their_feed),
		TEST(ports_of_zero_never_clash),
		TEST(bad_lines_are_refused_each_with_its_line),
		TEST(bad_values_are_refused_with_what_was_expected),
		TEST(bad_sections_are_refused),
		TEST(names_of_64_bytes_are_not_cut),
		TEST(long_lines_are_read_up_to_the_limit),
		TEST(a_zero_byte_is_refused),
		TEST(what_is_missing_is_told),
		TEST(contradictions_are_refused),
		TEST(addresses_are_had_once),
		TEST(all_errors_are_told_in_order),
		TEST(too_many_errors_are_counted),
		TEST(what_cannot_be_read_is_named),
		TEST(overrides_win),
		TEST(bad_overrides_are_refused),
		TEST(a_reload_knows_what_has_changed),
		TEST(the_example_loads),
		TEST(the_commented_settings_of_the_example_are_the_defaults),
		TEST(what_is_in_effect_loads_to_the_same),
		TEST(origins_are_printed),
		TEST(keys_are_explained),
		TEST(the_rows_of_the_table_are_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
