// SPDX-License-Identifier: MIT
/* The reasons of close_reason.def: each has a name fit for a counter and a sentence, none twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "table/close_reason.h"

static void every_reason_has_a_name_and_a_text(void **state)
{
	(void)state;
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		const char *name = close_reason_name((enum close_reason)i);
		const char *text = close_reason_text((enum close_reason)i);

		assert_non_null(name);
		assert_non_null(text);
		assert_true(strlen(name) > 0 && strlen(text) > 0);
		for (const char *c = name; *c; c++)
			assert_true(islower((unsigned char)*c) || *c == '_');
		// one line, as it stands in a log line
		for (const char *c = text; *c; c++)
			assert_true(isprint((unsigned char)*c) && *c != '"');
	}
}

static void no_name_and_no_text_is_used_twice(void **state)
{
	(void)state;
	for (int i = 0; i < CLOSE_REASON_COUNT; i++) {
		for (int k = 0; k < i; k++) {
			const enum close_reason a = (enum close_reason)i, b = (enum close_reason)k;

			assert_string_not_equal(close_reason_name(a), close_reason_name(b));
			assert_string_not_equal(close_reason_text(a), close_reason_text(b));
		}
	}
}

// The words of the log and of the status, which the scripts of others read.
static void the_names_are_the_promised_ones(void **state)
{
	(void)state;
	assert_string_equal(close_reason_name(CLOSE_PEER_CLOSED), "peer_closed");
	assert_string_equal(close_reason_name(CLOSE_LAG), "lag");
	assert_string_equal(close_reason_name(CLOSE_STALLED), "stalled");
	assert_string_equal(close_reason_name(CLOSE_TOO_LONG), "too_long");
	assert_string_equal(close_reason_name(CLOSE_DRAIN), "drain");
}

static void an_errno_has_its_reason(void **state)
{
	static const struct {
		int err;
		enum close_reason reason;
	} rows[] = {
		{ECONNRESET, CLOSE_PEER_RESET},
		{EPIPE, CLOSE_PEER_RESET},
		{ETIMEDOUT, CLOSE_NETWORK},
		{EHOSTUNREACH, CLOSE_NETWORK},
		{ENETUNREACH, CLOSE_NETWORK},
		{ENETDOWN, CLOSE_NETWORK},
		{ENOMEM, CLOSE_NO_MEMORY},
		{ENOBUFS, CLOSE_NO_MEMORY},
		{EIO, CLOSE_IO_ERROR},
		{EBADF, CLOSE_IO_ERROR},
		{0, CLOSE_IO_ERROR},
		{-1, CLOSE_IO_ERROR},
		{EINVAL, CLOSE_IO_ERROR},
		{EPERM, CLOSE_IO_ERROR},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(close_reason_from_errno(rows[i].err), rows[i].reason);
	for (int err = 0; err < 200; err++)
		assert_true(close_reason_from_errno(err) < CLOSE_REASON_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_has_a_name_and_a_text),
		cmocka_unit_test(no_name_and_no_text_is_used_twice),
		cmocka_unit_test(the_names_are_the_promised_ones),
		cmocka_unit_test(an_errno_has_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
