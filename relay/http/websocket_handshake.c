// SPDX-License-Identifier: MIT
/*
 * The server's part of the opening handshake of WebSocket.
 *
 * The checks stand in the order of RFC 6455, 4.2.1, but for the version: a client of another
 * version is told so before anything is asked of it that only version 13 has.
 */
#include "http/websocket_handshake.h"

#include <openssl/evp.h>

#include "base/compiler.h"
#include "http/http_response.h"
#include "packet/deflate_blocks.h"

#define KEY_BYTES 24 /* base64 of 16 bytes */

/* RFC 6455, 1.3 */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

bool websocket_is_wanted(const struct http_request *request)
{
	return http_fields_list_has(&request->fields, "Upgrade", "websocket");
}

/* Is it base64 of 16 bytes, in the one form that RFC 4648, 3.5, calls canonical: the four bits
 * that the last letter has too many are 0? */
static bool is_key(struct http_text key)
{
	if (key.length != KEY_BYTES || memcmp(key.at + KEY_BYTES - 2, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < KEY_BYTES - 2; i++) {
		char c = key.at[i];

		if (!http_is_alpha(c) && !http_is_digit(c) && c != '+' && c != '/')
			return false;
	}
	return strchr("AQgw", key.at[KEY_BYTES - 3]) != NULL;
}

/* Every subprotocol is a token, and none stands twice (4.1, 10). */
static bool are_protocols_valid(const struct http_request *request)
{
	static const char name[] = "Sec-WebSocket-Protocol";
	struct http_list list = {.fields = &request->fields, .name = name};
	struct http_text one, other;
	size_t count = 0;

	for (; http_list_next(&list, &one); count++) {
		struct http_list earlier = {.fields = &request->fields, .name = name};

		if (!http_text_is_token(one))
			return false;
		for (size_t i = 0; i < count && http_list_next(&earlier, &other); i++) {
			if (one.length == other.length && !memcmp(one.at, other.at, one.length))
				return false;
		}
	}
	return count > 0 || http_fields_count(&request->fields, name) == 0;
}

/* 101, or the status to refuse with. */
static int check(const struct http_request *request, struct http_text *ret_key, const char **reason)
{
	const struct http_fields *fields = &request->fields;
	struct http_text version;

	*reason = "WebSocket starts with a GET";
	if (request->method != HTTP_GET)
		return 405;
	*reason = "WebSocket needs HTTP/1.1";
	if (request->minor_version < 1)
		return 400;
	*reason = "no \"Upgrade: websocket\"";
	if (!websocket_is_wanted(request))
		return 400;
	*reason = "no \"Connection: Upgrade\"";
	if (!http_fields_list_has(fields, "Connection", "Upgrade"))
		return 400;
	*reason = "no Sec-WebSocket-Version";
	if (!http_fields_find(fields, "Sec-WebSocket-Version", &version))
		return 400;
	*reason = "version 13 of WebSocket is spoken here";
	if (!http_text_equals(version, "13"))
		return 426;
	*reason = "no Sec-WebSocket-Key of 16 bytes in base64";
	if (!http_fields_find(fields, "Sec-WebSocket-Key", ret_key) || !is_key(*ret_key))
		return 400;
	*reason = "Sec-WebSocket-Protocol is not a list of different tokens";
	if (!are_protocols_valid(request))
		return 400;
	*reason = NULL;
	return 101;
}

/* 4.2.2, 5.4.  False when libcrypto cannot: mostly it had no memory. */
static bool make_accept(struct http_text key, char accept[WEBSOCKET_ACCEPT_BYTES])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[KEY_BYTES + sizeof(GUID) - 1];
	unsigned digest_bytes = 0;

	memcpy(text, key.at, KEY_BYTES);
	memcpy(text + KEY_BYTES, GUID, sizeof(GUID) - 1);
	if (EVP_Digest(text, sizeof(text), digest, &digest_bytes, EVP_sha1(), NULL) != 1)
		return false;
	EVP_EncodeBlock((unsigned char *)accept, digest, (int)digest_bytes);
	return true;
}

void websocket_handshake_check(const struct http_request *request, struct websocket_handshake *ret)
{
	struct http_text key;

	*ret = (struct websocket_handshake){.is_head = request->method == HTTP_HEAD};
	ret->status = check(request, &key, &ret->reason);
	if (ret->status == 101 && !make_accept(key, ret->accept)) {
		ret->status = 503;
		ret->reason = "no SHA-1 from libcrypto; out of memory";
	}
}

const char *websocket_select_protocol(const struct http_request *request,
				      const char *const *supported, size_t count)
{
	struct http_list list = {.fields = &request->fields, .name = "Sec-WebSocket-Protocol"};
	struct http_text one;

	while (http_list_next(&list, &one)) {
		for (size_t i = 0; i < count; i++) {
			if (http_text_equals(one, supported[i]))
				return supported[i];
		}
	}
	return NULL;
}

/* ---- permessage-deflate ---- */

enum parameter_value {
	NO_VALUE,
	PERHAPS_VALUE,
	HAS_VALUE,
};

enum {
	SERVER_CONTEXT,
	CLIENT_CONTEXT,
	SERVER_WINDOW,
	CLIENT_WINDOW,
};

/* RFC 7692, 7.1 */
static const struct {
	const char *name;
	enum parameter_value value;
} deflate_parameters[] = {
	[SERVER_CONTEXT] = {"server_no_context_takeover", NO_VALUE},
	[CLIENT_CONTEXT] = {"client_no_context_takeover", NO_VALUE},
	[SERVER_WINDOW] = {"server_max_window_bits", HAS_VALUE},
	[CLIENT_WINDOW] = {"client_max_window_bits", PERHAPS_VALUE},
};

/* A value may be quoted (RFC 6455, 9.1). */
static struct http_text unquote(struct http_text value)
{
	if (value.length >= 2 && value.at[0] == '"' && value.at[value.length - 1] == '"')
		return (struct http_text){value.at + 1, value.length - 2};
	return value;
}

/* 8 to 15; 0: it is none of them. */
static unsigned read_window_bits(struct http_text value)
{
	static const char *const numbers[] = {"8", "9", "10", "11", "12", "13", "14", "15"};

	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
		if (http_text_equals(value, numbers[i]))
			return 8 + i;
	}
	return 0;
}

/* Which one it is; -1: it is none, or not as it has to be. */
static int find_parameter(struct http_text name, struct http_text value, bool has_value)
{
	for (size_t i = 0; i < ARRAY_LEN(deflate_parameters); i++) {
		enum parameter_value expected = deflate_parameters[i].value;

		if (!http_text_equals_any_case(name, deflate_parameters[i].name))
			continue;
		if (has_value ? expected == NO_VALUE || !read_window_bits(value)
			      : expected == HAS_VALUE)
			return -1;
		return (int)i;
	}
	return -1;
}

/* Can it be met?  *ret_has_window: it says how large the window may be. */
static bool can_meet(struct http_text parameters, bool *ret_has_window)
{
	unsigned seen = 0;

	while (parameters.length > 0) {
		struct http_text one = http_list_take(&parameters, ';');
		struct http_text name = http_list_take(&one, '=');
		bool has_value = one.at > name.at + name.length;
		struct http_text value = unquote(http_text_trim(one));
		int index = find_parameter(name, value, has_value);

		if (index < 0 || seen & 1u << index)
			return false;
		if (index == SERVER_WINDOW && read_window_bits(value) < DEFLATE_WINDOW_BITS)
			return false;
		seen |= 1u << index;
	}
	*ret_has_window = seen & 1u << SERVER_WINDOW;
	return true;
}

const char *websocket_select_deflate(const struct http_request *request)
{
	struct http_list list = {.fields = &request->fields, .name = "Sec-WebSocket-Extensions"};
	struct http_text offer;
	bool has_window;

	while (http_list_next(&list, &offer)) {
		if (!http_text_equals_any_case(http_list_take(&offer, ';'), "permessage-deflate") ||
		    !can_meet(offer, &has_window))
			continue;
		return has_window ? "permessage-deflate; server_no_context_takeover; "
				    "client_no_context_takeover; server_max_window_bits=15"
				  : "permessage-deflate; server_no_context_takeover; "
				    "client_no_context_takeover";
	}
	return NULL;
}

/* ---- the answer ---- */

ssize_t websocket_handshake_answer(const struct websocket_handshake *handshake, char *buf,
				   size_t size)
{
	struct http_response response;

	http_response_begin(&response, buf, size, handshake->status);
	if (handshake->status != 101) {
		if (handshake->status == 405)
			http_response_field(&response, "Allow", "GET");
		if (handshake->status == 426) {
			/* Connection goes with Upgrade, RFC 9110, 7.8; end_text() adds "close". */
			http_response_field(&response, "Upgrade", "websocket");
			http_response_field(&response, "Connection", "Upgrade");
			http_response_field(&response, "Sec-WebSocket-Version", "13");
		}
		return http_response_end_text(&response, handshake->reason, handshake->is_head);
	}
	http_response_field(&response, "Upgrade", "websocket");
	http_response_field(&response, "Connection", "Upgrade");
	http_response_field(&response, "Sec-WebSocket-Accept", handshake->accept);
	if (handshake->protocol)
		http_response_field(&response, "Sec-WebSocket-Protocol", handshake->protocol);
	if (handshake->extension)
		http_response_field(&response, "Sec-WebSocket-Extensions", handshake->extension);
	return http_response_end(&response);
}
