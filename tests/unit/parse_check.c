// SPDX-License-Identifier: MIT
/*
 * Checking a row of a table of inputs of a parser.
 */
#include "tests/unit/parse_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

void parse_check(enum parse_rig_kind kind, const char *shown, const void *bytes, size_t count,
		 const char *expected, bool is_start)
{
	char out[PARSE_RIG_TEXT_BYTES];
	const char *other = parse_rig_run_every_way(kind, bytes, count, out);

	if (other)
		fail_msg("%s gives\n  %s\nand in pieces\n  %s", shown, out, other);
	if (is_start ? strncmp(out, expected, strlen(expected)) : strcmp(out, expected))
		fail_msg("%s gives\n  %s\nexpected\n  %s", shown, out, expected);
}

void parse_check_hex(enum parse_rig_kind kind, const char *hex, const char *expected, bool is_start)
{
	static uint8_t bytes[3 * PARSE_RIG_MESSAGE_BYTES];
	size_t count = parse_rig_read_hex(hex, bytes, sizeof(bytes));

	parse_check(kind, hex, bytes, count, expected, is_start);
}
