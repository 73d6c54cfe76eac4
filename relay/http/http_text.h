// SPDX-License-Identifier: MIT
/*
 * A piece of a text that belongs to somebody else, and the character classes of HTTP.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Not terminated; `at` may be NULL when the length is 0. */
struct http_text {
	const char *at;
	size_t length;
};

static inline bool http_text_equals(struct http_text text, const char *other)
{
	return text.length == strlen(other) && memcmp(text.at, other, text.length) == 0;
}

/* Case of ASCII letters does not matter: field names, tokens, schemes, hosts. */
static inline bool http_text_equals_any_case(struct http_text text, const char *other)
{
	return text.length == strlen(other) && strncasecmp(text.at, other, text.length) == 0;
}

/* Without SP and HTAB at both ends (OWS of RFC 9110, 5.6.3). */
static inline struct http_text http_text_trim(struct http_text text)
{
	for (; text.length && (*text.at == ' ' || *text.at == '\t'); text.length--)
		text.at++;
	for (; text.length; text.length--) {
		if (text.at[text.length - 1] != ' ' && text.at[text.length - 1] != '\t')
			break;
	}
	return text;
}

static inline bool http_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool http_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* tchar of RFC 9110, 5.6.2. */
static inline bool http_is_token_char(char c)
{
	return http_is_digit(c) || http_is_alpha(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* What may stand in a field value, RFC 9110, 5.5: anything but control characters. */
static inline bool http_is_value_char(char c)
{
	return c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static inline bool http_text_is_token(struct http_text text)
{
	for (size_t i = 0; i < text.length; i++) {
		if (!http_is_token_char(text.at[i]))
			return false;
	}
	return text.length > 0;
}
