// SPDX-License-Identifier: MIT
/* Each protocol is tried in turn; the first that can still be it decides. */
#include "source/first_bytes.h"

#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"

/* Enough to be sure: the words are followed by a blank or a digit, which binary data and text
 * seldom have there. */
static const struct {
	const char *bytes;
	size_t count;
	enum close_reason reason;
} heads[] = {
#define HEAD(text, reason)                                                                         \
	{                                                                                          \
		text, sizeof(text) - 1, CLOSE_##reason                                             \
	}
	HEAD("SOURCE ", HTTP_REQUEST),     HEAD("PRI * HTTP/2", HTTP_REQUEST),
	HEAD("SSH-1.", SSH_BANNER),        HEAD("SSH-2.", SSH_BANNER),
	HEAD("PROXY TCP4 ", PROXY_HEAD),   HEAD("PROXY TCP6 ", PROXY_HEAD),
	HEAD("PROXY UNKNOWN", PROXY_HEAD), HEAD("\r\n\r\n\0\r\nQUIT\n", PROXY_HEAD),
#undef HEAD
};

static const char *const methods[] = {
	"GET ",     "HEAD ",  "POST ",  "PUT ",      "DELETE ",   "OPTIONS ",
	"CONNECT ", "TRACE ", "PATCH ", "PROPFIND ", "DESCRIBE ", "ANNOUNCE ",
};

/* How much of the beginning they have in common, when that is all that there is of one of them. */
static bool begins_alike(const uint8_t *bytes, size_t count, const char *head, size_t head_count)
{
	return memcmp(bytes, head, size_min(count, head_count)) == 0;
}

static enum first_bytes look_for_heads(const uint8_t *bytes, size_t count,
				       enum close_reason *ret_reason)
{
	enum first_bytes result = FIRST_BYTES_STREAM;

	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		if (!begins_alike(bytes, count, heads[i].bytes, heads[i].count))
			continue;
		*ret_reason = heads[i].reason;
		if (count >= heads[i].count)
			return FIRST_BYTES_FOREIGN;
		result = FIRST_BYTES_MORE;
	}
	return result;
}

/* The version behind the target: "HTTP/1.1", or "RTSP/1.0". */
static enum first_bytes look_for_version(const uint8_t *bytes, size_t count)
{
	if (begins_alike(bytes, count, "HTTP/", 5) || begins_alike(bytes, count, "RTSP/", 5))
		return count >= 5 ? FIRST_BYTES_FOREIGN : FIRST_BYTES_MORE;
	return FIRST_BYTES_STREAM;
}

/* Behind the method: a target of visible bytes, a blank, a version (RFC 9112, 3). A line of text
 * that only begins with such a word has none. */
static enum first_bytes look_behind_method(const uint8_t *bytes, size_t count, size_t room)
{
	for (size_t i = 0; i < count; i++) {
		if (bytes[i] == ' ' && i > 0)
			return i + 1 < count ? look_for_version(bytes + i + 1, count - i - 1)
					     : FIRST_BYTES_MORE;
		if (bytes[i] <= ' ' || bytes[i] == 0x7f)
			return FIRST_BYTES_STREAM;
	}
	/* Nobody's message is one word of this length: a target that is meant to be too long. */
	return count < room ? FIRST_BYTES_MORE : FIRST_BYTES_FOREIGN;
}

static enum first_bytes look_for_request(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		size_t method = strlen(methods[i]);

		if (!begins_alike(bytes, count, methods[i], method))
			continue;
		if (count <= method)
			return FIRST_BYTES_MORE;
		return look_behind_method(bytes + method, count - method, FIRST_BYTES_MAX - method);
	}
	return FIRST_BYTES_STREAM;
}

/* A record of type handshake, version 3.x, not longer than a record may be, with a ClientHello. */
static enum first_bytes look_for_tls(const uint8_t *bytes, size_t count)
{
	if (bytes[0] != 0x16 || (count > 1 && bytes[1] != 3) || (count > 2 && bytes[2] > 4) ||
	    (count > 3 && bytes[3] > 0x40) || (count > 5 && bytes[5] != 1))
		return FIRST_BYTES_STREAM;
	return count > 5 ? FIRST_BYTES_FOREIGN : FIRST_BYTES_MORE;
}

enum first_bytes first_bytes_look(const uint8_t *bytes, size_t count, enum close_reason *ret_reason)
{
	enum first_bytes result = look_for_heads(bytes, count, ret_reason);
	enum first_bytes request;

	if (result == FIRST_BYTES_FOREIGN)
		return result;
	request = look_for_request(bytes, count);
	if (request == FIRST_BYTES_FOREIGN)
		*ret_reason = CLOSE_HTTP_REQUEST;
	if (request != FIRST_BYTES_STREAM)
		return request;
	if (result == FIRST_BYTES_MORE)
		return result;
	*ret_reason = CLOSE_TLS_HELLO;
	return look_for_tls(bytes, count);
}
