// SPDX-License-Identifier: MIT
/* The rows of counter.def: one for each field, with a name fit for the log and for /metrics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <string.h>

#include "table/counter.h"

static void check_rows(const struct counter_row *rows, size_t count, size_t struct_bytes,
		       const char *(*name_of)(size_t index))
{
	assert_int_equal(count * sizeof(uint64_t), struct_bytes);
	// the first row is in the log even when it is 0
	assert_false(rows[0].is_admin_only);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(rows[i].offset, i * sizeof(uint64_t));
		assert_true(strlen(rows[i].name) > 0 && strlen(rows[i].help) > 0);
		for (const char *c = rows[i].name; *c; c++)
			assert_true(islower((unsigned char)*c) || *c == '_');
		// /metrics adds it
		assert_null(strstr(rows[i].name, "_total"));
		// # HELP is one line, and a backslash begins something else there
		assert_null(strpbrk(rows[i].help, "\n\\"));
		assert_string_equal(name_of(i), rows[i].name);
		for (size_t k = 0; k < i; k++) {
			assert_string_not_equal(rows[i].name, rows[k].name);
			assert_string_not_equal(rows[i].help, rows[k].help);
		}
	}
}

static void every_field_has_one_row_in_order(void **state)
{
	size_t count;
	const struct counter_row *rows = listener_counter_rows(&count);

	(void)state;
	check_rows(rows, count, sizeof(struct listener_counters), listener_counter_name);
	rows = http_counter_rows(&count);
	check_rows(rows, count, sizeof(struct http_server_counters), http_counter_name);
}

// The log has http_NAME_LISTENER beside NAME_LISTENER, and other words that begin like that.
static void no_name_is_another_with_the_prefix(void **state)
{
	size_t count, http_count;
	const struct counter_row *rows = listener_counter_rows(&count);
	const struct counter_row *http = http_counter_rows(&http_count);

	(void)state;
	for (size_t i = 0; i < count; i++)
		assert_int_not_equal(strncmp(rows[i].name, "http_", 5), 0);
	for (size_t i = 0; i < http_count; i++) {
		assert_string_not_equal(http[i].name, "heads");
		// http_refused_LISTENER_REASON, and relay_http_refused_total by reason
		assert_true(http[i].is_admin_only || strcmp(http[i].name, "refused") != 0);
	}
}

static void a_row_reads_its_field(void **state)
{
	const struct listener_counters counters = {.accepted = 7, .accept_refused = 9};
	size_t count;
	const struct counter_row *rows = listener_counter_rows(&count);
	uint64_t sum = 0;

	(void)state;
	assert_string_equal(rows[0].name, "accepted");
	assert_int_equal(counter_value(&counters, &rows[0]), 7);
	for (size_t i = 0; i < count; i++)
		sum += counter_value(&counters, &rows[i]);
	assert_int_equal(sum, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_has_one_row_in_order),
		cmocka_unit_test(no_name_is_another_with_the_prefix),
		cmocka_unit_test(a_row_reads_its_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
