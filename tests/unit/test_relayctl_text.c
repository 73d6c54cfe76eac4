// SPDX-License-Identifier: MIT
/*
 * What relayctl shows: values with units, foreign text made harmless, columns that are aligned.
 *
 * The tools are programs, not part of the library, so the files under test are included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/tools/relayctl/relayctl_table.c"
#include "relay/tools/relayctl/relayctl_text.c"

static void assert_escapes(const char *text, const char *expected)
{
	char buf[64];

	assert_string_equal(text_escape(buf, sizeof buf, text), expected);
}

static void nothing_foreign_reaches_a_terminal(void **state)
{
	(void)state;
	assert_escapes("tcp:[::1]:7001", "tcp:[::1]:7001");
	assert_escapes("\033[2J\033]0;x\007", "\\x1b[2J\\x1b]0;x\\x07");
	assert_escapes("a\nb\tc\r", "a\\x0ab\\x09c\\x0d");
	assert_escapes("\xc2\x9b"
		       "31m",
		       "\\xc2\\x9b31m");      // CSI as one C1 character
	assert_escapes("a\\x1b", "a\\\\x1b"); // not to be taken for an escaped one
	assert_escapes("\x7f", "\\x7f");
	assert_escapes("", "");
}

static void what_is_too_long_is_cut(void **state)
{
	static const char *const texts[] = {"0123456789abcdef", "\033\033\033\033\033",
					    "\\\\\\\\\\\\\\\\\\"};
	char buf[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t size = 4; size <= sizeof buf; size++) {
			memset(buf, 'z', sizeof buf);
			text_escape(buf, size, texts[i]);
			assert_true(strlen(buf) < size);
			assert_string_equal(buf + strlen(buf) - 3, "...");
		}
	}
	assert_string_equal(text_escape(buf, 11, "0123456789"), "0123456789");
	assert_string_equal(text_escape(buf, 10, "0123456789"), "012345...");
}

static void counts_are_grouped(void **state)
{
	static const struct {
		uint64_t count;
		const char *text;
	} rows[] = {
		{0, "0"},
		{999, "999"},
		{1000, "1,000"},
		{99999, "99,999"},
		{123456, "123,456"},
		{1234567, "1,234,567"},
		{UINT64_MAX, "18,446,744,073,709,551,615"},
	};
	char buf[TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(text_count(buf, sizeof buf, rows[i].count), rows[i].text);
}

static void durations_have_a_fitting_unit(void **state)
{
	static const struct {
		uint64_t us;
		const char *text;
	} rows[] = {
		{0, "0 us"},
		{999, "999 us"},
		{1000, "1.00 ms"},
		{12345, "12.3 ms"},
		{123456, "123 ms"},
		{999499, "999 ms"},
		{999500, "1.00 s"},
		{59900000, "59.9 s"},
		{60000000, "1m 00s"},
		{245000000, "4m 05s"},
		{11520000000, "3h 12m"},
		{446400000000, "5d 04h"},
		{UINT64_MAX, "213503982d 08h"},
	};
	char buf[TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(text_duration_us(buf, sizeof buf, rows[i].us), rows[i].text);
}

/* The table as text, to be freed. */
static char *printed(const struct table *table, bool has_colours)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	assert_non_null(out);
	assert_int_equal(table_print(table, out, has_colours), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void columns_are_aligned(void **state)
{
	static const struct table_column columns[] = {{"NAME", .is_right = false},
						      {"COUNT", .is_right = true},
						      {"WHY", .is_right = false}};
	struct table table;
	char *text;

	(void)state;
	table_init(&table, columns, ARRAY_LEN(columns));
	table_add(&table, TABLE_PLAIN, "a");
	table_add(&table, TABLE_PLAIN, "%d", 1);
	table_add(&table, TABLE_BAD, "lag");
	table_add(&table, TABLE_PLAIN, "longer\033");
	table_add(&table, TABLE_WARN, "1,000,000");
	table_add(&table, TABLE_PLAIN, "%s", "");
	table_add(&table, TABLE_PLAIN, "%s", "");
	table_add(&table, TABLE_PLAIN, "%s", "");
	table_add(&table, TABLE_GOOD, "x");
	text = printed(&table, false);
	assert_string_equal(text, "NAME            COUNT  WHY\n"
				  "a                   1  lag\n"
				  "longer\\x1b  1,000,000\n"
				  "                       x\n");
	free(text);
	text = printed(&table, true);
	assert_string_equal(text,
			    "\033[1mNAME\033[0m            \033[1mCOUNT\033[0m  \033[1mWHY\033[0m\n"
			    "a                   1  \033[31mlag\033[0m\n"
			    "longer\\x1b  \033[33m1,000,000\033[0m\n"
			    "                       \033[32mx\033[0m\n");
	free(text);
	table_fini(&table);
}

/* The widest gives way first; numbers and what is short never do. */
static void a_table_keeps_to_its_width(void **state)
{
	static const struct table_column columns[] = {{"ID", .is_right = true},
						      {"FEED", .may_shrink = true},
						      {"PEER", .may_shrink = true}};
	static const struct {
		size_t width;
		const char *text;
	} rows[] = {
		{0, "    ID  FEED      PEER\n123456  abcdefgh  0123456789abcdef\n"},
		{34, "    ID  FEED      PEER\n123456  abcdefgh  0123456789abcdef\n"},
		{33, "    ID  FEED      PEER\n123456  abcdefgh  0123456789abc..\n"},
		{24, "    ID  FEED     PEER\n123456  abcde..  01234..\n"},
		{10, "    ID  FEED    PEER\n123456  abcd..  0123..\n"},
	};
	struct table table;
	char *text;

	(void)state;
	table_init(&table, columns, ARRAY_LEN(columns));
	table_add(&table, TABLE_PLAIN, "123456");
	table_add(&table, TABLE_PLAIN, "abcdefgh");
	table_add(&table, TABLE_PLAIN, "0123456789abcdef");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		table.max_width = rows[i].width;
		text = printed(&table, false);
		assert_string_equal(text, rows[i].text);
		free(text);
	}
	table_fini(&table);
}

static void many_rows_fit(void **state)
{
	static const struct table_column columns[] = {{"N", .is_right = true}};
	struct table table;
	char *text;

	(void)state;
	table_init(&table, columns, ARRAY_LEN(columns));
	for (int i = 0; i < 5000; i++)
		table_add(&table, TABLE_PLAIN, "%04d", i);
	text = printed(&table, false);
	assert_int_equal(strlen(text), 5001 * 5);
	assert_string_equal(text + 5000 * 5, "4999\n");
	free(text);
	table_fini(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_foreign_reaches_a_terminal),
		cmocka_unit_test(what_is_too_long_is_cut),
		cmocka_unit_test(counts_are_grouped),
		cmocka_unit_test(durations_have_a_fitting_unit),
		cmocka_unit_test(columns_are_aligned),
		cmocka_unit_test(a_table_keeps_to_its_width),
		cmocka_unit_test(many_rows_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
