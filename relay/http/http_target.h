// SPDX-License-Identifier: MIT
/*
 * The target of a request: path and query, checked as a whole and decoded on request.
 *
 *	/feeds/demo?burst=64k&from=123        origin-form
 *	http://relay.example:8080/feeds/demo  absolute-form, which a server must take (RFC
 *9112, 3.2.2)
 *	*                                     asterisk-form, for OPTIONS
 *
 * Only characters that RFC 3986 allows there (so no byte above 7e, no blank, no quote); every % is
 * followed by two hexadecimal digits.  Decoded, path and parameters are UTF-8 without control
 * characters; the path has no segment "." or "..", also not in disguise, and no encoded slash.  A
 * plus sign is a plus sign.  Authority-form (CONNECT) and fragments are refused.
 */
#pragma once

#include "base/compiler.h"
#include "http/http_text.h"

#define HTTP_PARAMETERS_MAX 16

/* The texts are as on the wire and belong to whoever owns the head. */
struct http_target {
	struct http_text authority; /* ro: HOST or HOST:PORT of the absolute-form, else empty */
	struct http_text path;  /* ro: encoded, from its first "/"; "/" where there was none; "*".
				   Safe to log; the rest of the target may hold a token */
	struct http_text query; /* ro: encoded, without the "?" */
};

/* Takes the text of a target apart.  Returns NULL, or what is wrong with it, as a static text. */
const char *http_target_parse(struct http_text text, struct http_target *ret) must_check;

/* The decoded path, terminated.  Returns its length, or -ENOSPC when it does not fit: then it is
 * longer than any name the caller knows.  It has no byte below 20. */
int http_target_path(const struct http_target *target, char *buf, size_t size) must_check;

/* The parameter number `index` of the query, decoded and terminated; "text" and "text=" both have
 * an empty value.  No two have the same name.  Returns 1; 0 when there are no more; -ENOSPC when
 * name or value do not fit (the other one may have been written). */
int http_target_parameter(const struct http_target *target, size_t index, char *name,
			  size_t name_size, char *value, size_t value_size) must_check;

/* Is it HOST, HOST:PORT or [V6]:PORT, host and port perhaps empty?  (RFC 9110, 7.2) */
bool http_authority_is_valid(struct http_text authority) must_check;
