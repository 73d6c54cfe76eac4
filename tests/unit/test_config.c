// SPDX-License-Identifier: MIT
/*
 * config/: what a file and the command line give, and how long lines and names may be.
 */
#include <errno.h>
#include <limits.h>
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

/* --- what a file gives --- */

static void defaults_are_those_of_the_table(void **state)
{
	struct config_rig *rig = *state;
	const struct config_feed *feed;
	const struct config_listener *listener;

	config_rig_load(rig, IN_FEED(""));
	assert_int_equal(rig->config->relay.turn_budget, 2);
	assert_int_equal(rig->config->relay.drain, 10000);
	assert_int_equal(rig->config->relay.log_level, LOG_LEVEL_INFO);
	assert_int_equal(rig->config->feed_count, 1);
	feed = config_find_feed(rig->config, "a");
	assert_ptr_equal(feed, rig->config->feeds);
	assert_int_equal(feed->ingest.kind, CONFIG_INGEST_STDIN);
	assert_int_equal(feed->framing.kind, FRAMING_NONE);
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
	assert_true(listener->input_rate == CONFIG_AUTO);
	assert_null(config_find_feed(rig->config, "b"));
	assert_null(config_find_listener(rig->config, "a"));
}

static void values_of_all_types_are_read(void **state)
{
	struct config_rig *rig = *state;
	const struct config_feed *feed;

	config_rig_load(rig,
			"\xef\xbb\xbf[relay]\r\n"
			"log_level = debug\r\n" IN_FEED("framing = fixed:188\n"
							"ring=16m\n"
							"burst\t=\t90s\t; blank and semicolon\n"
							"  # an indented comment\n"
							"heartbeat = 0 # none\n"
							"on_slow = wait\n"
							"max_subscribers = 5"));
	feed = &rig->config->feeds[0];
	assert_int_equal(rig->config->relay.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(feed->framing.kind, FRAMING_FIXED);
	assert_int_equal(feed->framing.fixed_bytes, 188);
	assert_int_equal(feed->ring, 16 << 20);
	assert_int_equal(feed->burst.bytes, 0);
	assert_int_equal(feed->burst.ms, 90000);
	assert_int_equal(feed->heartbeat, 0);
	assert_int_equal(feed->on_slow, CONFIG_ON_SLOW_WAIT);
	assert_int_equal(feed->max_subscribers, 5);
	config_rig_load(rig, IN_FEED("burst = 64k\nframing = u32le\n"));
	assert_int_equal(rig->config->feeds[0].burst.bytes, 65536);
	assert_int_equal(rig->config->feeds[0].burst.ms, 0);
	assert_int_equal(rig->config->feeds[0].framing.kind, FRAMING_U32LE);
}

static void check_position(struct config_rig *rig, const char *text, int32_t latitude_e7,
			   int32_t longitude_e7, int32_t altitude_cm)
{
	const struct config_position *position;
	char file[1024];

	snprintf(file, sizeof(file),
		 LISTENER "[feed a]\ningest = connect ntrip://h/M\nntrip_gga = %s\n", text);
	config_rig_load(rig, file);
	position = &rig->config->feeds[0].ntrip_gga;
	assert_true(position->is_known);
	assert_int_equal(position->latitude_e7, latitude_e7);
	assert_int_equal(position->longitude_e7, longitude_e7);
	assert_int_equal(position->altitude_cm, altitude_cm);
}

static void positions_are_read(void **state)
{
	check_position(*state, "48.1371, 11.5754, 520", 481371000, 115754000, 52000);
	check_position(*state, "-0.5,+0", -5000000, 0, 0);
	check_position(*state, "90 , -180 ,\t-20.005", 900000000, -1800000000, -2000);
	check_position(*state, "1.23456789, 007.00000009, 20000.00", 12345678, 70000000, 2000000);
	config_rig_load(*state, IN_FEED("ntrip_gga = none\n"));
}

static void check_ingest(struct config_rig *rig, const char *text, enum config_ingest_kind kind,
			 const char *const *addresses)
{
	const struct config_ingest *ingest;
	char file[1024];
	size_t count = 0;

	snprintf(file, sizeof(file), LISTENER "[feed a]\ningest = %s\n", text);
	config_rig_load(rig, file);
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
	check_ingest(*state, "listen systemd:in", CONFIG_INGEST_LISTEN, LIST("systemd:in"));
	check_ingest(*state, "connect unix:@abstract", CONFIG_INGEST_CONNECT,
		     LIST("unix:@abstract"));
	check_ingest(*state, "udp:127.0.0.1:5000", CONFIG_INGEST_UDP,
		     LIST("127.0.0.1", "5000", "", ""));
	check_ingest(*state, "udp:*:5000", CONFIG_INGEST_UDP, LIST("", "5000", "", ""));
	check_ingest(*state, "udp:[::1]:5000", CONFIG_INGEST_UDP, LIST("::1", "5000", "", ""));
	check_ingest(*state, "udp:239.1.2.3%eth0:5000", CONFIG_INGEST_UDP,
		     LIST("239.1.2.3", "5000", "eth0", ""));
	check_ingest(*state, "udp:192.0.2.1@232.1.2.3:5000", CONFIG_INGEST_UDP,
		     LIST("232.1.2.3", "5000", "", "192.0.2.1"));
	check_ingest(*state, "udp:2001:db8::1@[ff35::1%eth0]:5000", CONFIG_INGEST_UDP,
		     LIST("ff35::1", "5000", "eth0", "2001:db8::1"));
	check_ingest(*state, "serial:/dev/ttyUSB0", CONFIG_INGEST_SERIAL, LIST("/dev/ttyUSB0"));
	check_ingest(*state, "tail:/var/log/a b", CONFIG_INGEST_TAIL, LIST("/var/log/a b"));
	check_ingest(*state, "fifo:/run/f", CONFIG_INGEST_FIFO, LIST("/run/f"));
	check_ingest(*state, "file:some file", CONFIG_INGEST_FILE, LIST("some file"));
	check_ingest(*state, "stdin", CONFIG_INGEST_STDIN, LIST());
	config_rig_load(*state, PUBLISHED("publish = yes\npublish_token_file = t\n"));
	assert_int_equal(((struct config_rig *)*state)->config->feeds[0].ingest.kind,
			 CONFIG_INGEST_HTTP);
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
		{"connect systemd:in", "can be listened on, not connected to"},
		{"listen systemd:", "name is missing"},
		{"listen systemd:a:b", "is not a name that FileDescriptorName= can have"},
		{"connect unix:", "path is missing"},
		{"fifo:", "nothing behind 'fifo:'"},
		{"udp:", "nothing behind 'udp:'"},
		{"udp:localhost:5", "'localhost' is no address in numbers"},
		{"udp:127.0.0.1", "is no port"},
		{"udp:127.0.0.1:0", "'0' is no port"},
		{"udp:127.0.0.1:65536", "'65536' is no port"},
		{"udp:[127.0.0.1]:5", "is no address in numbers"},
		{"udp:::1:5", "is no address in numbers"},
		{"udp:127.0.0.1%lo:5", "for multicast groups and IPv6"},
		{"udp:239.1.2.3%sixteen-letters-x:5", "is no name of an interface"},
		{"udp:127.0.0.2@127.0.0.1:5", "for multicast groups only"},
		{"udp:::1@232.1.2.3:5", "of the group's family"},
		{"fifo /run/f", "expected listen"},
		{"stdin 5", "text behind 'stdin'"},
		{"http tcp:a:1", "text behind 'http'"},
		{"", "it is empty"},
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char file[1024];

		snprintf(file, sizeof(file), LISTENER "[feed a]\ningest = %s\n", texts[i][0]);
		config_rig_check_only_error(*state, file, "a.ini:5", texts[i][1]);
	}
}

static void listeners_have_the_values_of_their_feed(void **state)
{
	struct config_rig *rig = *state;
	const struct config_listener *listener;

	config_rig_load(rig, IN_FEED("framing = line\nburst = 5s\n"));
	listener = &rig->config->listeners[0];
	assert_int_equal(listener->burst.ms, 5000);
	assert_int_equal(listener->on_slow, CONFIG_ON_SLOW_SKIP);
	assert_true(listener->section.origins[CONFIG_LISTENER_burst].inherited);
	assert_int_equal(listener->section.origins[CONFIG_LISTENER_burst].line, 7);
	assert_false(config_is_set(&listener->section, CONFIG_LISTENER_burst));
	config_rig_load(rig, IN_FEED(""));
	assert_int_equal(rig->config->listeners[0].on_slow, CONFIG_ON_SLOW_DISCONNECT);
	config_rig_load(rig, IN_LISTENER("format = framed\n"));
	assert_int_equal(rig->config->listeners[0].on_slow, CONFIG_ON_SLOW_SKIP);
	config_rig_load(rig, IN_LISTENER("on_slow = wait\nburst = 0\n"));
	assert_int_equal(rig->config->listeners[0].on_slow, CONFIG_ON_SLOW_WAIT);
	assert_true(config_is_set(&rig->config->listeners[0].section, CONFIG_LISTENER_burst));
}

static void ports_of_zero_never_clash(void **state)
{
	config_rig_load(*state, "[feed a]\ningest = listen tcp:127.0.0.1:0\n"
				"[listener l]\nfeed = a\nlisten = tcp:127.0.0.1:0\n"
				"[listener m]\nfeed = a\nlisten = tcp:*:0\n");
}

/* --- [admin] --- */

static void admin_is_there_when_it_is_named(void **state)
{
	struct config_rig *rig = *state;

	config_rig_load(rig, IN_FEED(""));
	assert_false(config_has_admin(rig->config));
	config_rig_load(rig, IN_FEED("[admin]\n"));
	assert_true(config_has_admin(rig->config));
	assert_string_equal(rig->config->admin.listen, "tcp:127.0.0.1:7090");
	assert_string_equal(rig->config->admin.socket, "auto");
	assert_int_equal(config_rig_load_with(rig, IN_FEED(""), "admin.listen=none"), 0);
	assert_true(config_has_admin(rig->config));
	assert_string_equal(rig->config->admin.listen, "none");
}

static void admin_addresses_are_of_their_kind(void **state)
{
	struct config_rig *rig = *state;

	config_rig_check_only_error(rig, IN_FEED("[admin]\nlisten = unix:/x\n"), "a.ini:7",
				    "socket = unix:/x");
	config_rig_check_only_error(rig, IN_FEED("[admin]\nsocket = tcp:127.0.0.1:1\n"), "a.ini:7",
				    "unix:PATH");
	config_rig_check_only_error(rig, IN_FEED("[admin]\nlisten = auto\n"), "a.ini:7", "listen");
	config_rig_check_only_error(rig, IN_FEED("[admin x]\n"), "a.ini:6", "no name");
	config_rig_check_only_error(rig, IN_FEED("[admin]\n[admin]\n"), "a.ini:7", "duplicate");
	config_rig_check_only_error(rig, IN_FEED("[admin]\nlisten = tcp:127.0.0.1:7001\n"),
				    "a.ini:3", "taken by [admin]");
}

/* --- limits --- */

static void names_of_64_bytes_are_not_cut(void **state)
{
	struct config_rig *rig = *state;
#define LONG "x2345678901234567890123456789012345678901234567890123456789012"

	config_rig_load(rig,
			"[feed " LONG ".1]\ningest = stdin\n[feed " LONG ".2]\ningest = fifo:f\n"
			"[listener 1]\nfeed = " LONG ".1\nlisten = tcp:a:1\n"
			"[listener 2]\nfeed = " LONG ".2\nlisten = tcp:a:2\n");
	assert_int_equal(strlen(rig->config->feeds[1].section.name), 64);
	assert_int_equal(rig->config->feeds[1].ingest.kind, CONFIG_INGEST_FIFO);
}

/* FEED and LISTENER, and a comment of so many bytes in line 6. */
static void write_long_line(struct config_rig *rig, size_t bytes, const char *end)
{
	char line[CONFIG_LINE_BYTES + 2], text[CONFIG_LINE_BYTES + 256];

	(void)rig;
	memset(line, 'x', bytes);
	line[0] = '#';
	line[bytes] = '\0';
	snprintf(text, sizeof(text), "%s%s%s", IN_FEED(""), line, end);
	config_rig_write_file("a.ini", text, strlen(text));
}

static void long_lines_are_read_up_to_the_limit(void **state)
{
	struct config_rig *rig = *state;
	char path[101], text[4400];

	write_long_line(rig, CONFIG_LINE_BYTES, "\n");
	assert_int_equal(config_load("a.ini", NULL, 0, &rig->config, &rig->errors), 0);
	config_rig_forget(rig);
	write_long_line(rig, CONFIG_LINE_BYTES, "");
	assert_int_equal(config_load("a.ini", NULL, 0, &rig->config, &rig->errors), 0);
	config_rig_forget(rig);
	write_long_line(rig, CONFIG_LINE_BYTES + 1, "\nring = x\n");
	assert_int_equal(config_load("a.ini", NULL, 0, &rig->config, &rig->errors), -EINVAL);
	assert_int_equal(rig->errors.count, 2);
	config_rig_check_error(rig, 0, "a.ini:6",
			       "overlong line of 4097 bytes; expected at most 4096");
	config_rig_check_error(rig, 1, "a.ini:7", "bad value 'x'");

	/* longer than a buffer of inih as packaged */
	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	snprintf(text, sizeof(text),
		 LISTENER "[feed a]\ningest = file:%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s\n",
		 path, path, path, path, path, path, path, path, path, path, path, path, path, path,
		 path, path, path, path, path, path);
	config_rig_load(rig, text);
	assert_int_equal(strlen(rig->config->feeds[0].ingest.addresses[0]), 2000);
}

static void a_zero_byte_is_refused(void **state)
{
	static const char text[] = IN_FEED("ring = 8m\0m\n");
	struct config_rig *rig = *state;

	config_rig_write_file("a.ini", text, sizeof(text) - 1);
	assert_int_equal(config_load("a.ini", NULL, 0, &rig->config, &rig->errors), -EINVAL);
	assert_int_equal(rig->errors.count, 1);
	config_rig_check_error(rig, 0, "a.ini:6", "control byte 0x00 in column 10");
}

/* --- the command line --- */

static void overrides_win(void **state)
{
	struct config_rig *rig = *state;
	const struct config_override overrides[] = {
		{"feed a.b.ring=1m"}, {"feed a.b.ring=2m"}, {"relay.drain=1s"}};
	const struct config_feed *feed;

	assert_int_equal(config_rig_load_with(rig,
					      "[feed a.b]\ningest = stdin\nring = 4m\n"
					      "[listener l]\nfeed = a.b\nlisten = unix:x\n",
					      NULL),
			 0);
	config_rig_forget(rig);
	assert_int_equal(config_load("a.ini", overrides, 3, &rig->config, &rig->errors), 0);
	feed = config_find_feed(rig->config, "a.b");
	assert_int_equal(feed->ring, 2 << 20);
	assert_int_equal(feed->section.origins[CONFIG_FEED_ring].kind, CONFIG_ORIGIN_OVERRIDE);
	assert_int_equal(rig->config->relay.drain, 1000);
}

/* --- loading again --- */

static void its_source_is_enough_to_load_it_again(void **state)
{
	struct config_rig *rig = *state;
	const struct config_override overrides[] = {{"feed a.ring=2m"}, {"relay.drain=1s"}};
	struct config *again = NULL;

	assert_int_equal(config_rig_load_with(rig, IN_FEED("segment = 64k\n"), NULL), 0);
	config_rig_forget(rig);
	assert_int_equal(config_load("a.ini", overrides, 2, &rig->config, &rig->errors), 0);
	config_rig_write_file("a.ini", "nonsense", strlen("nonsense"));
	assert_int_equal(config_load_again(rig->config->source, rig->config->source_bytes, &again,
					   &rig->errors),
			 0);
	assert_string_equal(again->path, "a.ini");
	assert_int_equal(again->feeds[0].ring, 2 << 20);
	assert_int_equal(again->feeds[0].segment, 64 << 10);
	assert_int_equal(again->relay.drain, 1000);
	assert_int_equal(again->feeds[0].section.origins[CONFIG_FEED_ring].kind,
			 CONFIG_ORIGIN_OVERRIDE);
	assert_int_equal(again->feeds[0].section.origins[CONFIG_FEED_segment].line, 6);
	assert_int_equal(again->source_bytes, rig->config->source_bytes);
	assert_memory_equal(again->source, rig->config->source, again->source_bytes);
	config_free(&again);
}

static void half_a_source_is_refused(void **state)
{
	static const char source[] = "a.ini\0feed a.ring=2m\0\0" IN_FEED("");
	struct config_rig *rig = *state;
	struct config *again = NULL;

	for (size_t bytes = 0; bytes < strlen("a.ini") + strlen("feed a.ring=2m") + 3; bytes++)
		assert_int_equal(config_load_again(source, bytes, &again, &rig->errors), -EPROTO);
	assert_null(again);
	assert_int_equal(rig->errors.total, 0);
	assert_int_equal(config_load_again(source, sizeof(source) - 1, &rig->config, &rig->errors),
			 0);
	assert_int_equal(rig->config->feeds[0].ring, 2 << 20);
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
	struct config_rig *rig = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(config_rig_load_with(rig, IN_FEED(""), rows[i][0]), -EINVAL);
		assert_int_equal(rig->errors.count, 1);
		config_rig_check_error(rig, 0, rows[i][1], rows[i][2]);
		assert_int_equal(rig->errors.list[0].line, UINT_MAX);
	}
}

/* Values are printed everywhere; so what sounds like a secret is the path of a file. */
static void no_value_is_a_secret(void **state)
{
	static const char *const words[] = {"token", "password",   "passwd", "secret",
					    "login", "credential", "auth",   "send"};
	static const char *const harmless[] = {"send_buffer"};
	bool is_met = false;

	(void)state;
	for (size_t i = 0; i < config_option_count; i++) {
		const struct config_option *option = &config_options[i];
		bool is_secret = false;

		for (size_t j = 0; j < ARRAY_LEN(words); j++)
			is_secret = is_secret || strstr(option->key, words[j]);
		for (size_t j = 0; j < ARRAY_LEN(harmless); j++)
			is_secret = is_secret && strcmp(option->key, harmless[j]) != 0;
		if (is_secret != (option->type == CONFIG_TYPE_SECRET_FILE))
			fail_msg("%s: expected type SECRET_FILE for a secret alone", option->key);
		is_met = is_met || is_secret;
	}
	assert_true(is_met);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONFIG_TEST(defaults_are_those_of_the_table),
		CONFIG_TEST(values_of_all_types_are_read),
		CONFIG_TEST(positions_are_read),
		CONFIG_TEST(ingests_of_all_forms_are_read),
		CONFIG_TEST(bad_ingests_are_refused),
		CONFIG_TEST(listeners_have_the_values_of_their_feed),
		CONFIG_TEST(ports_of_zero_never_clash),
		CONFIG_TEST(admin_is_there_when_it_is_named),
		CONFIG_TEST(admin_addresses_are_of_their_kind),
		CONFIG_TEST(names_of_64_bytes_are_not_cut),
		CONFIG_TEST(long_lines_are_read_up_to_the_limit),
		CONFIG_TEST(a_zero_byte_is_refused),
		CONFIG_TEST(overrides_win),
		CONFIG_TEST(its_source_is_enough_to_load_it_again),
		CONFIG_TEST(half_a_source_is_refused),
		CONFIG_TEST(bad_overrides_are_refused),
		CONFIG_TEST(no_value_is_a_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
