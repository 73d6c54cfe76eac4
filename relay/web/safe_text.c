// SPDX-License-Identifier: MIT
/* Texts of strangers. */
#include "web/safe_text.h"

#include <stdio.h>

const char *safe_text_print(char buf[SAFE_TEXT_BYTES], struct http_text text)
{
	size_t length = 0;

	for (size_t i = 0; i < text.length && length + 4 < SAFE_TEXT_BYTES; i++) {
		unsigned char c = (unsigned char)text.at[i];
		bool is_plain = c > ' ' && c < 0x7f && c != '"' && c != '=';

		length += (size_t)snprintf(buf + length, SAFE_TEXT_BYTES - length,
					   is_plain ? "%c" : "%%%02X", c);
	}
	buf[length] = '\0';
	return buf;
}
