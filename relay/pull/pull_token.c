// SPDX-License-Identifier: MIT
/* Nothing of the secret stays in memory but in what is sent. */
#include "pull/pull_token.h"

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

/* Fit for a field: printable, and without blanks at its ends. */
static bool is_secret(const char *line)
{
	for (const char *at = line; *at; at++) {
		if (!http_is_value_char(*at))
			return false;
	}
	return *line != ':' && (strchr(line, ':') || !strchr(line, ' '));
}

static const struct secret_kind pull_token = {
	.what = "token",
	.expected = "a token of up to 510 bytes, or USER:PASSWORD",
	.is_right = is_secret,
};

_Static_assert(SECRET_BYTES == 510 + 1, "as it is said");

static void print_value(const char *text, char ret[PULL_AUTHORIZATION_BYTES])
{
	int length;

	if (!strchr(text, ':')) {
		(void)snprintf(ret, PULL_AUTHORIZATION_BYTES, "Bearer %s", text);
		return;
	}
	length = snprintf(ret, PULL_AUTHORIZATION_BYTES, "Basic ");
	(void)EVP_EncodeBlock((uint8_t *)ret + length, (const uint8_t *)text, (int)strlen(text));
}

int pull_token_read(const char *name, char ret[PULL_AUTHORIZATION_BYTES], struct errmsg *err)
{
	char line[SECRET_BYTES];
	int r;

	ret[0] = '\0';
	if (!*name)
		return 0;
	r = secret_file_read(name, &pull_token, line, sizeof(line), err);
	if (r == 0)
		print_value(line, ret);
	OPENSSL_cleanse(line, sizeof(line));
	return r;
}

int pull_token_check(const char *name, struct errmsg *err)
{
	char value[PULL_AUTHORIZATION_BYTES];
	int r = pull_token_read(name, value, err);

	OPENSSL_cleanse(value, sizeof(value));
	return r;
}
