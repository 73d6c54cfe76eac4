// SPDX-License-Identifier: MIT
/*
 * Origins of web pages (RFC 6454), as the operator lists them and as a browser sends them:
 * SCHEME://HOST or SCHEME://HOST:PORT, compared without case, a scheme's default port being no
 * port.
 *
 *	none                                            no page of another origin
 *	*                                               pages of all origins
 *	https://example.org, http://localhost:8000      pages of these
 *	null, file://                                   pages that have no site
 *
 * Pure texts.  Whether a request has an Origin at all, and what follows, is left to others.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/errmsg.h"

#define ORIGINS_EXPECTED                                                                           \
	"none, *, or origins such as https://example.org or null, separated by commas"

/* In the text that it was read from. */
struct origin {
	const char *at;
	size_t length;          /* without a default port */
	const char *authority;  /* HOST or HOST:PORT; empty without a site */
	size_t authority_bytes; /* without a default port */
};

bool origins_is_none(const char *list);
bool origins_is_any(const char *list);

/* Reads the origin at the start of *rest, a list with commas, and moves *rest behind it.  Returns
 * 1; 0 at the end of the list; -EINVAL with what is wrong in *err. */
int origin_parse_next(const char **rest, struct origin *ret, struct errmsg *err) must_check;

/* Reads one origin.  False for anything else. */
bool origin_parse(const char *text, size_t length, struct origin *ret) must_check;

/* Is it `null`?  Any page can make itself one (a sandboxed frame). */
bool origin_is_null(const struct origin *origin);

/* Is it on the list?  On "none" there is none; on "*", all are.  The list must be well formed. */
bool origins_have(const char *list, const struct origin *origin);

/* Is it that of a server which was asked as `host` (the Host field)?  The scheme is not known here:
 * a proxy may have taken TLS off. */
bool origin_is_of_host(const struct origin *origin, const char *host, size_t length);
