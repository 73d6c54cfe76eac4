// SPDX-License-Identifier: MIT
/*
 * config/: whatever is wrong with a file is told, in its line, all of it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "config/config.h"
#include "tests/unit/config_rig.h"

#define AT_CASTER LISTENER "[feed a]\ningest = connect ntrip://h/M\n" /* from line 6 on */

/* The one error that a file of this text has: where it stands, and what is said of it. */
struct bad_text {
	const char *text, *place, *words;
};

static void check_each(struct config_rig *rig, const struct bad_text *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		config_rig_check_only_error(rig, rows[i].text, rows[i].place, rows[i].words);
}

static void bad_lines_are_refused_each_with_its_line(void **state)
{
	static const struct bad_text rows[] = {
		{"x = 1\n" IN_FEED(""), "a.ini:1", "before the first section"},
		{IN_FEED("bure = 1\n"), "a.ini:6",
		 "unknown key 'bure' in [feed a]; did you mean 'burst'? expected one of "
		 "ingest, framing"},
		{IN_FEED("listen = tcp:a:1\n"), "a.ini:6", "belongs in [listener NAME]"},
		{IN_FEED("Ring = 8m\n"), "a.ini:6", "did you mean 'ring'?"},
		{IN_FEED("ring = 8m\nring = 8m\n"), "a.ini:7",
		 "duplicate key 'ring' in [feed a]; the first one is in line 6"},
		{IN_FEED("ring = 8m\n  16m\n"), "a.ini:7", "indented"},
		{IN_FEED("ring = 8m\n\tburst = 1k\n"), "a.ini:7", "indented"},
		{IN_FEED("ring: 8m\n"), "a.ini:6", "expected 'key = value'"},
		{IN_FEED("ring\n"), "a.ini:6", "expected 'key = value'"},
		{IN_FEED("= 8m\n"), "a.ini:6", "expected 'key = value'"},
		{IN_FEED("ring # = 8m\n"), "a.ini:6", "expected 'key = value'"},
		{IN_FEED("\x1b[31m = 1\n"), "a.ini:6", "control byte 0x1b in column 1"},
		{IN_FEED("ring = 8m\rx\n"), "a.ini:6", "control byte 0x0d"},
		{IN_FEED("ring = \xc3\x28\n"), "a.ini:6", "0xc3 in column 8 is not UTF-8"},
		{IN_FEED("\xed\xa0\x80=1\n"), "a.ini:6", "not UTF-8"},
		{IN_FEED("\xf8\x88\x80\x80=1\n"), "a.ini:6", "not UTF-8"},
		{IN_FEED("ring = \xf0\x9f"), "a.ini:6", "not UTF-8"},
	};

	check_each(*state, rows, ARRAY_LEN(rows));
}

static void bad_values_are_refused_with_what_was_expected(void **state)
{
	static const struct bad_text rows[] = {
		{IN_FEED("ring = big\n"), "a.ini:6",
		 "bad value 'big' for 'ring'; expected a size from 128k to 1g"},
		{IN_FEED("ring = 2g\n"), "a.ini:6", "out of range"},
		{IN_FEED("ring = 99999999999999999999\n"), "a.ini:6", "out of range"},
		{IN_FEED("ring =\n"), "a.ini:6", "it is empty"},
		{IN_FEED("grace = 10\n"), "a.ini:6", "it has no unit"},
		{IN_FEED("burst = 5m\n"), "a.ini:6", "mebibytes or minutes"},
		{IN_FEED("burst = 2d\n"), "a.ini:6", "out of range"},
		{IN_FEED("burst = keyframes\n"), "a.ini:6", "or keyframe"},
		{IN_FEED("burst = keyframe\n"), "a.ini:6", "for framing = ts only"},
		{IN_LISTENER("burst = keyframe\n"), "a.ini:6", "[feed a] has another"},
		{IN_FEED("last_line = drop\n"), "a.ini:6",
		 "for framing = line, nul, cr and crlf only"},
		{LISTENER "[feed a]\ningest = udp:127.0.0.1:5\nframing = u16be\n", "a.ini:6",
		 "framing = u16be finds no message again once a datagram is lost"},
		{LISTENER "[feed a]\ningest = udp:127.0.0.1:5\ncoalesce = 1k\n", "a.ini:6",
		 "coalesce is not for ingest = udp"},
		{IN_FEED("serial_mode = 9600 8N1\n"), "a.ini:6", "for ingest = serial only"},
		{LISTENER "[feed a]\ningest = serial:d\nserial_mode = 9600\n", "a.ini:6",
		 "such as 115200 8N1"},
		{LISTENER "[feed a]\ningest = serial:d\nserial_mode = 9600 9N1\n", "a.ini:6",
		 "out of range"},
		{LISTENER "[feed a]\ningest = serial:d\nserial_mode = 9600 8N1 x\n", "a.ini:6",
		 "such as 115200 8N1"},
		{LISTENER "[feed a]\ningest = serial:d\nserial_mode = 9600 8M1\n", "a.ini:6",
		 "such as 115200 8N1"},
		{IN_FEED("ntrip_gga = 48.1, 11.5\n"), "a.ini:6",
		 "for ingest = connect ntrip:// only"},
		{AT_CASTER "ntrip_gga = 48.1\n", "a.ini:6", "such as 48.1371, 11.5754, 520"},
		{AT_CASTER "ntrip_gga = 48.1, 11.5, 520, 3\n", "a.ini:6",
		 "such as 48.1371, 11.5754, 520"},
		{AT_CASTER "ntrip_gga = 48.1, east\n", "a.ini:6", "such as 48.1371, 11.5754, 520"},
		{AT_CASTER "ntrip_gga = 48.1N, 11.5E\n", "a.ini:6",
		 "such as 48.1371, 11.5754, 520"},
		{AT_CASTER "ntrip_gga = .1, .5\n", "a.ini:6", "such as 48.1371, 11.5754, 520"},
		{AT_CASTER "ntrip_gga = 90.0000001, 0\n", "a.ini:6", "out of range"},
		{AT_CASTER "ntrip_gga = 0, -180.1\n", "a.ini:6", "out of range"},
		{AT_CASTER "ntrip_gga = 0, 99999999999999999999\n", "a.ini:6", "out of range"},
		{AT_CASTER "ntrip_gga = 0, 0, 20001\n", "a.ini:6", "out of range"},
		{IN_FEED("framing = ts\nmax_message = 100\n"), "a.ini:6",
		 "188 bytes are all longer"},
		{IN_FEED("engine = fast\n"), "a.ini:6",
		 "expected one of auto, splice, compact, copy"},
		{IN_FEED("framing = fixed:0\n"), "a.ini:6", "out of range"},
		{IN_FEED("framing = fixed:N\n"), "a.ini:6", "expected one of none"},
		{IN_FEED("framing = fixed:65m\n"), "a.ini:6", "out of range"},
		{IN_FEED("max_subscribers = -1\n"), "a.ini:6", "expected 0, or a number from 1"},
		{IN_LISTENER("send_buffer = 1\n"), "a.ini:6",
		 "expected 0, or a size from 4k to 64m"},
		{IN_LISTENER("congestion = new reno\n"), "a.ini:6",
		 "at most 15 bytes without blanks"},
		{FEED "[listener l]\nfeed = a\nlisten = 127.0.0.1:7001\n", "a.ini:5",
		 "expected tcp:HOST:PORT"},
	};

	check_each(*state, rows, ARRAY_LEN(rows));
}

/* Errors go into logs.  The value stands behind its key and in the reason, without user and
 * password. */
static void errors_keep_secrets(void **state)
{
	static const struct {
		const char *line, *shown;
	} rows[] = {
		{"ingest = connect tcp:joe:pass@w@host:80\n", "'connect tcp:*@host:80' for"},
		{"ingest = connect http://joe:pa/ssw@host/x\n", "'connect http://*@host/x' for"},
		{"ingest = connect http://h/x?access_token=passw&a=1\n",
		 "'connect http://h/x?access_token=*&a=1' for"},
		{"ingest = connect tcp:a:1, tcp:passw@b\n", "'connect tcp:a:1, tcp:*@b' for"},
		{"ingest = connect relay@b\n", "'connect relay@b' for"},
		{"ingest = connect tcp:@b\n", "'connect tcp:@b' for"},
		{"ingest = listen udp:/run/relay@x/s\n", "'listen udp:/run/relay@x/s' for"},
	};
	struct config_rig *rig = *state;
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)snprintf(text, sizeof(text),
			       "[feed a]\n%s[listener l]\nfeed = a\n"
			       "listen = tcp:*:0\n",
			       rows[i].line);
		config_rig_check_only_error(rig, text, "a.ini:2", rows[i].shown);
		assert_null(strstr(rig->errors.list[0].text, "passw"));
		assert_null(strstr(rig->errors.list[0].text, "ssw@"));
	}
	config_rig_check_only_error(rig, IN_LISTENER("format = http\ntoken_file = passw ord\n"),
				    "a.ini:7", "bad value for 'token_file'; expected at most");
}

static void bad_sections_are_refused(void **state)
{
	static const struct bad_text rows[] = {
		{IN_FEED("[feed b\nfoo = 1\n"), "a.ini:6", "unterminated section"},
		{IN_FEED("[feed b] x\nfoo = 1\n"), "a.ini:6", "text after the section"},
		{IN_FEED("[fed b]\nfoo = 1\n"), "a.ini:6",
		 "unknown section [fed b]; did you mean 'feed'?"},
		{IN_FEED("[]\n"), "a.ini:6", "unknown section []"},
		{IN_FEED("[feed]\n"), "a.ini:6", "bad name ''"},
		{IN_FEED("[feed b c]\n"), "a.ini:6", "bad name 'b c'"},
		{IN_FEED("[feed x23456789012345678901234567890123456789012345678901234567"
			 "89012345]\n"),
		 "a.ini:6", "expected 1 to 64 characters"},
		{IN_FEED("[relay x]\n"), "a.ini:6", "[relay] has no name"},
		{IN_FEED("[relay]\n[relay]\n"), "a.ini:7", "duplicate section [relay]"},
		{IN_FEED("[feed  a] # same\n"), "a.ini:6",
		 "duplicate section [feed a]; the first one is in line 4"},
		{IN_LISTENER("[listener l]\n"), "a.ini:6", "duplicate section [listener l]"},
	};

	check_each(*state, rows, ARRAY_LEN(rows));
	config_rig_load(*state, IN_FEED("\n[ relay ]  ; fine\n"));
}

static void what_is_missing_is_told(void **state)
{
	static const struct bad_text rows[] = {
		{"", "a.ini", "there is nothing to relay"},
		{IN_FEED("history = h\n"), "a.ini:6", "not an absolute path"},
		{IN_FEED("history_age = 1h\n"), "a.ini:6", "there is no history"},
		{IN_FEED("history = /h\nhistory_age = 1h\nburst = 2h\n"), "a.ini:8",
		 "burst = 2h is longer than history_age = 1h"},
		{IN_FEED("on_slow = replay\n"), "a.ini:6",
		 "on_slow = replay goes on from the history"},
		{IN_FEED("history = /h\nhistory_size = 8m\nhistory_file = 4m\n"), "a.ini:8",
		 "more than a quarter of history_size = 8m"},
		{IN_FEED("history = /h\n[feed b]\ningest = fifo:b\nhistory = /h\n"
			 "[listener m]\nfeed = b\nlisten = unix:m\n"),
		 "a.ini:9", "history = /h is that of [feed a] as well"},
		{LISTENER "[feed a]\n", "a.ini:4", "[feed a] has no 'ingest'"},
		{IN_FEED("[listener m]\nlisten = unix:x\n"), "a.ini:6",
		 "[listener m] has no 'feed'"},
		{IN_FEED("[listener m]\nfeed = a\n"), "a.ini:6", "[listener m] has no 'listen'"},
		{FEED, "a.ini:1", "no listener serves [feed a]"},
		{IN_FEED("[listener m]\nlisten = unix:x\nfeed = aa\n"), "a.ini:8",
		 "there is no [feed aa]; did you mean 'a'?"},
		{IN_FEED("[listener m]\nlisten = unix:x\nfeed = quite\n"), "a.ini:8",
		 "there is no [feed quite]; expected the name of a feed"},
	};

	check_each(*state, rows, ARRAY_LEN(rows));
}

static void contradictions_are_refused(void **state)
{
	struct config_rig *rig = *state;

	config_rig_check_only_error(rig, IN_FEED("ring = 128k\n"), "a.ini:6",
				    "segment = 512k does not fit");
	config_rig_check_only_error(rig, IN_FEED("ring = 512k\nsegment = 1m\n"), "a.ini:7",
				    "does not fit into ring = 512k");
	config_rig_check_only_error(rig, IN_FEED("max_lag = 9m\n"), "a.ini:6", "never be reached");
	config_rig_check_only_error(rig, IN_FEED("ring = 1m\nburst = 1025k\n"), "a.ini:7",
				    "burst = 1025k is more than ring = 1m ever has");
	config_rig_check_only_error(
		rig, IN_LISTENER("burst = 8193k\n"), "a.ini:6",
		"burst = 8193k is more than the ring of [feed a] ever has (8m)");
	config_rig_load(rig, IN_FEED("ring = 1m\nburst = 1024k\n"));
	config_rig_check_only_error(rig, IN_FEED("framing = fixed:20m\n"), "a.ini:6",
				    "max_message = 16m");
	config_rig_check_only_error(rig, IN_FEED("rate = 1m\n"), "a.ini:6", "file:PATH only");
	config_rig_check_only_error(rig, IN_FEED("direct = yes\n"), "a.ini:6", "file:PATH only");
	config_rig_check_only_error(rig, IN_FEED("on_slow = skip\n"), "a.ini:6",
				    "[listener l] is raw");
	config_rig_check_only_error(rig, IN_LISTENER("on_slow = skip\n"), "a.ini:6",
				    "[listener l] is raw");
	config_rig_load(rig, IN_LISTENER("on_slow = skip\nformat = framed\n"));
	config_rig_load(rig, IN_FEED("on_slow = skip\nframing = line\n"));
	config_rig_check_only_error(rig, IN_LISTENER("format = http\non_slow = skip\n"), "a.ini:7",
				    "[listener l] is http");
	config_rig_load(rig, IN_LISTENER("format = http\n"));
	config_rig_check_only_error(rig, IN_LISTENER("origins = *\n"), "a.ini:6",
				    "origins is for format = http only");
	config_rig_check_only_error(rig, IN_LISTENER("token_file = t\n"), "a.ini:6",
				    "token_file is for format = http only");
	config_rig_check_only_error(rig, IN_LISTENER("format = http\ntoken_file = credential:\n"),
				    "a.ini:7", "names no credential");
	config_rig_check_only_error(rig, IN_LISTENER("publish_token_file = t\n"), "a.ini:6",
				    "publish_token_file is for format = http only");
	config_rig_check_only_error(
		rig, IN_LISTENER("format = http\npublish = yes\npublish_token_file = t\n"),
		"a.ini:7", "no feed of this listener has ingest = http");
	config_rig_check_only_error(rig, IN_LISTENER("format = http\npublish_token_file = t\n"),
				    "a.ini:7", "publish_token_file is for publish = yes only");
	config_rig_check_only_error(rig, PUBLISHED("publish = yes\n"), "a.ini:7",
				    "publish = yes needs publish_token_file");
	config_rig_check_only_error(
		rig, PUBLISHED("publish = yes\npublish_token_file = t\ntoken_file = t\n"),
		"a.ini:8", "the file of token_file");
	config_rig_check_only_error(
		rig, PUBLISHED("publish = yes\npublish_token_file = credential:\n"), "a.ini:8",
		"publish_token_file = credential: names no credential");
	config_rig_check_only_error(rig, PUBLISHED(""), "a.ini:2",
				    "is published to at no listener");
	config_rig_load(rig, PUBLISHED("publish = yes\npublish_token_file = t\n"));
	config_rig_check_only_error(rig, IN_LISTENER("format = http\nproxy_header = forwarded\n"),
				    "a.ini:7", "proxy_header is for trusted_proxies only");
	config_rig_load(
		rig,
		IN_LISTENER("format = http\nproxy_header = forwarded\ntrusted_proxies = ::1\n"));
	config_rig_check_only_error(
		rig, IN_LISTENER("trusted_proxies = ::1\nproxy_header = forwarded\n"), "a.ini:7",
		"proxy_header = forwarded is for format = http only; expected proxy");
	config_rig_check_only_error(rig, IN_LISTENER("max_heads = 3\n"), "a.ini:6",
				    "max_heads is for format = http or trusted_proxies only");
	config_rig_check_only_error(rig, IN_LISTENER("max_combinations = 3\n"), "a.ini:6",
				    "max_combinations is for format = http only");
	config_rig_load(rig, IN_LISTENER("trusted_proxies = ::1\nhead_timeout = 3s\n"));
	config_rig_load(rig, IN_LISTENER("gaps = no\norigins = none\nmax_heads = 256\n"));
	config_rig_check_only_error(rig, IN_LISTENER("content_type = a/b\n"), "a.ini:6",
				    "content_type is for format = http only");
	config_rig_check_only_error(rig, IN_LISTENER("http_fields = a: b\n"), "a.ini:6",
				    "http_fields is for format = http only");
	config_rig_load(rig, IN_FEED("content_type = a/b\nhttp_fields = a: b\n"));
	config_rig_check_only_error(rig,
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
		{"systemd:x", "systemd:x", true},
		{"systemd:x", "systemd:y", false},
		{"systemd:x", "unix:x", false},
	};
	struct config_rig *rig = *state;
	char text[1024];

	for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		bool is_swapped = i % 2;

		snprintf(text, sizeof(text),
			 FEED "[listener l]\nfeed = a\nlisten = %s\n"
			      "[listener m]\nfeed = a\nlisten = %s\n",
			 is_swapped ? rows[i / 2].b : rows[i / 2].a,
			 is_swapped ? rows[i / 2].a : rows[i / 2].b);
		if (rows[i / 2].clash)
			config_rig_check_only_error(rig, text, "a.ini:8",
						    "is taken by [listener l]");
		else
			config_rig_load(rig, text);
	}
	config_rig_check_only_error(rig, "[feed a]\ningest = listen tcp:127.0.0.1:7001\n" LISTENER,
				    "a.ini:5", "is taken by [feed a]");
}

/* Others of the port and of other kinds lie in between; the first one that clashes is named. */
static void a_clash_is_found_among_many(void **state)
{
	config_rig_check_only_error(*state,
				    "[feed a]\ningest = listen unix:/a\n"
				    "[listener k]\nfeed = a\nlisten = tcp:127.0.0.2:7002\n"
				    "[listener l]\nfeed = a\nlisten = tcp:127.0.0.1:7001\n"
				    "[listener m]\nfeed = a\nlisten = unix:/b\n"
				    "[listener n]\nfeed = a\nlisten = tcp:127.0.0.2:7001\n"
				    "[listener o]\nfeed = a\nlisten = systemd:c\n"
				    "[listener p]\nfeed = a\nlisten = tcp:127.0.0.1:7003\n"
				    "[listener q]\nfeed = a\nlisten = tcp:*:7001\n",
				    "a.ini:23", "is taken by [listener l]");
}

static void all_errors_are_told_in_order(void **state)
{
	struct config_rig *rig = *state;

	assert_int_equal(config_rig_load_with(rig,
					      "[feed a]\n"  /* 1: no ingest, and no listener */
					      "rign = 8m\n" /* 2 */
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
	config_rig_check_error(rig, 0, "a.ini:1", "has no 'ingest'");
	config_rig_check_error(rig, 1, "a.ini:1", "no listener serves");
	config_rig_check_error(rig, 2, "a.ini:2", "did you mean 'ring'?");
	config_rig_check_error(rig, 3, "a.ini:3", "bad value 'maybe'");
	config_rig_check_error(rig, 4, "a.ini:4", "duplicate section");
	config_rig_check_error(rig, 5, "a.ini:5", "bad value '1'");
	config_rig_check_error(rig, 6, "a.ini:7", "there is no [feed b]; did you mean 'a'?");
	config_rig_check_error(rig, 7, "a.ini:9", "has no 'feed'");
	config_rig_check_error(rig, 8, "a.ini:10", "is taken by [listener l]");
	config_rig_check_error(rig, 9, "-o relay.drian=1s", "did you mean 'drain'?");
}

static void too_many_errors_are_counted(void **state)
{
	struct config_rig *rig = *state;
	char text[6000];

	memset(text, 0, sizeof(text));
	for (size_t i = 0; i < 2500; i++)
		memcpy(text + 2 * i, "x\n", 2);
	assert_int_equal(config_rig_load_with(rig, text, NULL), -EINVAL);
	assert_int_equal(rig->errors.count, 1000);
	assert_int_equal(rig->errors.total, 2501);
}

static void what_cannot_be_read_is_named(void **state)
{
	struct config_rig *rig = *state;

	assert_int_equal(config_load("a.ini", NULL, 0, &rig->config, &rig->errors), -ENOENT);
	assert_int_equal(rig->errors.count, 1);
	config_rig_check_error(rig, 0, "a.ini", "No such file or directory");
	config_rig_forget(rig);
	assert_int_equal(config_load(rig->dir, NULL, 0, &rig->config, &rig->errors), -EISDIR);
	config_rig_check_error(rig, 0, rig->dir, "Is a directory");
	assert_null(rig->config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONFIG_TEST(bad_lines_are_refused_each_with_its_line),
		CONFIG_TEST(bad_values_are_refused_with_what_was_expected),
		CONFIG_TEST(errors_keep_secrets),
		CONFIG_TEST(bad_sections_are_refused),
		CONFIG_TEST(what_is_missing_is_told),
		CONFIG_TEST(contradictions_are_refused),
		CONFIG_TEST(addresses_are_had_once),
		CONFIG_TEST(a_clash_is_found_among_many),
		CONFIG_TEST(all_errors_are_told_in_order),
		CONFIG_TEST(too_many_errors_are_counted),
		CONFIG_TEST(what_cannot_be_read_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
