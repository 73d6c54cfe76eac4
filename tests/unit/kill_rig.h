// SPDX-License-Identifier: MIT
/*
 * Every kept struct is killed: a process that writes it is stopped at each of its instructions, and
 * what lies in the shared memory then is read as if it had been killed there.
 *
 * build/kept_tables.def lists all tables of kept members in relay/ (tests/rules.mk).  For each of
 * them one of the tests defines a struct killed; without it the tests do not link.  And each row of
 * it must have changed under that test: a member that no test writes fails it by its name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "continuity/kept_struct.h"
#include "tests/unit/kill_start.h"

enum {
	KILLED_ROWS_MAX = 64,
};

struct killed {
	const struct kept_table *table;
	bool is_in_stream;                 // only: it is written when all stands still, and sealed
	uint64_t changes[KILLED_ROWS_MAX]; // of each row, with a reading after each
};

#define KILLED(name)           struct killed killed_##name = {.table = &name}
#define KILLED_IN_STREAM(name) struct killed killed_##name = {.table = &name, .is_in_stream = true}

#define KEPT_TABLE(name)       extern struct killed killed_##name;
#include "build/kept_tables.def"
#undef KEPT_TABLE

// What has changed in one object since it was seen last.
void killed_note(struct killed *killed, const void *before, const void *now);

// The first row that has never changed, as its `what`; NULL: each has.
const char *killed_missing(const struct killed *killed);

// --- the tests, for test_kept_kill.c

void ring_killed_at_any_moment(void **state);
void ring_stopped_at_each_instruction(void **state);
void feed_killed_at_any_moment(void **state);
void feed_stopped_at_each_instruction(void **state);
void subscriber_stopped_at_each_instruction(void **state);
void listeners_stopped_at_each_instruction(void **state);
void counts_stopped_at_each_instruction(void **state);
