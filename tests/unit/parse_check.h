// SPDX-License-Identifier: MIT
/*
 * Checking a row of a table of inputs of a parser, in every way that parse_rig.h can feed it.
 */
#ifndef TESTS_UNIT_PARSE_CHECK_H
#define TESTS_UNIT_PARSE_CHECK_H

#include <stdbool.h>

#include "tests/unit/parse_rig.h"

/* Fails the running test unless the bytes give, however they are cut, the line `expected`, or with
 * is_start a line that begins so.  shown: what to call the row then. */
void parse_check(enum parse_rig_kind kind, const char *shown, const void *bytes, size_t count,
		 const char *expected, bool is_start);

// The same for a row in hex (parse_rig_read_hex).
void parse_check_hex(enum parse_rig_kind kind, const char *hex, const char *expected,
		     bool is_start);

#endif
