// SPDX-License-Identifier: MIT
/* What is no token goes into no request: a line with a blank or a control would be more
 * than one field. */
#include "tools/relaycat/feed_token.h"

#include "base/secret_file.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* The characters of token68 (RFC 9110, 11.2), and as relay takes them.  "" is none. */
static bool is_token(const char *line)
{
	for (const char *at = line; *at; at++) {
		if (*at <= ' ' || *at >= 0x7f || *at == ':')
			return false;
	}
	return *line;
}

int feed_token_read(const char *name, char ret[FEED_TOKEN_BYTES], struct errmsg *error)
{
	struct secret_file file;
	struct errmsg why;
	int r = secret_file_open(name, &file, &why);

	ret[0] = '\0';
	if (r < 0) {
		errmsg_set(error, "--token-file: %s", why.text);
		return r;
	}
	r = secret_file_next_line(&file, ret, FEED_TOKEN_BYTES);
	if (r == 0) {
		errmsg_set(error, "--token-file: %s has no token; expected a line with one",
			   file.path);
		r = -EINVAL;
	} else if (r < 0 && r != -EINVAL) {
		errmsg_errno(error, r, "--token-file: cannot read %s", file.path);
	} else if (!is_token(ret)) {
		errmsg_set(error,
			   "--token-file: the first line of %s is no token; expected up to %d "
			   "characters without blanks and colons",
			   file.path, FEED_TOKEN_BYTES - 1);
		r = -EINVAL;
	}
	if (r < 0)
		explicit_bzero(ret, FEED_TOKEN_BYTES);
	(void)fclose(file.file);
	return r < 0 ? r : 0;
}
