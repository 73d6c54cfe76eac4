// SPDX-License-Identifier: MIT
/* Requests and answers of relaycat by HTTP. */
#include "tools/relaycat/http_feed.h"

#include "base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char scheme[] = "http://";
static const char media[] = "application/vnd.relay.framed";

bool http_feed_is_url(const char *text)
{
	return strncasecmp(text, scheme, sizeof scheme - 1) == 0;
}

/* The port may be left out; the colons of an address in brackets are none. */
static bool has_port(const char *authority)
{
	const char *bracket = strrchr(authority, ']');

	return strchr(bracket ? bracket : authority, ':') != NULL;
}

/* What would end the request line, or be no path. */
static bool is_path(const char *path)
{
	if (path[0] != '/' || path[1] == '\0' ||
	    strlen(path) >= sizeof((struct http_feed_url *)0)->path)
		return false;
	for (const char *at = path; *at; at++) {
		if (*at <= ' ' || *at >= 0x7f || *at == '?' || *at == '#')
			return false;
	}
	return true;
}

int http_feed_parse_url(const char *text, struct http_feed_url *ret, struct errmsg *error)
{
	const char *authority = text + sizeof scheme - 1;
	size_t bytes = strcspn(authority, "/");
	struct http_feed_url url = {0};

	if (!http_feed_is_url(text) || bytes == 0 || bytes >= sizeof url.authority ||
	    strcspn(authority, "@?# ") < bytes || !is_path(authority + bytes)) {
		errmsg_set(error, "%s: not a URL of a feed; expected http://HOST[:PORT]/FEED",
			   text);
		return -EINVAL;
	}
	memcpy(url.authority, authority, bytes);
	(void)snprintf(url.address, sizeof url.address, "%s%s", url.authority,
		       has_port(url.authority) ? "" : ":80");
	(void)snprintf(url.path, sizeof url.path, "%s", authority + bytes);
	*ret = url;
	return 0;
}

void http_feed_go_on(struct http_feed_range *range, uint32_t session, uint64_t sequence)
{
	range->since[0] = '\0';
	(void)snprintf(range->from, sizeof range->from, session ? "%" PRIu32 "-%" PRIu64 : "0",
		       session, sequence);
}

static size_t add_parameter(char *buf, size_t length, const char *name, const char *value)
{
	if (!*value)
		return length;
	return length + (size_t)snprintf(buf + length, HTTP_FEED_REQUEST_BYTES - length, "&%s=%s",
					 name, value);
}

size_t http_feed_print_request(const struct http_feed_url *url, const struct http_feed_range *range,
			       const char *token, char buf[HTTP_FEED_REQUEST_BYTES])
{
	size_t length =
		(size_t)snprintf(buf, HTTP_FEED_REQUEST_BYTES, "GET %s?format=framed", url->path);

	length = add_parameter(buf, length, "from", range->from);
	length = add_parameter(buf, length, "since", range->since);
	length = add_parameter(buf, length, "until", range->until);
	return length + (size_t)snprintf(buf + length, HTTP_FEED_REQUEST_BYTES - length,
					 " HTTP/1.0\r\nHost: %s\r\nAccept: %s%s%s\r\n\r\n",
					 url->authority, media,
					 *token ? "\r\nAuthorization: Bearer " : "", token);
}

/* "HTTP/1.1 200 ..." (RFC 9112, 4). */
static int parse_status(const char *text)
{
	static const char version[] = "HTTP/1.";
	const size_t at = sizeof version - 1 + 2; // behind the minor version and a blank
	char digits[4] = "";
	uint64_t status;

	if (strncmp(text, version, sizeof version - 1) != 0 || text[at - 1] != ' ')
		return -EPROTO;
	(void)snprintf(digits, sizeof digits, "%.3s", text + at);
	if (num_parse_count(digits, &status) < 0 || strlen(digits) != 3)
		return -EPROTO;
	return (int)status;
}

/* The head is whole and terminated by itself for the moment. */
static int take_head(struct http_feed_answer *answer)
{
	answer->status = parse_status(answer->text);
	if (answer->status < 0)
		return answer->status;
	if (answer->status != 200)
		return 0;
	return strcasestr(answer->text, media) ? 1 : -EPROTO;
}

/* Up to the blank line, so that nothing of the stream gets in. */
static int take_of_head(struct http_feed_answer *answer, const uint8_t *bytes, size_t size,
			size_t *ret_used)
{
	for (size_t i = 0; i < size; i++) {
		if (answer->bytes + 1 >= sizeof answer->text)
			return -EPROTO;
		answer->text[answer->bytes++] = (char)bytes[i];
		*ret_used = i + 1;
		if (answer->bytes < 4 ||
		    memcmp(answer->text + answer->bytes - 4, "\r\n\r\n", 4) != 0)
			continue;
		answer->head_bytes = answer->bytes;
		return take_head(answer);
	}
	return answer->bytes < 5 || memcmp(answer->text, "HTTP/", 5) == 0 ? 0 : -EPROTO;
}

int http_feed_take(struct http_feed_answer *answer, const uint8_t *bytes, size_t size,
		   size_t *ret_used)
{
	size_t rest;
	int r = 0;

	*ret_used = 0;
	if (!answer->head_bytes)
		r = take_of_head(answer, bytes, size, ret_used);
	if (r != 0 || !answer->head_bytes)
		return r;
	// Of a refusal that is longer, the beginning says enough.
	rest = sizeof answer->text - 1 - answer->bytes;
	if (rest > size - *ret_used)
		rest = size - *ret_used;
	memcpy(answer->text + answer->bytes, bytes + *ret_used, rest);
	answer->bytes += rest;
	*ret_used = size;
	return 0;
}

void http_feed_tell_refusal(const struct http_feed_answer *answer, const char *url,
			    struct errmsg *ret)
{
	const char *body = answer->text + answer->head_bytes;

	if (!answer->head_bytes)
		errmsg_set(ret, "%s: the connection ended before an answer to the request", url);
	else
		errmsg_set(ret, "%s: refused with %d: %.*s", url, answer->status,
			   (int)strcspn(body, "\r\n"), body);
}

bool http_feed_is_for_now(const struct http_feed_answer *answer)
{
	return !answer->head_bytes || answer->status == 408 || answer->status == 429 ||
	       answer->status >= 500;
}
