// SPDX-License-Identifier: MIT
/* Requests for streams: path, query and fields. */
#include "http/stream_request.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "http/websocket_handshake.h"

enum {
	MEDIA_TYPE_BYTES = 16, /* "application" and more */
};

enum {
	NAME_BYTES = 16,
	VALUE_BYTES = 32,
};

/* ---- the query ---- */

static const char *take_burst(const char *value, struct stream_request *ret)
{
	ret->has_burst = true;
	if (num_parse_bytes_or_duration(value, &ret->burst_bytes, &ret->burst_ms) < 0)
		return "burst is neither a size such as 64k nor a duration such as 5s";
	return NULL;
}

static const char *take_from(const char *value, struct stream_request *ret)
{
	ret->has_from = true;
	if (num_parse_count(value, &ret->from_seq) < 0)
		return "from is not the number of a message";
	return NULL;
}

static const char *take_text(const char *value, struct stream_request *ret)
{
	ret->wants_text = strcmp(value, "1") == 0 || !*value;
	if (!ret->wants_text && strcmp(value, "0") != 0)
		return "text is neither 0 nor 1";
	return NULL;
}

static const char *take_messages(const char *value, struct stream_request *ret)
{
	ret->has_messages = true;
	ret->per_message = strcmp(value, "message") == 0;
	if (!ret->per_message && strcmp(value, "packet") != 0)
		return "messages is neither packet nor message";
	return NULL;
}

/* A parameter that were passed over would be a wish that is not met and not refused. */
static const char *read_query(const struct http_request *request, struct stream_request *ret)
{
	static const struct {
		const char *name;
		const char *(*take)(const char *value, struct stream_request *ret);
	} parameters[] = {
		{"burst", take_burst},
		{"from", take_from},
		{"text", take_text},
		{"messages", take_messages},
	};
	char name[NAME_BYTES], value[VALUE_BYTES];
	int r;

	for (size_t i = 0; (r = http_target_parameter(&request->target, i, name, sizeof(name),
						      value, sizeof(value))) > 0;
	     i++) {
		const char *wrong = "unknown parameter; expected burst, from, text or messages";

		for (size_t k = 0; k < ARRAY_LEN(parameters); k++) {
			if (strcmp(name, parameters[k].name) == 0)
				wrong = parameters[k].take(value, ret);
		}
		if (wrong)
			return wrong;
	}
	if (r < 0)
		return "a parameter is too long; expected burst, from, text or messages";
	if (ret->has_burst && ret->has_from)
		return "burst and from exclude one another";
	return NULL;
}

/* ---- fields ---- */

/* A browser that resumes asks with the address it asked with before, so this counts more. */
static const char *read_last_event_id(const struct http_request *request,
				      struct stream_request *ret)
{
	struct http_text text;
	char id[VALUE_BYTES];
	uint64_t seq;

	if (!http_fields_find(&request->fields, "Last-Event-ID", &text) || text.length == 0)
		return NULL;
	if (text.length >= sizeof(id))
		return "Last-Event-ID is not the number of a message";
	memcpy(id, text.at, text.length);
	id[text.length] = '\0';
	if (num_parse_count(id, &seq) < 0 || seq == UINT64_MAX)
		return "Last-Event-ID is not the number of a message";
	ret->has_burst = false;
	ret->burst_bytes = ret->burst_ms = 0;
	ret->has_from = true;
	ret->from_seq = seq + 1;
	return NULL;
}

/* Named in Accept, not only included in a range such as every type, and not liked less than bytes.
 */
static bool is_wanted(const struct http_fields *fields, const char *media)
{
	struct http_list list = {.fields = fields, .name = "Accept"};
	const char *subtype = strchr(media, '/') + 1;
	char type[MEDIA_TYPE_BYTES];
	struct http_text element;
	unsigned liked;

	(void)snprintf(type, sizeof(type), "%.*s", (int)(subtype - media - 1), media);
	liked = http_fields_accept(fields, type, subtype);
	while (http_list_next(&list, &element)) {
		const char *end = memchr(element.at, ';', element.length);

		if (end)
			element.length = (size_t)(end - element.at);
		if (http_text_equals_any_case(http_text_trim(element), media))
			return liked &&
			       liked >= http_fields_accept(fields, "application", "octet-stream");
	}
	return false;
}

/* The first one with the carrier; with a media type that is wanted, or without one.  FORMAT_COUNT:
 * there is none. */
static enum format find_format(const struct http_request *request, enum format_carrier carrier,
			       bool has_media)
{
	for (int i = 0; i < FORMAT_COUNT; i++) {
		const struct format_row *row = format_row((enum format)i);

		if (row->carrier == carrier && has_media == (row->media != NULL) &&
		    (!has_media || is_wanted(&request->fields, row->media)))
			return (enum format)i;
	}
	return FORMAT_COUNT;
}

/* Chunks are for HTTP/1.1 on; a body that ends with the connection is for all. */
static enum format format_of(const struct http_request *request)
{
	enum format format = FORMAT_COUNT;

	if (websocket_is_wanted(request))
		return find_format(request, FORMAT_CARRIER_WEBSOCKET, false);
	for (int has_media = 1; has_media >= 0; has_media--) {
		if (request->minor_version > 0)
			format = find_format(request, FORMAT_CARRIER_CHUNKED, has_media);
		if (format == FORMAT_COUNT)
			format = find_format(request, FORMAT_CARRIER_PLAIN, has_media);
		if (format != FORMAT_COUNT)
			break;
	}
	return format;
}

/* "Bearer TOKEN"; the scheme without case. */
static struct http_text bearer_of(struct http_text value)
{
	static const char scheme[] = "Bearer ";
	const size_t length = sizeof(scheme) - 1;

	if (value.length <= length || strncasecmp(value.at, scheme, length) != 0)
		return (struct http_text){0};
	return http_text_trim((struct http_text){value.at + length, value.length - length});
}

static struct http_text find_token(const struct http_request *request)
{
	struct http_list list = {.fields = &request->fields, .name = "Sec-WebSocket-Protocol"};
	const size_t prefix = sizeof(STREAM_TOKEN_PROTOCOL) - 1;
	struct http_text text;

	if (http_fields_find(&request->fields, "Authorization", &text))
		return bearer_of(text);
	while (http_list_next(&list, &text)) {
		if (text.length > prefix && memcmp(text.at, STREAM_TOKEN_PROTOCOL, prefix) == 0)
			return (struct http_text){text.at + prefix, text.length - prefix};
	}
	return (struct http_text){0};
}

const char *stream_request_read(const struct http_request *request, struct stream_request *ret)
{
	char path[STREAM_FEED_BYTES + 2];
	const char *wrong;
	int length;

	*ret = (struct stream_request){.format = format_of(request)};
	length = http_target_path(&request->target, path, sizeof(path));
	ret->is_long = length < 0;
	if (length > 0)
		memcpy(ret->feed, path + 1, (size_t)length);
	ret->token = find_token(request);
	(void)http_fields_find(&request->fields, "Origin", &ret->origin);
	wrong = read_query(request, ret);
	if (wrong)
		return wrong;
	return read_last_event_id(request, ret);
}
