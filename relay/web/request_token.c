// SPDX-License-Identifier: MIT
/* Tokens in requests: each place is looked at in turn. */
#include "web/request_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "http/stream_request.h"

#define PARAMETER "access_token"

enum {
	NAME_BYTES = sizeof(PARAMETER) + 1, /* of what is longer nobody knows the name */
	BASIC_BYTES = 1024,                 /* of USER:TOKEN in base64, at most */
};

static void set(struct request_token *token, struct http_text text)
{
	token->is_there = true;
	if (text.length == 0 || text.length > TOKEN_BYTES_MAX || memchr(text.at, '\0', text.length))
		return;
	memcpy(token->text, text.at, text.length);
	token->text[text.length] = '\0';
}

/* What stands behind the scheme, without case.  NULL: it is another one. */
static struct http_text behind_scheme(struct http_text value, const char *scheme)
{
	size_t length = strlen(scheme);

	if (value.length < length || strncasecmp(value.at, scheme, length) != 0)
		return (struct http_text){0};
	return http_text_trim((struct http_text){value.at + length, value.length - length});
}

/* USER:TOKEN in base64 (RFC 4648, 4), with its padding. */
static void set_basic(struct request_token *token, struct http_text code)
{
	uint8_t plain[BASIC_BYTES];
	const uint8_t *colon;
	size_t padding = 0;
	int bytes;

	token->is_there = true;
	if (code.length == 0 || code.length > BASIC_BYTES || code.length % 4)
		return;
	while (padding < 2 && code.at[code.length - 1 - padding] == '=')
		padding++;
	bytes = EVP_DecodeBlock(plain, (const uint8_t *)code.at, (int)code.length);
	if (bytes > (int)padding && (colon = memchr(plain, ':', (size_t)bytes - padding)))
		set(token, (struct http_text){(const char *)colon + 1,
					      (size_t)(plain + bytes - padding - colon) - 1});
	OPENSSL_cleanse(plain, sizeof(plain));
}

static bool find_authorization(const struct http_request *request, struct request_token *ret)
{
	struct http_text value, text;

	if (!http_fields_find(&request->fields, "Authorization", &value))
		return false;
	text = behind_scheme(value, "Basic ");
	if (text.at) {
		set_basic(ret, text);
		return true;
	}
	text = behind_scheme(value, "Bearer ");
	if (text.length)
		set(ret, text);
	return true;
}

static bool find_protocol(const struct http_request *request, struct request_token *ret)
{
	struct http_list list = {.fields = &request->fields, .name = "Sec-WebSocket-Protocol"};
	const size_t prefix = sizeof(STREAM_TOKEN_PROTOCOL) - 1;
	struct http_text text;

	while (http_list_next(&list, &text)) {
		if (text.length <= prefix || memcmp(text.at, STREAM_TOKEN_PROTOCOL, prefix) != 0)
			continue;
		set(ret, (struct http_text){text.at + prefix, text.length - prefix});
		return true;
	}
	return false;
}

static bool find_parameter(const struct http_request *request, struct request_token *ret)
{
	struct http_text rest = request->target.query;
	char name[NAME_BYTES], value[TOKEN_BYTES_MAX + 1];
	int r;

	while ((r = http_target_parameter(&rest, name, sizeof(name), value, sizeof(value)))) {
		if (strcmp(name, PARAMETER) == 0)
			break;
	}
	if (r)
		set(ret, (struct http_text){value, r > 0 ? strlen(value) : 0});
	OPENSSL_cleanse(value, sizeof(value));
	return r != 0;
}

/* name=value; name=value (RFC 6265, 4.2).  False: it is not there. */
static bool find_in_cookies(struct http_text cookies, struct request_token *ret)
{
	const size_t prefix = sizeof(PARAMETER "=") - 1;

	while (cookies.length > 0) {
		const char *end = memchr(cookies.at, ';', cookies.length);
		size_t length = end ? (size_t)(end - cookies.at) : cookies.length;
		struct http_text one = http_text_trim((struct http_text){cookies.at, length});

		if (one.length >= prefix && memcmp(one.at, PARAMETER "=", prefix) == 0) {
			set(ret, (struct http_text){one.at + prefix, one.length - prefix});
			ret->is_cookie = true;
			return true;
		}
		length += end != NULL;
		cookies.at += length;
		cookies.length -= length;
	}
	return false;
}

static bool find_cookie(const struct http_request *request, struct request_token *ret)
{
	struct http_text cookies;

	return http_fields_find(&request->fields, "Cookie", &cookies) &&
	       find_in_cookies(cookies, ret);
}

void request_token_find(const struct http_request *request, struct request_token *ret)
{
	*ret = (struct request_token){0};
	if (request->password.at)
		set(ret, request->password);
	else if (!find_authorization(request, ret) && !find_protocol(request, ret) &&
		 !find_parameter(request, ret))
		(void)find_cookie(request, ret);
}

void request_token_forget(struct request_token *token)
{
	OPENSSL_cleanse(token, sizeof(*token));
}

int request_token_is_in(const struct request_token *token, const struct token_list *list)
{
	return token->text[0] ? token_list_has(list, token->text, strlen(token->text)) : 0;
}
