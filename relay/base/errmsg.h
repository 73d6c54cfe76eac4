// SPDX-License-Identifier: MIT
/*
 * What went wrong, in words for a person, beside the -errno for the program.
 *
 * A function that can fail for a reason its caller cannot guess takes a struct errmsg * as its last
 * output. The text has no newline and no full stop; a text that is too long ends in "...". Every
 * function takes NULL for "nobody wants to know".
 */
#pragma once

#include "base/compiler.h"

struct errmsg {
	char text[512]; /* always terminated once set */
};

/* Replace the text. errno is kept. */
void errmsg_set(struct errmsg *e, const char *fmt, ...) printf_like(2, 3);

/* Replace the text by "what fmt says: what the error is". err: errno value, of either sign. */
void errmsg_errno(struct errmsg *e, int err, const char *fmt, ...) printf_like(3, 4);
