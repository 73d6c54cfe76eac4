// SPDX-License-Identifier: MIT
/*
 * The target of a request.
 *
 * Everything is decided when it is parsed, so that decoding later cannot fail but for lack of room.
 * Texts are compared by walking both in decoded form; nothing is copied.
 */
#include "http/http_target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>

#include "base/utf8.h"

/* Beside letters and digits; pchar of RFC 3986, 3.3, without the percent sign. */
#define PATH_CHARS "-._~!$&'()*+,;=:@/"
#define HOST_CHARS "-._~!$&'()*+,;="

static int hex_digit(char c)
{
	if (http_is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_escape(struct http_text text, size_t at)
{
	return text.length - at >= 3 && hex_digit(text.at[at + 1]) >= 0 &&
	       hex_digit(text.at[at + 2]) >= 0;
}

/* Letters, digits, `others`, and whole escapes only? */
static bool is_made_of(struct http_text text, const char *others)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.at[i];

		if (c == '%' && is_escape(text, i))
			i += 2;
		else if (!http_is_alpha(c) && !http_is_digit(c) && (!c || !strchr(others, c)))
			return false;
	}
	return true;
}

/* The next byte, decoded, of a text that is_made_of() whole escapes; -1 at its end. */
static int next_byte(struct http_text *rest)
{
	char c;

	if (rest->length == 0)
		return -1;
	c = rest->at[0];
	if (c == '%') {
		int byte = hex_digit(rest->at[1]) << 4 | hex_digit(rest->at[2]);

		rest->at += 3;
		rest->length -= 3;
		return byte;
	}
	rest->at++;
	rest->length--;
	return (unsigned char)c;
}

/* NULL, or what is wrong with the text once it is decoded. */
static const char *check_decoded(struct http_text text)
{
	struct utf8_check check = {0};

	for (int byte; (byte = next_byte(&text)) >= 0;) {
		uint8_t one = (uint8_t)byte;

		if (one < 0x20 || one == 0x7f)
			return "a control character in the request target";
		if (!utf8_check(&check, &one, 1))
			return "the request target is not UTF-8";
	}
	return utf8_is_whole(&check) ? NULL : "the request target is not UTF-8";
}

static int decode(struct http_text text, char *buf, size_t size)
{
	size_t length = 0;

	for (int byte; (byte = next_byte(&text)) >= 0;) {
		if (length + 1 >= size)
			return -ENOSPC;
		buf[length++] = (char)byte;
	}
	if (length >= size)
		return -ENOSPC;
	buf[length] = '\0';
	return (int)length;
}

/* "." and "..", however they are written. */
static bool is_dot_segment(struct http_text segment)
{
	size_t dots = 0;

	for (int byte; (byte = next_byte(&segment)) >= 0; dots++) {
		if (byte != '.' || dots == 2)
			return false;
	}
	return dots > 0;
}

static const char *check_path(struct http_text path)
{
	if (!is_made_of(path, PATH_CHARS))
		return "a character or escape in the path that is not allowed there";
	for (struct http_text rest = path; rest.length > 0;) {
		struct http_text segment = {rest.at + 1, 0};

		while (segment.length + 1 < rest.length && segment.at[segment.length] != '/')
			segment.length++;
		if (is_dot_segment(segment))
			return "a segment . or .. in the path";
		rest.at += segment.length + 1;
		rest.length -= segment.length + 1;
		for (int byte; (byte = next_byte(&segment)) >= 0;) {
			if (byte == '/')
				return "an encoded slash in the path";
		}
	}
	return check_decoded(path);
}

/* Takes the next parameter, name=value or name, off *rest; empty ones are passed over. */
static bool next_parameter(struct http_text *rest, struct http_text *name, struct http_text *value)
{
	while (rest->length > 0) {
		const char *at = rest->at;
		const char *end = memchr(at, '&', rest->length);
		size_t length = end ? (size_t)(end - at) : rest->length;
		const char *equals = memchr(at, '=', length);
		size_t name_length = equals ? (size_t)(equals - at) : length;

		rest->at += length + (end != NULL);
		rest->length -= length + (end != NULL);
		if (length == 0)
			continue;
		*name = (struct http_text){at, name_length};
		*value = equals ? (struct http_text){equals + 1, length - name_length - 1}
				: (struct http_text){at + length, 0};
		return true;
	}
	return false;
}

/* Behind an IPv6 address may stand %25 and an interface (RFC 6874); some write % alone.  zone: NULL
 * where there is none. */
static bool is_zone(const char *zone, const char *end)
{
	if (zone && zone + 1 == end)
		return false;
	for (; zone && zone < end; zone++) {
		if (!http_is_alpha(*zone) && !http_is_digit(*zone) && !strchr("%-._~", *zone))
			return false;
	}
	return true;
}

bool http_authority_is_valid(struct http_text authority)
{
	const char *at = authority.at;
	size_t length = authority.length, host = 0;
	uint32_t port = 0;

	if (length > 0 && at[0] == '[') {
		char text[INET6_ADDRSTRLEN];
		const char *end = memchr(at, ']', length);
		const char *zone = end ? memchr(at, '%', (size_t)(end - at)) : NULL;
		struct in6_addr address;

		if (!end || !is_zone(zone, end))
			return false;
		host = (size_t)((zone ? zone : end) - at) - 1;
		if (host >= sizeof(text))
			return false;
		memcpy(text, at + 1, host);
		text[host] = '\0';
		if (strlen(text) != host || inet_pton(AF_INET6, text, &address) != 1)
			return false;
		host = (size_t)(end - at) + 1;
	} else {
		while (host < length && at[host] != ':')
			host++;
		if (!is_made_of((struct http_text){at, host}, HOST_CHARS))
			return false;
	}
	if (host == length)
		return true;
	if (at[host] != ':')
		return false;
	for (size_t i = host + 1; i < length; i++) {
		if (!http_is_digit(at[i]) || (port = port * 10 + (uint32_t)(at[i] - '0')) > 65535)
			return false;
	}
	return true;
}

/* "http://" or "https://" at the start, without case; its length, or 0. */
static size_t scheme_length(struct http_text text)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t length = strlen(schemes[i]);

		if (text.length >= length && strncasecmp(text.at, schemes[i], length) == 0)
			return length;
	}
	return 0;
}

/* Takes scheme and authority of the absolute-form off *rest, if it is one. */
static const char *take_authority(struct http_text *rest, struct http_text *ret)
{
	size_t scheme = scheme_length(*rest);
	size_t end = scheme;

	*ret = (struct http_text){rest->at, 0};
	if (scheme == 0)
		return NULL;
	while (end < rest->length && rest->at[end] != '/' && rest->at[end] != '?')
		end++;
	*ret = (struct http_text){rest->at + scheme, end - scheme};
	rest->at += end;
	rest->length -= end;
	if (ret->length == 0 || ret->at[0] == ':' || !http_authority_is_valid(*ret))
		return "the host in the request target is not valid";
	return NULL;
}

const char *http_target_parse(struct http_text text, struct http_target *ret)
{
	const char *question, *wrong;

	*ret = (struct http_target){.path = text};
	if (http_text_equals(text, "*"))
		return NULL;
	wrong = take_authority(&text, &ret->authority);
	if (wrong)
		return wrong;
	question = text.length > 0 ? memchr(text.at, '?', text.length) : NULL;
	ret->path = text;
	if (question) {
		ret->path.length = (size_t)(question - text.at);
		ret->query = (struct http_text){question + 1, text.length - ret->path.length - 1};
	}
	if (ret->path.length == 0 && ret->authority.length > 0)
		ret->path = (struct http_text){"/", 1};
	if (ret->path.length == 0 || ret->path.at[0] != '/')
		return "the request target is not a path";
	if (ret->query.length > 0 && memchr(ret->query.at, '#', ret->query.length))
		return "a fragment in the request target";
	return check_path(ret->path);
}

int http_target_path(const struct http_target *target, char *buf, size_t size)
{
	return decode(target->path, buf, size);
}

/* As decode(), of a text that nobody has checked. */
static int decode_strictly(struct http_text text, char *buf, size_t size)
{
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] == '%' && !is_escape(text, i))
			return -EINVAL;
	}
	if (check_decoded(text))
		return -EINVAL;
	return decode(text, buf, size);
}

int http_target_parameter(struct http_text *rest, char *name, size_t name_size, char *value,
			  size_t value_size)
{
	struct http_text encoded_name, encoded_value;

	if (!next_parameter(rest, &encoded_name, &encoded_value))
		return 0;
	if (decode_strictly(encoded_name, name, name_size) < 0)
		name[0] = '\0';
	return decode_strictly(encoded_value, value, value_size) < 0 ? -EINVAL : 1;
}
