// SPDX-License-Identifier: MIT
/* The token of a feed that is asked for by HTTP.  It is in a file, so that nobody sees it among the
 * arguments of the process. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"

enum {
	FEED_TOKEN_BYTES = 511, // with its zero byte
};

/* The first line of the file that is neither empty nor a comment (#).  `name` as for
 * secret_file_open().  0; or -errno with a message without a byte of it, *ret is empty then. */
must_check int feed_token_read(const char *name, char ret[FEED_TOKEN_BYTES], struct errmsg *error);
