// SPDX-License-Identifier: MIT
/*
 * What the tests of the configuration share: a directory with a file in it, and what loading that
 * file gave. Every function fails the running test when something is not as it should be.
 */
#ifndef TESTS_UNIT_CONFIG_RIG_H
#define TESTS_UNIT_CONFIG_RIG_H

#include "config/config.h"

struct config_rig {
	char dir[32]; /* the working directory */
	int fds;      /* open before the test, and so after it */
	struct config *config;
	struct config_errors errors;
};

/* Setup and teardown: *state is a struct config_rig *. */
int config_rig_begin(void **state);
int config_rig_end(void **state);

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, config_rig_begin, config_rig_end)

/* Free what the last load gave. */
void config_rig_forget(struct config_rig *rig);

/* Names are "a.ini" and "b.ini". */
void config_rig_write_file(const char *path, const char *bytes, size_t count);

/* Load `text` as a.ini, with one -o or NULL; returns what config_load() does. */
int config_rig_load_with(struct config_rig *rig, const char *text, const char *override);

/* Load `text`, in which nothing is wrong. */
void config_rig_load(struct config_rig *rig, const char *text);

/* Error number i is at this place and has these words in it. */
void config_rig_check_error(const struct config_rig *rig, size_t i, const char *place,
			    const char *words);

/* Load `text`, in which this is wrong and nothing else. */
void config_rig_check_only_error(struct config_rig *rig, const char *text, const char *place,
				 const char *words);

#define FEED     "[feed a]\ningest = stdin\n"                            /* 2 lines */
#define LISTENER "[listener l]\nfeed = a\nlisten = tcp:127.0.0.1:7001\n" /* 3 lines */

/* A whole file of which only `lines` are of interest: they are in the feed, from line 6 on. */
#define IN_FEED(lines) LISTENER FEED lines
/* ... or in the listener, from line 6 on. */
#define IN_LISTENER(lines) FEED LISTENER lines
/* ... or in a listener where the feed may be published to, from line 7 on. */
#define PUBLISHED(lines) "[feed a]\ningest = http\n" LISTENER "format = http\n" lines

#endif
