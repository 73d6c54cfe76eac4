// SPDX-License-Identifier: MIT
/* The request of relay as a client. */
#include "pull/pull_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "table/format.h"

struct text {
	char *at;
	size_t length;
};

_Static_assert((int)PULL_REQUEST_BYTES >= PULL_URL_BYTES + PULL_AUTHORIZATION_BYTES + 1024,
	       "a request has room for all that is in it");

static void add(struct text *text, const char *bytes, size_t count)
{
	memcpy(text->at + text->length, bytes, count);
	text->length += count;
	text->at[text->length] = '\0';
}

static void add_text(struct text *text, const char *more)
{
	add(text, more, strlen(more));
}

bool pull_url_is_ntrip(const char *url)
{
	return strncasecmp(url, "ntrip://", 8) == 0;
}

/* ---- the query of a framed stream ---- */

static bool is_named(const char *parameter, size_t bytes, const char *name)
{
	size_t length = strlen(name);

	return bytes >= length && strncmp(parameter, name, length) == 0 &&
	       (bytes == length || parameter[length] == '=');
}

/* A place that is known wins over the beginning that the operator has asked for. */
static bool is_replaced(const char *parameter, size_t bytes, bool has_place)
{
	if (is_named(parameter, bytes, "format"))
		return true;
	return has_place &&
	       (is_named(parameter, bytes, "from") || is_named(parameter, bytes, "since") ||
		is_named(parameter, bytes, "burst"));
}

static void add_query(struct text *text, const char *query, const struct pull_place *place)
{
	char from[64];

	add_text(text, "?format=framed");
	while (*query) {
		size_t bytes = strcspn(query, "&");

		if (bytes && !is_replaced(query, bytes, place->is_known)) {
			add_text(text, "&");
			add(text, query, bytes);
		}
		query += bytes + (query[bytes] == '&');
	}
	if (!place->is_known)
		return;
	(void)snprintf(from, sizeof(from), "&from=%" PRIu32 "-%" PRIu64, place->session,
		       place->sequence);
	add_text(text, from);
}

static void add_target(struct text *text, const struct pull_request *request, const char *path)
{
	size_t bytes = strcspn(path, "?");

	if (!request->is_framed) {
		add_text(text, path);
		return;
	}
	add(text, path, bytes);
	add_query(text, path + bytes + (path[bytes] == '?'), &request->place);
}

/* ---- the head ---- */

static void add_field(struct text *text, const char *name, const char *value)
{
	add_text(text, name);
	add_text(text, ": ");
	add_text(text, value);
	add_text(text, "\r\n");
}

/* Casters send the source table to who is no NTRIP client by its name (NTRIP 1.0, 3.2).  HTTP/1.1,
 * for with chunks it shows when a body was cut. */
size_t pull_request_print(const struct pull_request *request, char buf[PULL_REQUEST_BYTES])
{
	const char *authority = strstr(request->url, "://") + 3;
	size_t bytes = strcspn(authority, "/");
	bool is_ntrip = pull_url_is_ntrip(request->url);
	struct text text = {.at = buf};

	add_text(&text, "GET ");
	add_target(&text, request, authority + bytes);
	add_text(&text, " HTTP/1.1\r\nHost: ");
	add(&text, authority, bytes);
	add_text(&text, "\r\n");
	add_field(&text, "User-Agent", is_ntrip ? "NTRIP relay" : "relay");
	if (is_ntrip)
		add_field(&text, "Ntrip-Version", "Ntrip/2.0");
	if (is_ntrip && *request->gga)
		add_field(&text, "Ntrip-GGA", request->gga);
	add_field(&text, "Accept", request->is_framed ? format_row(FORMAT_FRAMED)->media : "*/*");
	add_field(&text, "Accept-Encoding", "identity");
	if (*request->authorization)
		add_field(&text, "Authorization", request->authorization);
	add_field(&text, "Connection", "close");
	add_text(&text, "\r\n");
	return text.length;
}
