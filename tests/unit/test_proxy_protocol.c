// SPDX-License-Identifier: MIT
/*
 * PROXY headers: the table of proxy_protocol_cases.def, each case whole, byte by byte and cut at
 * every place; and that only the beginning of a good header is worth waiting for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "net/proxy_protocol.h"
#include "tests/unit/parse_check.h"

#define SIGNATURE "0d0a0d0a000d0a515549540a "

struct row {
	const char *expected;
	const char *bytes;
};

#define CASE(expected, bytes) {expected, bytes},
static const struct row rows[] = {
#include "tests/unit/proxy_protocol_cases.def"
};

static void every_header_is_judged_as_the_table_says(void **state)
{
	(void)state;
	assert_true(ARRAY_LEN(rows) >= 60);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		parse_check_hex(PARSE_RIG_PROXY, rows[i].bytes, rows[i].expected,
				strncmp(rows[i].expected, "error ", 6) == 0);
}

// What is good is "more" at each byte before its end, and keeps its end whatever follows.
static void a_good_header_is_waited_for(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct proxy_header header;
		uint8_t bytes[1024];
		size_t count = parse_rig_read_hex(rows[i].bytes, bytes, sizeof(bytes));

		if (count == 0 || proxy_protocol_parse(bytes, count, &header) != PROXY_PARSE_WHOLE)
			continue;
		for (size_t end = 1; end < header.header_bytes; end++) {
			struct proxy_header early;

			assert_int_equal(proxy_protocol_parse(bytes, end, &early),
					 PROXY_PARSE_MORE);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_header_is_judged_as_the_table_says),
		cmocka_unit_test(a_good_header_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
