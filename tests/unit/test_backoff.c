// SPDX-License-Identifier: MIT
/* The delays of base/backoff.c: bounds, growth, jitter, reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/backoff.h"
#include "base/compiler.h"

static void doubles_up_to_the_maximum(void **state)
{
	static const uint32_t low_ms[] = {500, 1000, 2000, 4000, 8000, 15000, 15000, 15000};
	struct backoff shortest = {0}, longest = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(low_ms); i++) {
		assert_int_equal(backoff_next_ms(&shortest, BACKOFF_MAX_MS, 0), low_ms[i]);
		/* low_ms is the greatest remainder of a division by low_ms + 1 */
		assert_int_equal(backoff_next_ms(&longest, BACKOFF_MAX_MS, low_ms[i]),
				 2 * low_ms[i]);
	}
}

static void stays_within_its_bounds(void **state)
{
	struct backoff backoff = {0};
	uint32_t random = 1;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		uint32_t ms = backoff_next_ms(&backoff, BACKOFF_MAX_MS, random);

		assert_in_range(ms, BACKOFF_MIN_MS, BACKOFF_MAX_MS);
		random = random * 1664525u + 1013904223u;
		if (i % 100 == 99)
			backoff_reset(&backoff);
	}
	assert_in_range(backoff_next_ms(&backoff, BACKOFF_MAX_MS, UINT32_MAX), BACKOFF_MIN_MS,
			BACKOFF_MAX_MS);
}

static void begins_anew_after_reset(void **state)
{
	struct backoff backoff = {0};

	(void)state;
	for (int i = 0; i < 20; i++)
		(void)backoff_next_ms(&backoff, BACKOFF_MAX_MS, 0);
	assert_int_equal(backoff_next_ms(&backoff, BACKOFF_MAX_MS, 0), BACKOFF_MAX_MS / 2);
	backoff_reset(&backoff);
	assert_int_equal(backoff_next_ms(&backoff, BACKOFF_MAX_MS, 0), BACKOFF_MIN_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(doubles_up_to_the_maximum),
		cmocka_unit_test(stays_within_its_bounds),
		cmocka_unit_test(begins_anew_after_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
