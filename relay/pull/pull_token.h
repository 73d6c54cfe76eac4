// SPDX-License-Identifier: MIT
/* Who relay is to an origin: a token, or a user and a password. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"
#include "pull/pull_request.h"

/* Reads the first line of the file that is neither empty nor a comment (#), and makes the value of
 * Authorization of it: of USER:PASSWORD "Basic ...", of a token, which has no colon, "Bearer ...".
 * `name` as for secret_file_open(); "": no file, *ret is empty then.  0; -errno with a message
 * without a byte of the secret, *ret is empty then too. */
int pull_token_read(const char *name, char ret[PULL_AUTHORIZATION_BYTES],
		    struct errmsg *err) must_check;

/* Could it be read?  As above, but nothing is kept. */
int pull_token_check(const char *name, struct errmsg *err) must_check;
