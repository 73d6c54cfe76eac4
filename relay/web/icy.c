// SPDX-License-Identifier: MIT
/* Names and titles of audio. */
#include "web/icy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/compiler.h"
#include "base/utf8.h"
#include "http/http_response.h"

enum {
	NAME_BYTES = 16,
	VALUE_BYTES = 1024,
	QUERY_BYTES = 4096,
	/* That a publisher may say, beside the name of the feed. */
	FIELDS_BYTES = STREAM_ICY_BYTES - (int)sizeof("icy-name") - STREAM_FEED_BYTES - 1,
};

#define UPDATE_PATH "/admin/metadata"

bool icy_is_for(const char *content_type)
{
	return strncasecmp(content_type, "audio/", 6) == 0 && !strcasestr(content_type, "ogg") &&
	       !strcasestr(content_type, "opus");
}

bool icy_is_update(const struct http_request *request)
{
	return request->method == HTTP_GET && http_text_equals(request->target.path, UPDATE_PATH);
}

void icy_copy_title(const char *text, char title[ICY_TITLE_BYTES + 1])
{
	size_t bytes = 0, left = strlen(text);

	while (left > 0) {
		size_t character = utf8_character_bytes(text + bytes, left);

		if (character == 0 || bytes + character > ICY_TITLE_BYTES)
			break;
		bytes += character;
		left -= character;
	}
	memcpy(title, text, bytes);
	title[bytes] = '\0';
	for (char *at = title; (at = strstr(at, "';"));)
		*at = '`';
}

/* ---- titles ---- */

struct update {
	char mode[NAME_BYTES], mount[STREAM_FEED_BYTES + 2];
	char song[VALUE_BYTES], artist[VALUE_BYTES], title[VALUE_BYTES];
};

/* A plus is a blank, as in forms: curl and others write it so. */
static bool copy_query(const struct http_request *request, char buf[QUERY_BYTES],
		       struct http_text *ret)
{
	*ret = (struct http_text){buf, request->target.query.length};
	if (ret->length > QUERY_BYTES)
		return false;
	for (size_t i = 0; i < ret->length; i++) {
		char c = request->target.query.at[i];

		buf[i] = c == '+' ? ' ' : c;
	}
	return true;
}

static const char *read_query(const struct http_request *request, struct update *ret)
{
	const struct {
		const char *name;
		char *value;
		size_t size;
	} known[] = {
		{"mode", ret->mode, sizeof(ret->mode)},
		{"mount", ret->mount, sizeof(ret->mount)},
		{"song", ret->song, sizeof(ret->song)},
		{"artist", ret->artist, sizeof(ret->artist)},
		{"title", ret->title, sizeof(ret->title)},
	};
	char query[QUERY_BYTES], name[NAME_BYTES], value[VALUE_BYTES];
	struct http_text rest;
	int r;

	if (!copy_query(request, query, &rest))
		return "a query that is too long";
	while ((r = http_target_parameter(&rest, name, sizeof(name), value, sizeof(value)))) {
		for (size_t i = 0; i < ARRAY_LEN(known); i++) {
			if (strcmp(name, known[i].name) != 0)
				continue;
			if (r < 0 || strlen(value) >= known[i].size)
				return "a parameter that is too long, or no UTF-8";
			memcpy(known[i].value, value, strlen(value) + 1);
		}
	}
	return NULL;
}

const char *icy_read_update(const struct http_request *request, char feed[STREAM_FEED_BYTES + 1],
			    char title[ICY_TITLE_BYTES + 1])
{
	char whole[2 * VALUE_BYTES + 3];
	struct update update = {0};
	const char *wrong = read_query(request, &update);

	if (wrong)
		return wrong;
	if (strcmp(update.mode, "updinfo") != 0)
		return "mode is not updinfo";
	if (update.mount[0] != '/')
		return "mount is not / and the name of a feed";
	if (!update.song[0] && !update.artist[0] && !update.title[0])
		return "neither song nor title says what is played";
	memcpy(feed, update.mount + 1, strlen(update.mount));
	(void)snprintf(whole, sizeof(whole), "%s%s%s", update.artist,
		       update.artist[0] && update.title[0] ? " - " : "", update.title);
	icy_copy_title(update.song[0] ? update.song : whole, title);
	return NULL;
}

ssize_t icy_print_done(char *buf, size_t size)
{
	static const char body[] = "<?xml version=\"1.0\"?>\n<iceresponse><message>Metadata update "
				   "successful</message><return>1</return></iceresponse>\n";
	struct http_response response;
	ssize_t bytes;

	http_response_begin(&response, buf, size, 200);
	http_response_field(&response, "Content-Type", "text/xml");
	http_response_field_number(&response, "Content-Length", sizeof(body) - 1);
	http_response_field(&response, "Cache-Control", "no-store");
	http_response_field(&response, "Connection", "close");
	bytes = http_response_end(&response);
	if (bytes < 0 || (size_t)bytes + sizeof(body) - 1 > size)
		return bytes < 0 ? bytes : -ENOSPC;
	memcpy(buf + bytes, body, sizeof(body) - 1);
	return bytes + (ssize_t)sizeof(body) - 1;
}

/* ---- names ---- */

static bool find_field(const struct http_fields *fields, const char *name, struct http_text *ret)
{
	char other[NAME_BYTES];

	(void)snprintf(other, sizeof(other), "ice-%s", name);
	if (http_fields_find(fields, other, ret))
		return true;
	(void)snprintf(other, sizeof(other), "icy-%s", name);
	return http_fields_find(fields, other, ret);
}

void icy_read_fields(const struct http_fields *fields, char ret[STREAM_ICY_BYTES + 2])
{
	/* What Icecast's sources say, and players know. */
	static const char *const names[][2] = {
		{"name", "name"},  {"genre", "genre"},
		{"url", "url"},    {"description", "description"},
		{"bitrate", "br"}, {"br", "br"},
		{"public", "pub"}, {"pub", "pub"},
	};
	struct http_text text;
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t name_bytes = sizeof("icy-") + strlen(names[i][1]);

		if (!find_field(fields, names[i][0], &text) || text.length == 0 ||
		    at + name_bytes + text.length + 1 > FIELDS_BYTES)
			continue;
		(void)snprintf(ret + at, name_bytes, "icy-%s", names[i][1]);
		at += name_bytes;
		memcpy(ret + at, text.at, text.length);
		at += text.length;
		ret[at++] = '\0';
	}
	ret[at] = '\0';
}

void icy_fields_of(const char published[STREAM_ICY_BYTES + 2], const char *feed,
		   char ret[STREAM_ICY_BYTES + 2])
{
	bool has_name = strcmp(published, "icy-name") == 0; /* it stands first */
	int at = 0;

	memset(ret, 0, STREAM_ICY_BYTES + 2);
	if (!has_name)
		at = 1 + snprintf(ret, STREAM_ICY_BYTES, "icy-name%c%s", '\0', feed);
	memcpy(ret + at, published, has_name ? STREAM_ICY_BYTES + 2 : FIELDS_BYTES + 1);
}
