// SPDX-License-Identifier: MIT
/* Every kept struct is killed (kill_rig.h): the tests, and that none is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "serve/handover.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/kill_rig.h"
#include "tests/unit/leave_out.h"
#include "tests/unit/pipe_rig.h"

#define KEPT_TABLE(name) extern const struct kept_table name;
#include "build/kept_tables.def"
#undef KEPT_TABLE

KILLED_IN_STREAM(feed_kept_table);
KILLED_IN_STREAM(http_kept_table);
KILLED_IN_STREAM(ingest_kept_table);
KILLED_IN_STREAM(intake_kept_table);
KILLED_IN_STREAM(served_kept_table);
KILLED_IN_STREAM(service_kept_table);

static const struct killed *const all[] = {
#define KEPT_TABLE(name) &killed_##name,
#include "build/kept_tables.def"
#undef KEPT_TABLE
};

static bool is_of_handover(const struct kept_table *table)
{
	size_t count;
	const struct kept_table *const *tables = handover_tables(&count);

	for (size_t i = 0; i < count; i++) {
		if (tables[i] == table)
			return true;
	}
	return false;
}

static bool has_any(const struct killed *killed)
{
	for (size_t i = 0; i < killed->table->count; i++) {
		if (killed->changes[i])
			return true;
	}
	return false;
}

// Behind all others.
static void each_member_was_killed(void **state)
{
	bool has_none = true;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		has_none &= !has_any(all[i]);
	if (has_none)
		leave_out("no tracing of another process: ptrace(2) is refused");
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		const char *missing = killed_missing(all[i]);

		if (all[i]->is_in_stream)
			assert_true(is_of_handover(all[i]->table));
		else if (missing)
			fail_msg("%s: no test has killed a process that writes: %s",
				 all[i]->table->name, missing);
	}
}

int main(void)
{
#define OF_PIPES(test) cmocka_unit_test_setup_teardown(test, pipe_rig_begin, pipe_rig_end)
#define OF_FEEDS(test) cmocka_unit_test_setup_teardown(test, feed_rig_setup, feed_rig_teardown)
	const struct CMUnitTest tests[] = {
		OF_PIPES(ring_killed_at_any_moment),
		OF_PIPES(ring_stopped_at_each_instruction),
		OF_FEEDS(feed_killed_at_any_moment),
		OF_FEEDS(feed_stopped_at_each_instruction),
		OF_FEEDS(subscriber_stopped_at_each_instruction),
		OF_FEEDS(listeners_stopped_at_each_instruction),
		OF_FEEDS(counts_stopped_at_each_instruction),
		cmocka_unit_test(each_member_was_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
