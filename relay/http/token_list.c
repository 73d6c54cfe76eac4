// SPDX-License-Identifier: MIT
/* Token lists.  Digests by libcrypto; a lock is not needed: a list is made, then only read. */
#include "http/token_list.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/secret_file.h"

/* b64token of RFC 6750, 2.1. */
#define TOKEN_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"

static bool digest(const char *token, size_t bytes, uint8_t ret[TOKEN_DIGEST_BYTES])
{
	return EVP_Digest(token, bytes, ret, NULL, EVP_sha256(), NULL) == 1;
}

static bool is_token(const char *text, size_t bytes)
{
	size_t body = strspn(text, TOKEN_CHARS);

	return body > 0 && body + strspn(text + body, "=") == bytes;
}

static int add(struct token_list *list, const char *token, size_t bytes)
{
	uint8_t(*digests)[TOKEN_DIGEST_BYTES];

	digests = reallocarray(list->digests, list->count + 1, sizeof(*digests));
	if (!digests)
		return -ENOMEM;
	list->digests = digests;
	if (!digest(token, bytes, digests[list->count]))
		return -ENOMEM;
	list->count++;
	return 0;
}

/* "" is no token. */
static int take_line(struct token_list *list, const char *line, const struct secret_file *file,
		     struct errmsg *err)
{
	size_t bytes = strlen(line);
	int r;

	if (!is_token(line, bytes)) {
		errmsg_set(err,
			   "%s:%u: this is no token; expected 1 to %d letters, digits or "
			   "- . _ ~ + / and = at the end",
			   file->path, file->line, TOKEN_BYTES_MAX);
		return -EINVAL;
	}
	if (list->count == TOKENS_MAX) {
		errmsg_set(err, "%s:%u: more than %d tokens", file->path, file->line, TOKENS_MAX);
		return -E2BIG;
	}
	r = add(list, line, bytes);
	if (r < 0)
		errmsg_errno(err, r, "%s", file->path);
	return r;
}

static int read_lines(struct token_list *list, struct secret_file *file, struct errmsg *err)
{
	char line[TOKEN_BYTES_MAX + 1];
	int r = 0, found;

	while (r == 0 && (found = secret_file_next_line(file, line, sizeof(line))) != 0) {
		if (found == 1 || found == -EINVAL) {
			r = take_line(list, line, file, err);
		} else {
			r = found;
			errmsg_errno(err, r, "cannot read %s", file->path);
		}
	}
	OPENSSL_cleanse(line, sizeof(line));
	if (r == 0 && list->count == 0) {
		errmsg_set(err, "%s has no token in it; expected one a line", file->path);
		r = -EINVAL;
	}
	return r;
}

int token_list_load(struct token_list *ret, const char *name, struct errmsg *err)
{
	struct token_list list = {0};
	struct secret_file secret;
	int r = secret_file_open(name, &secret, err);

	if (r < 0)
		return r;
	if (secret.is_for_all)
		log_warn("everybody on this machine can read the tokens in %s, ignoring",
			 secret.path);
	r = read_lines(&list, &secret, err);
	(void)fclose(secret.file);
	if (r < 0) {
		token_list_free(&list);
		return r;
	}
	*ret = list;
	return 0;
}

void token_list_free(struct token_list *list)
{
	free(list->digests);
	*list = (struct token_list){0};
}

int token_list_has(const struct token_list *list, const char *token, size_t bytes)
{
	uint8_t asked[TOKEN_DIGEST_BYTES];
	unsigned found = 0;

	if (!digest(token, bytes, asked))
		return -ENOMEM;
	/* All are compared, so the time does not say which one it was. */
	for (size_t i = 0; i < list->count; i++)
		found |= CRYPTO_memcmp(asked, list->digests[i], sizeof(asked)) == 0;
	return (int)found;
}
