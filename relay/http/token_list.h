// SPDX-License-Identifier: MIT
/*
 * Bearer tokens (RFC 6750): read from a file, one a line, and asked for.
 *
 * Only digests are kept, so a dump of the memory gives no token away, and comparing them in
 * constant time does not even tell the length.  No text of this file's errors has a byte of a token
 * in it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"

#define TOKEN_BYTES_MAX    512
#define TOKEN_DIGEST_BYTES 32
#define TOKENS_MAX         1024

/* All zero has no token. */
struct token_list {
	uint8_t (*digests)[TOKEN_DIGEST_BYTES]; /* owned */
	size_t count;
};

/* Reads the file; `path` as for secret_file_open().  Empty lines and those that start with # are
 * skipped.  Returns 0.  Or -errno with a message that names the file, *ret has not changed then:
 * -EINVAL for a line that is no token, which is named too, and for a file without any; -E2BIG for
 * more than TOKENS_MAX; -ENOMEM; else as open(2) and read(2). */
int token_list_load(struct token_list *ret, const char *path, struct errmsg *err) must_check;

/* Idempotent; leaves it all zero. */
void token_list_free(struct token_list *list);

/* 1: it is one of them; 0: it is not; -ENOMEM: libcrypto has no memory to say.  Takes as long
 * whatever the token is, as far as its length allows. */
int token_list_has(const struct token_list *list, const char *token, size_t bytes);
