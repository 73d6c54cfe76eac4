// SPDX-License-Identifier: MIT
/* Command lines of the tools, from a line of text. */
#pragma once

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <string.h>

#include "base/errmsg.h"

enum {
	WORDS_MAX = 16,
};

/* Words that are separated by single blanks, behind the name of a program.  They point into memory
 * that the next call overwrites.  Returns how many there are. */
static inline int split_words(const char *line, char *ret[WORDS_MAX])
{
	static char text[512], program[] = "program";
	int count = 1;

	assert_true(strlen(line) < sizeof(text));
	memcpy(text, line, strlen(line) + 1);
	ret[0] = program;
	for (char *at = text; *at && count < WORDS_MAX - 1;) {
		ret[count++] = at;
		at += strcspn(at, " ");
		if (*at)
			*at++ = '\0';
	}
	ret[count] = NULL;
	optind = 0; // getopt_long(3): begin anew
	return count;
}

struct refused_line {
	const char *line, *reason;
};

/* `parse` takes none of these lines, and says why. */
static inline void assert_refused(const struct refused_line *lines, size_t count,
				  int (*parse)(const char *line, struct errmsg *error))
{
	struct errmsg error;

	for (size_t i = 0; i < count; i++) {
		error.text[0] = '\0';
		if (parse(lines[i].line, &error) != -EINVAL)
			fail_msg("taken: %s", lines[i].line);
		assert_string_equal(error.text, lines[i].reason);
	}
}
