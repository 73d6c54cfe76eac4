// SPDX-License-Identifier: MIT
/*
 * The target of a request: its path and its query.
 *
 *	/feeds/demo?burst=64k&from=123          origin-form
 *	http://relay.example:8080/feeds/demo    absolute-form, which RFC 9112, 3.2.2 asks for
 *	*                                       asterisk-form, for OPTIONS
 *
 * Authority-form (CONNECT) and fragments are refused.
 *
 * A path is checked as a whole before anything of it is used:
 * - It has only characters that RFC 3986 allows: no byte above 7e, no blank, no quote.
 * - Behind each % are two hexadecimal digits.
 * - Decoded, it is UTF-8 without control characters.
 * - It has no segment "." or "..", encoded or not, and no encoded slash.
 *
 * A query may be anything: cache busters and campaigns add what they like.  A parameter is checked
 * when it is read.  A plus sign stays a plus sign.
 */
#pragma once

#include "base/compiler.h"
#include "http/http_text.h"

/* The texts are as on the wire.  They lie in the head of the request and are its owner's. */
struct http_target {
	struct http_text authority; /* ro: HOST or HOST:PORT of the absolute-form, else empty */
	struct http_text path;      /* ro: encoded, from its first "/"; "/" where there was none; or
				   "*".  It may be logged; the query may not: it may hold a token */
	struct http_text query;     /* ro: encoded, without the "?" */
};

/* Takes the text of a target apart.  Returns NULL, or what is wrong with it, as a static text. */
const char *http_target_parse(struct http_text text, struct http_target *ret) must_check;

/* The decoded path, terminated.  It has no byte below hexadecimal 20.  Returns its length, or
 * -ENOSPC when it does not fit: then it is longer than any name that the caller knows. */
int http_target_path(const struct http_target *target, char *buf, size_t size) must_check;

/* Takes the next parameter off *rest, which begins as target->query; decoded and terminated.
 * "text" and "text=" both have an empty value.  A name that does not fit, or is not right, becomes
 * "", for nobody knows it.  Returns 1; 0 when there are no more; -EINVAL for a value that does not
 * fit, has control characters or broken escapes, or is not UTF-8. */
int http_target_parameter(struct http_text *rest, char *name, size_t name_size, char *value,
			  size_t value_size) must_check;

/* Is it HOST, HOST:PORT or [V6]:PORT, host and port perhaps empty, the address perhaps with a zone?
 * (RFC 9110, 7.2) */
bool http_authority_is_valid(struct http_text authority) must_check;
