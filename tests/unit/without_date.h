// SPDX-License-Identifier: MIT
// Heads of responses have the time in them; tests compare the rest.
#pragma once

#include <ctype.h>
#include <string.h>

enum {
	DATE_BYTES = 37, // of the whole line
};

/* Takes the field Date out of the head in buf[count], behind the status line.  It must be there,
 * once and in the form of RFC 9110, 5.6.7.  Returns the bytes that are left. */
static inline size_t without_date(char *buf, size_t count)
{
	static const char form[] = "Date: Aaa, 00 Aaa 0000 00:00:00 GMT\r\n";
	char *at = memmem(buf, count, "\r\n", 2);

	assert_non_null(at);
	at += 2;
	assert_true((size_t)(buf + count - at) >= DATE_BYTES);
	for (size_t i = 0; i < DATE_BYTES; i++) {
		if (form[i] == '0')
			assert_true(isdigit((unsigned char)at[i]));
		else if (i > 5 && isalpha((unsigned char)form[i]) && i < 29)
			assert_true(isalpha((unsigned char)at[i]));
		else
			assert_int_equal(at[i], form[i]);
	}
	memmove(at, at + DATE_BYTES, (size_t)(buf + count - at) - DATE_BYTES);
	assert_null(memmem(buf, count - DATE_BYTES, "\r\nDate:", 7));
	return count - DATE_BYTES;
}
