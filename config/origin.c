// SPDX-License-Identifier: MIT
/* Origins: a scheme, "://", and a host with perhaps a port; nothing else is one. */
#include "config/origin.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define BLANKS       " \t"
#define LETTERS      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS       "0123456789"
#define SCHEME_CHARS LETTERS DIGITS "+-."
#define HOST_CHARS   LETTERS DIGITS "-._~"
#define IPV6_CHARS   DIGITS "abcdefABCDEF:."

bool origins_is_none(const char *list)
{
	return strcmp(list, "none") == 0;
}

bool origins_is_any(const char *list)
{
	return strcmp(list, "*") == 0;
}

/* How many bytes at the start are out of `chars`. */
static size_t span(const char *text, size_t length, const char *chars)
{
	size_t n = 0;

	while (n < length && text[n] && strchr(chars, text[n]))
		n++;
	return n;
}

/* HOST or [V6]; 0: neither. */
static size_t host_span(const char *text, size_t length)
{
	size_t n;

	if (length == 0 || text[0] != '[')
		return span(text, length, HOST_CHARS);
	n = 1 + span(text + 1, length - 1, IPV6_CHARS);
	return n > 1 && n < length && text[n] == ']' ? n + 1 : 0;
}

/* The bytes of `authority` without the port that the scheme has anyway. */
static size_t without_default_port(const char *scheme, size_t scheme_bytes, const char *authority,
				   size_t bytes)
{
	const char *port = NULL;
	size_t length;

	if (scheme_bytes == 4 && strncasecmp(scheme, "http", 4) == 0)
		port = ":80";
	else if (scheme_bytes == 5 && strncasecmp(scheme, "https", 5) == 0)
		port = ":443";
	if (!port)
		return bytes;
	length = strlen(port);
	if (bytes > length && memcmp(authority + bytes - length, port, length) == 0)
		return bytes - length;
	return bytes;
}

/* What pages without a site send: `null` out of a sandbox or a file, `file://` out of some apps. */
static bool is_without_site(const char *text, size_t length)
{
	return (length == 4 && memcmp(text, "null", 4) == 0) ||
	       (length == 7 && strncasecmp(text, "file://", 7) == 0);
}

bool origin_is_null(const struct origin *origin)
{
	return origin->length == 4 && memcmp(origin->at, "null", 4) == 0;
}

bool origin_parse(const char *text, size_t length, struct origin *ret)
{
	size_t scheme = span(text, length, SCHEME_CHARS);
	size_t at = scheme + 3, host, digits;

	if (is_without_site(text, length)) {
		*ret = (struct origin){.at = text, .length = length, .authority = text + length};
		return true;
	}
	if (scheme == 0 || !strchr(LETTERS, text[0]) || length < at ||
	    memcmp(text + scheme, "://", 3) != 0)
		return false;
	host = host_span(text + at, length - at);
	if (host == 0)
		return false;
	if (at + host < length) {
		digits = span(text + at + host + 1, length - at - host - 1, DIGITS);
		if (text[at + host] != ':' || digits == 0 || digits > 5 ||
		    at + host + 1 + digits != length)
			return false;
	}
	*ret = (struct origin){.at = text, .authority = text + at};
	ret->authority_bytes = without_default_port(text, scheme, text + at, length - at);
	ret->length = at + ret->authority_bytes;
	return true;
}

int origin_parse_next(const char **rest, struct origin *ret, struct errmsg *err)
{
	const char *text = *rest + strspn(*rest, BLANKS);
	size_t length = strcspn(text, "," BLANKS);
	const char *behind = text + length + strspn(text + length, BLANKS);

	if (!*text)
		return 0;
	if (!origin_parse(text, length, ret)) {
		errmsg_set(err, "'%.*s' is no origin", length < 64 ? (int)length : 64, text);
		return -EINVAL;
	}
	if (*behind && (*behind != ',' || !behind[1 + strspn(behind + 1, BLANKS)])) {
		errmsg_set(err, "'%.64s' does not go on after a comma", behind);
		return -EINVAL;
	}
	*rest = *behind ? behind + 1 : behind;
	return 1;
}

static bool is_same(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
	return a_bytes == b_bytes && strncasecmp(a, b, a_bytes) == 0;
}

bool origins_have(const char *list, const struct origin *origin)
{
	struct errmsg ignored;
	struct origin one;

	if (origins_is_any(list))
		return true;
	if (origins_is_none(list))
		return false;
	while (origin_parse_next(&list, &one, &ignored) > 0) {
		if (is_same(one.at, one.length, origin->at, origin->length))
			return true;
	}
	return false;
}

bool origin_is_of_host(const struct origin *origin, const char *host, size_t length)
{
	size_t scheme;

	if (origin->authority_bytes == 0)
		return false;
	scheme = (size_t)(origin->authority - origin->at) - 3;
	length = without_default_port(origin->at, scheme, host, length);
	return is_same(origin->authority, origin->authority_bytes, host, length);
}
