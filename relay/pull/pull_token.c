// SPDX-License-Identifier: MIT
/* Nothing of the secret stays in memory but in what is sent. */
#include "pull/pull_token.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/secret_file.h"
#include "http/http_text.h"

enum {
	SECRET_BYTES = 511, /* of a line, with its zero byte */
};

_Static_assert((SECRET_BYTES + 2) / 3 * 4 + 16 < (int)PULL_AUTHORIZATION_BYTES,
	       "a secret has room in its field");

/* Fit for a field: printable, and without blanks at its ends.  "" is none. */
static bool is_secret(const char *line)
{
	if (!*line)
		return false;
	for (const char *at = line; *at; at++) {
		if (!http_is_value_char(*at))
			return false;
	}
	return *line != ':' && (strchr(line, ':') || !strchr(line, ' '));
}

static void print_value(const char *secret, char ret[PULL_AUTHORIZATION_BYTES])
{
	int length;

	if (!strchr(secret, ':')) {
		(void)snprintf(ret, PULL_AUTHORIZATION_BYTES, "Bearer %s", secret);
		return;
	}
	length = snprintf(ret, PULL_AUTHORIZATION_BYTES, "Basic ");
	(void)EVP_EncodeBlock((uint8_t *)ret + length, (const uint8_t *)secret,
			      (int)strlen(secret));
}

int pull_token_read(const char *name, char ret[PULL_AUTHORIZATION_BYTES], struct errmsg *err)
{
	char line[SECRET_BYTES];
	struct secret_file file;
	int r;

	ret[0] = '\0';
	if (!*name)
		return 0;
	r = secret_file_open(name, &file, err);
	if (r < 0)
		return r;
	r = secret_file_next_line(&file, line, sizeof(line));
	if (r == 0) {
		errmsg_set(err, "%s has no token; expected a line with one, or USER:PASSWORD",
			   file.path);
		r = -EINVAL;
	} else if (r < 0 && r != -EINVAL) {
		errmsg_errno(err, r, "cannot read %s", file.path);
	} else if (!is_secret(line)) {
		errmsg_set(err,
			   "%s: its first line is no token of up to %d bytes, and not "
			   "USER:PASSWORD",
			   file.path, SECRET_BYTES - 1);
		r = -EINVAL;
	} else {
		print_value(line, ret);
		r = 0;
	}
	OPENSSL_cleanse(line, sizeof(line));
	(void)fclose(file.file);
	return r;
}

int pull_token_check(const char *name, struct errmsg *err)
{
	char value[PULL_AUTHORIZATION_BYTES];
	int r = pull_token_read(name, value, err);

	OPENSSL_cleanse(value, sizeof(value));
	return r;
}
