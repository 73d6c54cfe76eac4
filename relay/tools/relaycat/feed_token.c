// SPDX-License-Identifier: MIT
/* What is no token goes into no request: a line with a blank or a control would be more
 * than one field. */
#include "tools/relaycat/feed_token.h"

#include "base/secret_file.h"

#include <stdbool.h>

/* The characters of token68 (RFC 9110, 11.2), and as relay takes them. */
static bool is_token(const char *line)
{
	for (const char *at = line; *at; at++) {
		if (*at <= ' ' || *at >= 0x7f || *at == ':')
			return false;
	}
	return true;
}

static const struct secret_kind feed_token = {
	.what = "token",
	.expected = "up to 510 characters without blanks and colons",
	.is_right = is_token,
};

_Static_assert(FEED_TOKEN_BYTES == 510 + 1, "as it is said");

int feed_token_read(const char *name, char ret[FEED_TOKEN_BYTES], struct errmsg *error)
{
	struct errmsg why;
	int r = secret_file_read(name, &feed_token, ret, FEED_TOKEN_BYTES, &why);

	if (r < 0)
		errmsg_set(error, "--token-file: %s", why.text);
	return r;
}
