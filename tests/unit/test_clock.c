// SPDX-License-Identifier: MIT
/* Times as text, and from one clock to the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "base/clock.h"
#include "base/compiler.h"

static void a_time_is_read_as_it_is_printed(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} cases[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-11-28T09:30:00Z", UINT64_C(1795858200000000000)},
		{"2026-11-28T09:30:00.5Z", UINT64_C(1795858200500000000)},
		{"2026-11-28T09:30:00.000000001Z", UINT64_C(1795858200000000001)},
		{"2024-02-29T23:59:59.123Z", UINT64_C(1709251199123000000)},
		{"2262-01-01T00:00:00Z", UINT64_C(9214646400000000000)},
	};
	char text[CLOCK_UTC_BYTES];
	uint64_t ns, again;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(clock_parse_utc(cases[i].text, &ns), 0);
		assert_true(ns == cases[i].ns);
		assert_int_equal(clock_parse_utc(clock_print_utc(text, sizeof(text), ns), &again),
				 0);
		assert_true(again == ns / NS_PER_MS * NS_PER_MS);
	}
}

static void what_is_no_time_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		"Z",
		"2026-11-28",
		"2026-11-28T09:30Z",
		"2026-11-28T09:30:00",
		"2026-11-28 09:30:00Z",
		"2026-11-28T09:30:00z",
		"2026-11-28T09:30:00ZZ",
		"2026-11-28T09:30:00+01:00",
		"2026-11-28T09:30:00.Z",
		"2026-11-28T09:30:00.1234567890Z",
		"2026-11-28T09:30:00,5Z",
		"2026-11-31T09:30:00Z",
		"2026-02-29T09:30:00Z",
		"2026-13-01T09:30:00Z",
		"2026-00-01T09:30:00Z",
		"2026-11-28T24:00:00Z",
		"2026-11-28T09:60:00Z",
		"2026-11-28T09:30:60Z",
		"26-11-28T09:30:00Z",
		"+026-11-28T09:30:00Z",
		"1969-12-31T23:59:59Z",
		"9999-12-31T23:59:59Z",
		"1795858200",
	};
	uint64_t ns;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(clock_parse_utc(cases[i], &ns), -EINVAL);
}

static void a_wall_time_has_its_monotonic_one(void **state)
{
	uint64_t before = clock_mono_ns();
	uint64_t mono = clock_mono_of_wall(clock_wall_ns() - NS_PER_MS);

	(void)state;
	// However long the calls take, it lies between them.
	assert_in_range(mono, before - 2 * NS_PER_MS, clock_mono_ns());
	assert_int_equal(clock_mono_of_wall(0), 1);
	assert_true(clock_mono_of_wall(clock_wall_ns() + 3600 * NS_PER_S) > clock_mono_ns());
}

/* A message that is asked for by the time that relay named must be found.  A thread that loses the
 * CPU between two reads must not move that time. */
static void a_monotonic_time_comes_back(void **state)
{
	uint64_t mono = clock_mono_ns();

	(void)state;
	for (int i = 0; i < 100000; i++)
		assert_in_range(clock_mono_of_wall(clock_wall_of_mono(mono)), mono - NS_PER_MS / 10,
				mono + NS_PER_MS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_time_is_read_as_it_is_printed),
		cmocka_unit_test(what_is_no_time_is_refused),
		cmocka_unit_test(a_wall_time_has_its_monotonic_one),
		cmocka_unit_test(a_monotonic_time_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
