// SPDX-License-Identifier: MIT
/*
 * The lines of an ini file: which are sections, keys, comments, and which are none of these.
 *
 *	# a comment             a line of its own
 *	[feed demo]             a section; nothing but a comment behind it
 *	key = value  # why      a key in the first column; a comment begins at a blank and # or ;
 *
 * What sections and keys mean is left to the owner. inih takes the key lines apart; everything that
 * it would pass over in silence (long lines, broken sections, indented lines) is an error here.
 */
#pragma once

#include <stddef.h>

#include "base/compiler.h"

/* What the owner is told, in the order of the file. Texts live until the call returns. */
struct config_reader {
	/* title: what stands in the brackets, without blanks around it. NULL: a section that cannot
	 * be read; the error has been told, and the keys that follow belong to nobody. */
	void (*section)(void *owner, unsigned line, const char *title);
	/* Neither has blanks around it; the value may be empty. */
	void (*key)(void *owner, unsigned line, const char *key, const char *value);
	void (*error)(void *owner, unsigned line, const char *text);
};

/* The whole file, which may be a pipe.  Returns 0 and the caller's *ret_text; -errno when it could
 * not be read (open(2), read(2)), -EFBIG when it does not end within 64 MiB, -ENOMEM. */
int config_read_file(const char *path, char **ret_text, size_t *ret_bytes) must_check;

/* Tells the owner all that is in the text.  0 or -ENOMEM. */
int config_reader_run(const char *text, size_t bytes, const struct config_reader *reader,
		      void *owner) must_check;
