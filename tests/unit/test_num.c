// SPDX-License-Identifier: MIT
/*
 * base/num.c: what is read, what is refused and how, and that printing is exact.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/num.h"
#include "tests/unit/pipe_rig.h"

#define UNTOUCHED UINT64_C(0x1234567)

typedef int (*parse_fn)(const char *text, uint64_t *ret);

struct row {
	const char *text;
	int r;
	uint64_t value;
};

static void check_rows(parse_fn parse, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = UNTOUCHED;

		print_message("'%s'\n", rows[i].text);
		assert_int_equal(parse(rows[i].text, &value), rows[i].r);
		assert_int_equal(value, rows[i].r == 0 ? rows[i].value : UNTOUCHED);
	}
}

static void sizes_are_read(void **state)
{
	static const struct row rows[] = {
		{"0", 0, 0},
		{"512", 0, 512},
		{"0k", 0, 0},
		{"64k", 0, 65536},
		{"64K", 0, 65536},
		{"8m", 0, 8 << 20},
		{"1g", 0, 1 << 30},
		{"007", 0, 7},
		{"18446744073709551615", 0, UINT64_MAX},
		{"17179869183g", 0, UINT64_C(17179869183) << 30},
		{"18446744073709551616", -ERANGE, 0},
		{"17179869184g", -ERANGE, 0},
		{"99999999999999999999999k", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"k", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"1 k", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1.5k", -EINVAL, 0},
		{"1kb", -EINVAL, 0},
		{"1t", -EINVAL, 0},
		{"1s", -EINVAL, 0},
	};

	(void)state;
	check_rows(num_parse_bytes, rows, ARRAY_LEN(rows));
}

static void durations_are_read(void **state)
{
	static const struct row rows[] = {
		{"0", 0, 0},
		{"00", 0, 0},
		{"0s", 0, 0},
		{"500ms", 0, 500},
		{"10s", 0, 10000},
		{"5m", 0, 300000},
		{"1h", 0, 3600000},
		{"1d", 0, 86400000},
		{"1D", 0, 86400000},
		{"213503982334d", 0, UINT64_C(213503982334) * 86400000},
		{"213503982335d", -ERANGE, 0},
		{"18446744073709551616ms", -ERANGE, 0},
		{"10", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"s", -EINVAL, 0},
		{"1.5s", -EINVAL, 0},
		{"1us", -EINVAL, 0},
		{"1min", -EINVAL, 0},
		{"1s ", -EINVAL, 0},
		{"-1s", -EINVAL, 0},
	};

	(void)state;
	check_rows(num_parse_duration_ms, rows, ARRAY_LEN(rows));
}

static void counts_are_read(void **state)
{
	static const struct row rows[] = {
		{"0", 0, 0},      {"65535", 0, 65535}, {"18446744073709551616", -ERANGE, 0},
		{"", -EINVAL, 0}, {"1k", -EINVAL, 0},  {"-1", -EINVAL, 0},
	};

	(void)state;
	check_rows(num_parse_count, rows, ARRAY_LEN(rows));
}

static void sizes_are_printed_short_and_exact(void **state)
{
	char buf[NUM_PRINT_BYTES];

	(void)state;
	assert_string_equal(num_print_bytes(buf, sizeof(buf), 0), "0");
	assert_string_equal(num_print_bytes(buf, sizeof(buf), 1000), "1000");
	assert_string_equal(num_print_bytes(buf, sizeof(buf), 1024), "1k");
	assert_string_equal(num_print_bytes(buf, sizeof(buf), 1536 << 10), "1536k");
	assert_string_equal(num_print_bytes(buf, sizeof(buf), 16 << 20), "16m");
	assert_string_equal(num_print_bytes(buf, sizeof(buf), UINT64_C(5) << 30), "5g");
	assert_string_equal(num_print_bytes(buf, sizeof(buf), UINT64_MAX), "18446744073709551615");
	assert_string_equal(num_print_bytes(buf, 3, 123456), "12");
}

static void durations_are_printed_short_and_exact(void **state)
{
	char buf[NUM_PRINT_BYTES];

	(void)state;
	assert_string_equal(num_print_duration_ms(buf, sizeof(buf), 0), "0");
	assert_string_equal(num_print_duration_ms(buf, sizeof(buf), 1), "1ms");
	assert_string_equal(num_print_duration_ms(buf, sizeof(buf), 1500), "1500ms");
	assert_string_equal(num_print_duration_ms(buf, sizeof(buf), 90000), "90s");
	assert_string_equal(num_print_duration_ms(buf, sizeof(buf), 120000), "2m");
	assert_string_equal(num_print_duration_ms(buf, sizeof(buf), 7200000), "2h");
	assert_string_equal(num_print_duration_ms(buf, sizeof(buf), 86400000), "1d");
	assert_string_equal(num_print_duration_ms(buf, sizeof(buf), UINT64_MAX),
			    "18446744073709551615ms");
}

static void what_is_printed_is_read_back(void **state)
{
	uint64_t value = 1, back;
	char buf[NUM_PRINT_BYTES];

	(void)state;
	for (int i = 0; i < 2000; i++) {
		num_print_bytes(buf, sizeof(buf), value);
		assert_int_equal(num_parse_bytes(buf, &back), 0);
		assert_int_equal(back, value);
		num_print_duration_ms(buf, sizeof(buf), value);
		assert_int_equal(num_parse_duration_ms(buf, &back), 0);
		assert_int_equal(back, value);
		value = value * 6364136223846793005U + 1442695040888963407U;
		value >>= i % 64;
		value <<= i % 31;
	}
}

static void rates_have_three_digits(void **state)
{
	char buf[NUM_PRINT_BYTES];

	(void)state;
	assert_string_equal(num_print_rate(buf, sizeof(buf), 0), "0 B/s");
	assert_string_equal(num_print_rate(buf, sizeof(buf), 999), "999 B/s");
	assert_string_equal(num_print_rate(buf, sizeof(buf), 1000), "1.00 kB/s");
	assert_string_equal(num_print_rate(buf, sizeof(buf), 12340), "12.3 kB/s");
	assert_string_equal(num_print_rate(buf, sizeof(buf), 999499), "999 kB/s");
	assert_string_equal(num_print_rate(buf, sizeof(buf), 999999), "1.00 MB/s");
	assert_string_equal(num_print_rate(buf, sizeof(buf), 1250000000), "1.25 GB/s");
	assert_string_equal(num_print_rate(buf, sizeof(buf), UINT64_MAX), "18.4 EB/s");
}

static void a_size_or_a_duration_is_one_of_them(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t bytes, ms;
	} rows[] = {
		{"0", 0, 0, 0},
		{"64k", 0, 65536, 0},
		{"1024k", 0, 1 << 20, 0},
		{"5s", 0, 0, 5000},
		{"500ms", 0, 0, 500},
		{"2h", 0, 0, 7200000},
		{"5m", -EINVAL, 7, 7},
		{"5M", -EINVAL, 7, 7},
		{"", -EINVAL, 7, 7},
		{"m", -EINVAL, 7, 7},
		{"x", -EINVAL, 7, 7},
		{"-1s", -EINVAL, 7, 7},
		{"18446744073709551616", -ERANGE, 7, 7},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t bytes = 7, ms = 7;

		assert_int_equal(num_parse_bytes_or_duration(rows[i].text, &bytes, &ms), rows[i].r);
		assert_int_equal(bytes, rows[i].bytes);
		assert_int_equal(ms, rows[i].ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_size_or_a_duration_is_one_of_them),
		cmocka_unit_test(sizes_are_read),
		cmocka_unit_test(durations_are_read),
		cmocka_unit_test(counts_are_read),
		cmocka_unit_test(sizes_are_printed_short_and_exact),
		cmocka_unit_test(durations_are_printed_short_and_exact),
		cmocka_unit_test(what_is_printed_is_read_back),
		cmocka_unit_test(rates_have_three_digits),
	};

	return cmocka_run_group_tests(tests, pipe_rig_begin, pipe_rig_end);
}
