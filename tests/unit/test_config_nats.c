// SPDX-License-Identifier: MIT
/* [nats], and feeds that are read from there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config_rig.h"

#define NATS        "[nats]\nservers = nats://a:4222, tls://b:4222\n" /* 2 lines */
#define STREAM      "[feed a]\ningest = jetstream:S\n"                /* 2 lines */
#define IN_NATS(l)  LISTENER STREAM NATS l                            /* from line 8 on */
#define READING(l)  LISTENER NATS STREAM l                            /* from line 8 on */
#define PLAIN(text) LISTENER NATS "[feed a]\ningest = " text "\n"     /* the ingest is in line 7 */

static void a_stream_and_a_subject_are_read(void **state)
{
	struct config_rig *rig = *state;
	const struct config_feed *feed;

	config_rig_load(rig, READING("subject = x.>\nbackfill = 1h\nsession = 4294967295\n"));
	feed = &rig->config->feeds[0];
	assert_true(config_is_nats(feed));
	assert_int_equal(feed->ingest.kind, CONFIG_INGEST_JETSTREAM);
	assert_string_equal(feed->ingest.addresses[0], "S");
	assert_int_equal(feed->framing.kind, FRAMING_RELAY);
	assert_int_equal(feed->backfill, 3600000);
	config_rig_load(rig, PLAIN("nats:prices.*.x"));
	assert_int_equal(rig->config->feeds[0].ingest.kind, CONFIG_INGEST_NATS);
	assert_string_equal(rig->config->feeds[0].ingest.addresses[0], "prices.*.x");
	config_rig_load(rig, READING("framing = relay\n"));
}

static void names_are_those_of_nats(void **state)
{
	struct config_rig *rig = *state;

	config_rig_check_only_error(rig, PLAIN("jetstream:a.b"), "a.ini:7", "no name of a stream");
	config_rig_check_only_error(rig, PLAIN("jetstream:a b"), "a.ini:7", "it has a ' ' in it");
	config_rig_check_only_error(rig, PLAIN("nats:a b"), "a.ini:7", "no subject");
	config_rig_check_only_error(rig, PLAIN("nats:"), "a.ini:7", "nothing behind 'nats:'");
}

static void options_of_a_stream_are_for_streams(void **state)
{
	struct config_rig *rig = *state;

	config_rig_check_only_error(rig, PLAIN("nats:x") "backfill = 1h\n", "a.ini:8",
				    "backfill is for ingest = jetstream:STREAM only");
	config_rig_check_only_error(rig, IN_FEED("subject = x\n"), "a.ini:6",
				    "subject is for ingest = jetstream:STREAM only");
	config_rig_check_only_error(rig, READING("framing = line\n"), "a.ini:8",
				    "framing is not for ingest = nats and jetstream");
}

static void a_feed_needs_servers(void **state)
{
	config_rig_check_only_error(*state, LISTENER STREAM, "a.ini:5",
				    "expected servers = nats://HOST:PORT in [nats]");
}

static void servers_are_urls_without_a_user(void **state)
{
	struct config_rig *rig = *state;

	config_rig_check_only_error(rig, LISTENER STREAM "[nats]\nservers = a:4222\n", "a.ini:7",
				    "'a:4222' is no server");
	config_rig_check_only_error(rig, LISTENER STREAM "[nats]\nservers = nats://joe:pw@a:4222\n",
				    "a.ini:7", "expected user and password_file");
	assert_null(strstr(rig->errors.list[0].text, "joe"));
}

static void there_is_one_way_to_say_who_relay_is(void **state)
{
	struct config_rig *rig = *state;

	config_rig_load(rig, IN_NATS("user = joe\npassword_file = credential:pw\n"));
	config_rig_check_only_error(rig, IN_NATS("user = joe\n"), "a.ini:8", "needs password_file");
	config_rig_check_only_error(rig, IN_NATS("password_file = /x\n"), "a.ini:8",
				    "expected user = NAME");
	config_rig_check_only_error(rig, IN_NATS("token_file = /x\ncredentials_file = /y\n"),
				    "a.ini:6", "expected one of them");
}

#define FORWARD "forward = jetstream:S\n" /* in line 6, behind the ingest */
#define TO_X    "forward_subject = x\n"

static void a_feed_is_forwarded(void **state)
{
	struct config_rig *rig = *state;

	config_rig_load(rig, IN_FEED(FORWARD TO_X "forward_ack = none\n") NATS);
	assert_string_equal(config_forward_stream(&rig->config->feeds[0]), "S");
	config_rig_load(rig, IN_FEED(""));
	assert_null(config_forward_stream(&rig->config->feeds[0]));
	config_rig_load(rig, READING("forward = jetstream:T\n" TO_X));
	/* Without a listener, too. */
	config_rig_load(rig, NATS "[feed a]\ningest = stdin\n" FORWARD TO_X);
}

static void what_is_forwarded_needs_a_stream_a_subject_and_servers(void **state)
{
	struct config_rig *rig = *state;

	config_rig_check_only_error(rig, IN_FEED(FORWARD) NATS, "a.ini:6",
				    "expected forward_subject = SUBJECT");
	config_rig_check_only_error(rig, IN_FEED(FORWARD TO_X), "a.ini:6",
				    "expected servers = nats://HOST:PORT in [nats]");
	config_rig_check_only_error(rig, IN_FEED("forward = S\n" TO_X) NATS, "a.ini:6",
				    "'S' is no stream; expected forward = jetstream:STREAM");
	config_rig_check_only_error(rig, IN_FEED("forward = jetstream:a.b\n" TO_X) NATS, "a.ini:6",
				    "expected forward = jetstream:STREAM");
	config_rig_check_only_error(rig, IN_FEED(FORWARD "forward_subject = x.>\n") NATS, "a.ini:7",
				    "'x.>' is no subject to publish to");
	config_rig_check_only_error(rig, IN_FEED(TO_X), "a.ini:6",
				    "forward_subject is for feeds with forward");
	config_rig_check_only_error(rig, READING(FORWARD TO_X), "a.ini:8",
				    "stream S would be forwarded into itself");
	config_rig_check_only_error(
		rig, IN_FEED(FORWARD TO_X) NATS "[feed b]\ningest = file:/x\n" FORWARD TO_X,
		"a.ini:13", "forward_subject = x is that of [feed a] as well");
}

static void waiting_for_a_stream_takes_two_feeds(void **state)
{
	config_rig_check_only_error(
		*state, IN_FEED(FORWARD TO_X "forward_ack = wait\n") NATS, "a.ini:8",
		"expected [feed a] without forward_ack, with on_slow = wait and no "
		"listeners, and listeners of "
		"another feed with ingest = jetstream:S and subject = x (nats.md)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONFIG_TEST(a_stream_and_a_subject_are_read),
		CONFIG_TEST(names_are_those_of_nats),
		CONFIG_TEST(options_of_a_stream_are_for_streams),
		CONFIG_TEST(a_feed_needs_servers),
		CONFIG_TEST(servers_are_urls_without_a_user),
		CONFIG_TEST(there_is_one_way_to_say_who_relay_is),
		CONFIG_TEST(a_feed_is_forwarded),
		CONFIG_TEST(what_is_forwarded_needs_a_stream_a_subject_and_servers),
		CONFIG_TEST(waiting_for_a_stream_takes_two_feeds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
