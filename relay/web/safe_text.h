// SPDX-License-Identifier: MIT
/* What a client sent, for a line of the log. */
#pragma once

#include "http/http_text.h"

enum {
	SAFE_TEXT_BYTES = 160, /* of it in a line, at most */
};

/* Prints it cut, and every byte that could be taken for something else escaped.  Returns buf. */
const char *safe_text_print(char buf[SAFE_TEXT_BYTES], struct http_text text);
