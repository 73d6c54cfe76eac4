// SPDX-License-Identifier: MIT
/*
 * Chunks: each case whole, byte by byte and cut at every place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/parse_check.h"
#include "pull/chunk_decoder.h"

static const struct {
	const char *bytes, *expected;
} cases[] = {
	{"5\r\nhello\r\n0\r\n\r\n", "end hello"},
	{"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "end hello!"},
	{"A\r\n0123456789\r\na\r\n0123456789\r\n", "more 01234567890123456789"},
	{"00000005\r\nhello\r\n", "more hello"},
	{"5;name=value;x\r\nhello\r\n", "more hello"},
	{"5 \t\r\nhello\r\n", "more hello"},
	{"0\r\nTrailer: value\r\nOther:\r\n\r\n", "end "},
	{"0;x\r\n\r\n", "end "},
	{"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "end a"},
	{"2\r\na", "more a"},
	{"2\r\nab", "more ab"},
	{"2\r\nab\r", "more ab"},
	{"FFFFFFFFFFFFFFFF\r\nabc", "more abc"},
	/* sizes that somebody else would read otherwise */
	{"10000000000000000\r\nabc", "broken "},
	{"FFFFFFFFFFFFFFFFF\r\nabc", "broken "},
	{"0x5\r\nhello\r\n", "broken "},
	{"+5\r\nhello\r\n", "broken "},
	{"-5\r\nhello\r\n", "broken "},
	{" 5\r\nhello\r\n", "broken "},
	{"5g\r\nhello\r\n", "broken "},
	{"\r\n", "broken "},
	{";x\r\n", "broken "},
	{"5,5\r\nhello\r\n", "broken "},
	{"5\nhello\r\n", "broken "},
	{"5\rhello", "broken "},
	{"5;a\nb\r\nhello", "broken "},
	{"5;\001\r\nhello", "broken "},
	{"5\r\nhello0\r\n\r\n", "broken hello"},
	{"5\r\nhello\n0\r\n\r\n", "broken hello"},
	{"5\r\nhello\rX", "broken hello"},
	{"0\r\n\n", "broken "},
	{"0\r\na\n\r\n", "broken "},
	{"0\r\n\rX", "broken "},
};

static void every_body_is_judged_as_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		parse_check(PARSE_RIG_CHUNKS, cases[i].bytes, cases[i].bytes,
			    strlen(cases[i].bytes), cases[i].expected, true);
}

// `head`, then so many times `c`, then `tail`.
static bool is_broken(const char *head, size_t count, const char *tail)
{
	struct chunk_decoder decoder = {0};
	size_t bytes = strlen(head) + count + strlen(tail);
	uint8_t *text = malloc(bytes);

	assert_non_null(text);
	memcpy(text, head, strlen(head));
	memset(text + strlen(head), 'x', count);
	memcpy(text + strlen(head) + count, tail, strlen(tail));
	assert_int_equal(chunk_decode(&decoder, text, bytes), 0);
	free(text);
	return decoder.is_broken;
}

static void what_is_passed_over_has_a_limit(void **state)
{
	(void)state;
	assert_false(is_broken("5;", CHUNK_LINE_BYTES - 4, "\r\n"));
	assert_true(is_broken("5;", CHUNK_LINE_BYTES, "\r\n"));
	assert_false(is_broken("0\r\n", CHUNK_TRAILER_BYTES - 4, "\r\n\r\n"));
	assert_true(is_broken("0\r\n", CHUNK_TRAILER_BYTES, "\r\n\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_body_is_judged_as_the_table_says),
		cmocka_unit_test(what_is_passed_over_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
