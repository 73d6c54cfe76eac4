// SPDX-License-Identifier: MIT
/* Messages that break the framing, and the most that a walk has: of streams that are
 * written out here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "packet/framing.h"
#include "tests/unit/framing_copy.h"

static void a_line_is_too_long_before_its_end_comes(void **state)
{
	const struct framing_params params = {.kind = FRAMING_LINE, .max_message = 4};
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	walk_copy(&scan, (const uint8_t *)"abcd", 4, 4, &walk);
	assert_int_equal(walk.fault, FRAMING_OK);
	walk_copy(&scan, (const uint8_t *)"e", 1, 1, &walk);
	assert_int_equal(walk.fault, FRAMING_TOO_LONG);
	assert_int_equal(walk.whole_bytes, 0);
}

static void what_is_no_count_is_a_fault(void **state)
{
	const struct framing_params params = {.kind = FRAMING_OCTET_COUNTED, .max_message = 100};
	static const struct {
		const char *sent;
		size_t good; // bytes before the fault
	} rows[] = {{"<13>1 a", 0},  {" 5 hello", 0},       {"05 hello", 0}, {"5hello", 0},
		    {"5 hello7", 7}, {"5 hello\n3 abc", 7}, {"3 abc0 ", 5},  {"-1 a", 0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t count = strlen(rows[i].sent), at = 0, whole = 0;
		struct framing_walk walk = {0};
		struct framing_scan scan;

		framing_scan_init(&scan, &params);
		while (at < count && walk.fault == FRAMING_OK) {
			walk_copy(&scan, (const uint8_t *)rows[i].sent + at, 1, 1, &walk);
			at += walk.walked_bytes;
			whole = walk.messages ? at : whole;
		}
		assert_int_equal(whole, rows[i].good);
		assert_int_equal(walk.fault,
				 rows[i].sent[count - 1] == '7' ? FRAMING_OK : FRAMING_BAD_COUNT);
	}
}

// The line that is too long began in an earlier walk and has short ones behind it.
static void lines_behind_one_that_is_too_long_do_not_hide_it(void **state)
{
	const struct framing_params params = {.kind = FRAMING_LINE, .max_message = 10};
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	walk_copy(&scan, (const uint8_t *)"abcdefgh", 8, 8, &walk);
	assert_int_equal(walk.fault, FRAMING_OK);
	walk_copy(&scan, (const uint8_t *)"ijk\n\n\n", 6, 6, &walk);
	assert_int_equal(walk.fault, FRAMING_TOO_LONG);
	assert_int_equal(walk.messages, 0);
	assert_int_equal(walk.whole_bytes, 0);
}

// The fault is met again by the next walk, in the state that the good ones have left.
static void a_fault_behind_whole_ones_leaves_the_scan_between(void **state)
{
	const struct framing_params params = {.kind = FRAMING_U16BE, .max_message = 3};
	const uint8_t bytes[] = {0, 1, 'a', 0, 4, 'b', 'b', 'b', 'b'};
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	walk_copy(&scan, bytes, sizeof(bytes), sizeof(bytes), &walk);
	assert_int_equal(walk.fault, FRAMING_OK);
	assert_int_equal(walk.walked_bytes, 3);
	assert_true(framing_is_between(&scan));
	walk_copy(&scan, bytes + 3, sizeof(bytes) - 3, sizeof(bytes) - 3, &walk);
	assert_int_equal(walk.fault, FRAMING_TOO_LONG);
	assert_int_equal(walk.messages, 0);
}

static void the_greatest_lengths_do_not_wrap(void **state)
{
	const struct framing_params params = {.kind = FRAMING_U32BE, .max_message = UINT64_MAX};
	const uint8_t head[] = {0xff, 0xff, 0xff, 0xff};
	struct framing_scan scan;
	struct framing_walk walk;

	(void)state;
	framing_scan_init(&scan, &params);
	walk_copy(&scan, head, sizeof(head), sizeof(head), &walk);
	assert_int_equal(walk.fault, FRAMING_OK);
	assert_int_equal(scan.need_bytes, UINT32_MAX);
}

static void a_walk_ends_after_65535_messages(void **state)
{
	const enum framing_kind kinds[] = {FRAMING_LINE, FRAMING_FIXED, FRAMING_U16BE};
	const size_t count = 70000;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct framing_params params = {
			.kind = kinds[i], .fixed_bytes = 1, .max_message = 1 << 20};
		size_t each = kinds[i] == FRAMING_U16BE ? 2 : 1;
		uint8_t *bytes = calloc(count, each);
		struct framing_scan scan;
		struct framing_walk walk;

		assert_non_null(bytes);
		if (kinds[i] == FRAMING_LINE)
			memset(bytes, '\n', count);
		framing_scan_init(&scan, &params);
		framing_walk(&scan, bytes, count * each, count * each, &walk);
		assert_int_equal(walk.messages, FRAMING_MESSAGES_MAX);
		assert_int_equal(walk.whole_bytes, FRAMING_MESSAGES_MAX * each);
		assert_int_equal(walk.walked_bytes, walk.whole_bytes);
		assert_true(framing_is_between(&scan));
		bytes += walk.walked_bytes;
		framing_walk(&scan, bytes, (count - FRAMING_MESSAGES_MAX) * each,
			     (count - FRAMING_MESSAGES_MAX) * each, &walk);
		assert_int_equal(walk.messages, count - FRAMING_MESSAGES_MAX);
		free(bytes - FRAMING_MESSAGES_MAX * each);
	}
}

// One byte at a time out of a one-byte buffer: the scan keeps nothing and reads nothing again.
static void a_long_line_byte_by_byte(void **state)
{
	const struct framing_params params = {.kind = FRAMING_LINE, .max_message = 1 << 20};
	struct framing_scan scan;
	struct framing_walk walk;
	uint8_t byte = 'x';

	(void)state;
	framing_scan_init(&scan, &params);
	for (size_t i = 0; i < 1 << 20; i++) {
		framing_walk(&scan, &byte, 1, 1, &walk);
		assert_true(walk.walked_bytes == 1 && walk.messages == 0 && !walk.fault);
	}
	byte = '\n';
	framing_walk(&scan, &byte, 1, 1, &walk);
	assert_int_equal(walk.messages, 1);
	assert_int_equal(walk.whole_bytes, 1);
	assert_true(framing_is_between(&scan));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_too_long_before_its_end_comes),
		cmocka_unit_test(what_is_no_count_is_a_fault),
		cmocka_unit_test(lines_behind_one_that_is_too_long_do_not_hide_it),
		cmocka_unit_test(a_fault_behind_whole_ones_leaves_the_scan_between),
		cmocka_unit_test(the_greatest_lengths_do_not_wrap),
		cmocka_unit_test(a_walk_ends_after_65535_messages),
		cmocka_unit_test(a_long_line_byte_by_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
