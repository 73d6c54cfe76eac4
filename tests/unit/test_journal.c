// SPDX-License-Identifier: MIT
/* base/journal.c: which words of a line become fields, and what is left out when room is short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "base/journal.h"

/* The fields that were made of words, and MESSAGE_ID as "*" before them when there is one. */
static const char *fields_of(const char *text)
{
	static char out[4096], fields[4096];
	char head[1024];
	size_t bytes = journal_encode(out, sizeof(out) - 1, 6, text);
	size_t length;
	const char *rest;

	out[bytes] = '\0';
	length = (size_t)snprintf(head, sizeof(head),
				  "MESSAGE=%s\nPRIORITY=6\nSYSLOG_IDENTIFIER=relay\n", text);
	assert_memory_equal(out, head, length);
	rest = out + length;
	fields[0] = '\0';
	if (strncmp(rest, "MESSAGE_ID=", 11) == 0) {
		assert_int_equal(strcspn(rest, "\n"), 11 + 32);
		rest += 11 + 32 + 1;
		strcpy(fields, "*");
	}
	strcat(fields, rest);
	return fields;
}

static void words_become_fields(void **state)
{
	static const struct {
		const char *text, *fields;
	} rows[] = {
		{"publisher up feed=a peer=tcp:[::1]:5", "*RELAY_FEED=a\nRELAY_PEER=tcp:[::1]:5\n"},
		{"publisher upset feed=a", "RELAY_FEED=a\n"},
		{"ended", "*"},
		{"reload failed: listener x: no, nothing has changed", "*"},
		{"publisher down feed=a reason=peer_closed (it closed) error=Connection refused",
		 "*RELAY_FEED=a\nRELAY_REASON=peer_closed\nRELAY_ERROR=Connection refused\n"},
		{"connect failed address=tcp:a:1 error=No route to host feed=b suppressed=0",
		 "*RELAY_ADDRESS=tcp:a:1\nRELAY_ERROR=No route to host\nRELAY_FEED=b\n"
		 "RELAY_SUPPRESSED=0\n"},
		{"error=a b", "RELAY_ERROR=a b\n"},
		{"x feed=a, ignoring; feed=b; feed=c: d",
		 "RELAY_FEED=a\nRELAY_FEED=b\nRELAY_FEED=c\n"},
		{"status accepted_demo-raw.1=5 best_64=copy",
		 "RELAY_ACCEPTED_DEMO_RAW_1=5\nRELAY_BEST_64=copy\n"},
		{"expected a key = value, =x, X=y, 1=z  a=", "RELAY_A=\n"},
		{"a=b=c", "RELAY_A=b=c\n"},
		{"", ""},
		{" ", ""},
		{"a=:", "RELAY_A=\n"},
		{"k23456789012345678901234567890123456789012345678901234567x=1 y=2",
		 "RELAY_K23456789012345678901234567890123456789012345678901234567X=1\nRELAY_Y=2\n"},
		{"k234567890123456789012345678901234567890123456789012345678x=1 y=2",
		 "RELAY_Y=2\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(fields_of(rows[i].text), rows[i].fields);
}

static void what_does_not_fit_is_left_out(void **state)
{
	static const char text[] = "ended aa=1 bb=2";
	char whole[512], out[512];
	size_t bytes = journal_encode(whole, sizeof(whole), 3, text);
	size_t least = strlen("MESSAGE=ended aa=1 bb=2\nPRIORITY=3\nSYSLOG_IDENTIFIER=relay\n");

	(void)state;
	for (size_t size = 0; size <= bytes; size++) {
		size_t n;

		memset(out, '~', sizeof(out));
		n = journal_encode(out, size, 3, text);
		assert_true(n <= size && out[size] == '~');
		assert_int_equal(n > 0, size >= least);
		if (n > 0)
			assert_int_equal(out[n - 1], '\n');
		if (n < bytes && size == bytes)
			fail();
	}
}

static void words_are_bounded(void **state)
{
	static char text[4096], out[8192];
	size_t bytes, lines = 0;

	(void)state;
	for (size_t i = 0; i < JOURNAL_WORDS_MAX + 10; i++)
		memcpy(text + 4 * i, "a=1 ", 4);
	bytes = journal_encode(out, sizeof(out), 6, text);
	for (size_t i = 0; i < bytes; i++)
		lines += out[i] == '\n';
	assert_int_equal(lines, 3 + JOURNAL_WORDS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_fields),
		cmocka_unit_test(what_does_not_fit_is_left_out),
		cmocka_unit_test(words_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
