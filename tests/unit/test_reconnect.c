// SPDX-License-Identifier: MIT
/* When the tools try again.  They are programs, not part of the library, so the file under test is
 * included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/tools/shared/reconnect.c"

static const uint64_t settled_ns = RECONNECT_SETTLED_MS * NS_PER_MS;

static void the_first_try_is_at_once_and_no_other(void **state)
{
	struct reconnect reconnect;

	(void)state;
	reconnect_init(&reconnect, 7);
	assert_int_equal(reconnect_next_ms(&reconnect, 0), 0);
	assert_int_equal(reconnect_next_ms(&reconnect, 0), BACKOFF_MIN_MS);
	assert_int_equal(reconnect_next_ms(&reconnect, 0), 2 * BACKOFF_MIN_MS);
	assert_int_equal(reconnect.tries, 3);
	reconnect_opened(&reconnect, 8);
	reconnect_lost(&reconnect, 8 + settled_ns);
	assert_int_equal(reconnect.tries, 0);
	assert_int_equal(reconnect_next_ms(&reconnect, 0), BACKOFF_MIN_MS);
}

static void only_a_connection_that_held_makes_pauses_short_again(void **state)
{
	struct reconnect reconnect;
	uint64_t now_ns = 1;
	uint32_t last_ms = 0;

	(void)state;
	reconnect_init(&reconnect, now_ns);
	(void)reconnect_next_ms(&reconnect, 0);
	for (int i = 0; i < 10; i++) {
		uint32_t ms;

		reconnect_opened(&reconnect, now_ns);
		now_ns += settled_ns - 1;
		reconnect_lost(&reconnect, now_ns);
		assert_int_equal(reconnect.lost_ns, now_ns);
		ms = reconnect_next_ms(&reconnect, 0);
		assert_true(ms > last_ms || ms == BACKOFF_MAX_MS / 2);
		last_ms = ms;
	}
	assert_int_equal(last_ms, BACKOFF_MAX_MS / 2);
	reconnect_opened(&reconnect, now_ns);
	reconnect_lost(&reconnect, now_ns + settled_ns);
	assert_int_equal(reconnect_next_ms(&reconnect, 0), BACKOFF_MIN_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_try_is_at_once_and_no_other),
		cmocka_unit_test(only_a_connection_that_held_makes_pauses_short_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
