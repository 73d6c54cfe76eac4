// SPDX-License-Identifier: MIT
/* NTRIP: its few words beside those of HTTP. */
#include "web/ntrip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http_response.h"

enum {
	HEAD_BYTES = 512,
	LINE_BYTES = 128, /* of the table, but for the names in it */
};

#define TABLE_END "ENDSOURCETABLE\r\n"

static bool begins_with(struct http_text text, const char *word)
{
	size_t length = strlen(word);

	return text.length >= length && strncasecmp(text.at, word, length) == 0;
}

enum stream_dialect ntrip_dialect_of(const struct http_request *request)
{
	struct http_text text;

	if (request->password.at)
		return STREAM_NTRIP_1;
	if (http_fields_find(&request->fields, "Ntrip-Version", &text))
		return begins_with(text, "Ntrip/2.0") ? STREAM_NTRIP_2 : STREAM_NTRIP_1;
	if (http_fields_find(&request->fields, "User-Agent", &text) && begins_with(text, "NTRIP"))
		return STREAM_NTRIP_1;
	return STREAM_HTTP;
}

/* STR;mount;identifier;format;details;carrier;system;network;country;latitude;longitude;nmea;
 * solution;generator;compression;authentication;fee;bit rate; */
static size_t print_lines(const struct ntrip_mount *mounts, size_t count, bool has_tokens,
			  char *buf, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < count; i++)
		at += (size_t)snprintf(buf + at, size - at,
				       "STR;%s;%s;%s;;2;;;;0.00;0.00;0;0;relay;none;%s;N;0;\r\n",
				       mounts[i].name, mounts[i].name, mounts[i].format,
				       has_tokens ? "B" : "N");
	return at + (size_t)snprintf(buf + at, size - at, TABLE_END);
}

static size_t print_head(enum stream_dialect dialect, size_t body_bytes, char *buf, size_t size)
{
	struct http_response response;
	ssize_t bytes;

	if (dialect == STREAM_NTRIP_1)
		return (size_t)snprintf(buf, size,
					"SOURCETABLE 200 OK\r\nServer: relay\r\n"
					"Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
					body_bytes);
	http_response_begin(&response, buf, size, 200);
	http_response_field(&response, "Ntrip-Version", "Ntrip/2.0");
	http_response_field(&response, "Content-Type", "gnss/sourcetable");
	http_response_field_number(&response, "Content-Length", body_bytes);
	http_response_field(&response, "Connection", "close");
	bytes = http_response_end(&response);
	return bytes > 0 ? (size_t)bytes : 0;
}

char *ntrip_print_table(enum stream_dialect dialect, const struct ntrip_mount *mounts, size_t count,
			bool has_tokens, size_t *ret_bytes)
{
	size_t size = sizeof(TABLE_END), body_bytes, head_bytes;
	char *body, *whole;

	for (size_t i = 0; i < count; i++)
		size += LINE_BYTES + 2 * strlen(mounts[i].name) + strlen(mounts[i].format);
	body = malloc(size);
	whole = malloc(HEAD_BYTES + size);
	if (!body || !whole) {
		free(body);
		free(whole);
		return NULL;
	}
	body_bytes = print_lines(mounts, count, has_tokens, body, size);
	head_bytes = print_head(dialect, body_bytes, whole, HEAD_BYTES);
	memcpy(whole + head_bytes, body, body_bytes);
	free(body);
	*ret_bytes = head_bytes + body_bytes;
	return whole;
}

ssize_t ntrip_print_refusal(int status, const char *text, char *buf, size_t size)
{
	return snprintf(buf, size, "ERROR - %s: %s\r\n",
			status == 401 ? "Bad Password" : "Mount Point Taken or Invalid", text);
}
