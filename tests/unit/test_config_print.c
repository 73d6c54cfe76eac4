// SPDX-License-Identifier: MIT
/*
 * config/: what a reload changes, and that what is printed loads to the same values.
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

#include "config/config.h"
#include "tests/unit/config_rig.h"

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
	struct config_rig *rig = *state;
	const struct config_option *options[CONFIG_SECTION_OPTIONS];
	struct config_change *changes;
	struct config *old;
	size_t count;

	config_rig_load(rig, IN_FEED("[feed gone]\ningest = fifo:f\n[listener g]\nfeed = gone\n"
				     "listen = unix:x\n"));
	old = rig->config;
	rig->config = NULL;
	config_rig_load(
		rig, "[relay]\nlog_level = warn\n" IN_FEED(
			     "framing = line\nring = 16m\nburst = 64k\n[listener new]\nfeed = a\n"
			     "listen = unix:y\n"));

	assert_int_equal(config_differs_feed(&old->feeds[0], &old->feeds[0], options), 0);
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
	struct config_rig *rig = *state;
	FILE *file = fopen("b.ini", "we");

	assert_non_null(file);
	config_print_example(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(config_load("b.ini", NULL, 0, &rig->config, &rig->errors), 0);
	assert_int_equal(rig->config->feed_count, 1);
	assert_int_equal(rig->config->listener_count, 3);
	assert_string_equal(rig->config->feeds[0].ingest.text, "listen tcp:127.0.0.1:7000");
}

/* The example with the '#' gone from all settings: the same values as with it. */
static void the_commented_settings_of_the_example_are_the_defaults(void **state)
{
	struct config_rig *rig = *state;
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
	config_rig_load(rig, text);
	plain = rig->config;
	rig->config = NULL;
	config_rig_load(rig, active);
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
	struct config_rig *rig = *state;
	struct config_change *changes;
	struct config *first;
	size_t count;
	FILE *file;

	assert_int_equal(
		config_rig_load_with(
			rig,
			IN_FEED("burst = 5120k\nmax_lag_time = 1500ms\n"
				"framing = fixed:188\ncontent_type = text/plain; a=b\n"
				"http_fields = A: b | C: d\n[listener m]\nfeed = a\n"
				"listen = unix:/a b\ncongestion = cubic\nburst = 300s\n"
				"[listener n]\nfeed = a\nlisten = unix:/n\nformat = http\n"
				"http_fields =\n[listener o]\nfeed = all\nlisten = unix:/o\n"
				"format = http\n[feed g]\n"
				"ingest = connect ntrip://h/M\nntrip_gga = -0.5, 180, -20.005\n"
				"[listener p]\nfeed = g\nlisten = unix:/p\n"),
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
	struct config_rig *rig = *state;
	size_t bytes;
	char *text;
	FILE *file = open_memstream(&text, &bytes);

	assert_non_null(file);
	assert_int_equal(config_rig_load_with(rig, IN_FEED("burst = 1k\n"), "feed a.ring=12m"), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONFIG_TEST(a_reload_knows_what_has_changed),
		CONFIG_TEST(the_example_loads),
		CONFIG_TEST(the_commented_settings_of_the_example_are_the_defaults),
		CONFIG_TEST(what_is_in_effect_loads_to_the_same),
		CONFIG_TEST(origins_are_printed),
		CONFIG_TEST(keys_are_explained),
		CONFIG_TEST(the_rows_of_the_table_are_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
