// SPDX-License-Identifier: MIT
/* The table of metrics is complete and in order, its names are unique, and sums are whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "table/metrics.h"

static const struct metric_row *row_named(const char *name)
{
	size_t count;
	const struct metric_row *rows = metrics_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	return NULL;
}

static void every_field_has_one_row_in_order(void **state)
{
	size_t count;
	const struct metric_row *rows = metrics_rows(&count);

	(void)state;
	assert_int_equal(count * sizeof(uint64_t), sizeof(struct metrics));
	for (size_t i = 0; i < count; i++)
		assert_int_equal(rows[i].offset, i * sizeof(uint64_t));
}

static void names_are_words_for_a_status_line_and_unique(void **state)
{
	size_t count;
	const struct metric_row *rows = metrics_rows(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		assert_true(strlen(rows[i].name) > 0 && strlen(rows[i].help) > 0);
		for (const char *c = rows[i].name; *c; c++)
			assert_true(islower((unsigned char)*c) || *c == '_');
		// a status line has closed_REASON beside these
		assert_int_not_equal(strncmp(rows[i].name, "closed_", 7), 0);
		assert_true(row_named(rows[i].name) == &rows[i]);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(rows[i].help, rows[k].help);
	}
}

static void what_is_counted_in_bytes_says_so(void **state)
{
	size_t count;
	const struct metric_row *rows = metrics_rows(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const char *tail = strstr(rows[i].name, "_bytes");

		assert_true(rows[i].kind == METRIC_COUNTER || rows[i].kind == METRIC_GAUGE);
		if (tail && tail[6] == '\0')
			assert_int_equal(rows[i].unit, METRIC_BYTES);
	}
	assert_int_equal(row_named("subscribers")->kind, METRIC_GAUGE);
	assert_int_equal(row_named("ring_bytes")->kind, METRIC_GAUGE);
	assert_int_equal(row_named("in_bytes")->kind, METRIC_COUNTER);
	assert_int_equal(row_named("in_messages")->unit, METRIC_COUNT);
}

static void a_row_reads_its_field(void **state)
{
	struct metrics metrics = {0};

	(void)state;
	metrics.in_bytes = 11;
	metrics.gaps = 22;
	metrics.pipes_open = UINT64_MAX;
	assert_int_equal(metrics_value(&metrics, row_named("in_bytes")), 11);
	assert_int_equal(metrics_value(&metrics, row_named("gaps")), 22);
	assert_int_equal(metrics_value(&metrics, row_named("delivered_bytes")), 0);
	assert_true(metrics_value(&metrics, row_named("pipes_open")) == UINT64_MAX);
}

static void a_sum_has_every_field(void **state)
{
	struct metrics sum, part;
	uint64_t *sum_fields = (uint64_t *)(void *)&sum, *part_fields = (uint64_t *)(void *)&part;
	size_t count;

	(void)state;
	(void)metrics_rows(&count);
	for (size_t i = 0; i < count; i++) {
		sum_fields[i] = 1000 * i;
		part_fields[i] = 7 + i;
	}
	metrics_add(&sum, &part);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(sum_fields[i], 1000 * i + 7 + i);
		assert_int_equal(part_fields[i], 7 + i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_has_one_row_in_order),
		cmocka_unit_test(names_are_words_for_a_status_line_and_unique),
		cmocka_unit_test(what_is_counted_in_bytes_says_so),
		cmocka_unit_test(a_row_reads_its_field),
		cmocka_unit_test(a_sum_has_every_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
