// SPDX-License-Identifier: MIT
/* Requests for streams: path, query and fields. */
#include "http/stream_request.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "http/websocket_handshake.h"

enum {
	MEDIA_TYPE_BYTES = 16, /* "application" and more */
};

enum {
	NAME_BYTES = 16,
	VALUE_BYTES = 32, /* a session of 10 digits, a dash, a number of 20, and a zero byte */
};

/* ---- the query ---- */

static const char *take_burst(const char *value, struct stream_request *ret)
{
	ret->has_burst = true;
	ret->burst_key_frame = strcmp(value, "keyframe") == 0;
	if (ret->burst_key_frame)
		return NULL;
	if (num_parse_bytes_or_duration(value, &ret->burst_bytes, &ret->burst_ms) < 0)
		return "burst is neither a size such as 64k, nor a duration such as 5s, nor "
		       "keyframe";
	return NULL;
}

static const char *take_format(const char *value, struct stream_request *ret)
{
	ret->wants_framed = strcmp(value, "framed") == 0;
	if (!ret->wants_framed)
		return "format is not framed; for other formats ask by Accept or Upgrade";
	return NULL;
}

/* SESSION-SEQ or SEQ (then *ret_session is 0); false: it is neither.  A session is never 0. */
static bool read_place(const char *text, uint32_t *ret_session, uint64_t *ret_seq)
{
	const char *dash = strchr(text, '-');
	char session_text[VALUE_BYTES];
	uint64_t session = 0;

	if (dash) {
		memcpy(session_text, text, (size_t)(dash - text));
		session_text[dash - text] = '\0';
		if (num_parse_count(session_text, &session) < 0 || session == 0 ||
		    session > UINT32_MAX)
			return false;
		text = dash + 1;
	}
	*ret_session = (uint32_t)session;
	return num_parse_count(text, ret_seq) == 0;
}

static const char *take_from(const char *value, struct stream_request *ret)
{
	ret->has_from = true;
	if (!read_place(value, &ret->from_session, &ret->from_seq))
		return "from is neither the number of a message nor SESSION-NUMBER";
	return NULL;
}

/* A time, or a duration with a minus: so long ago.  False: neither. */
static bool read_time(const char *value, uint64_t now_ns, uint64_t *ret_ns)
{
	uint64_t ago_ms;

	if (*value != '-')
		return clock_parse_utc(value, ret_ns) == 0 && *ret_ns > 0;
	if (num_parse_duration_ms(value + 1, &ago_ms) < 0 || ago_ms >= now_ns / NS_PER_MS)
		return false;
	*ret_ns = now_ns - ago_ms * NS_PER_MS;
	return true;
}

static const char *take_since(const char *value, struct stream_request *ret)
{
	if (!read_time(value, ret->now_ns, &ret->since_ns))
		return "since is neither a time such as 2026-11-28T09:30:00Z, nor a duration "
		       "before "
		       "now such as -15m";
	if (ret->since_ns > ret->now_ns)
		return "since lies in the future; it is to be a time that has come, as the clock "
		       "of "
		       "relay says";
	return NULL;
}

static const char *take_until(const char *value, struct stream_request *ret)
{
	if (!read_time(value, ret->now_ns, &ret->until_ns))
		return "until is neither a time such as 2026-11-28T09:30:00Z, nor a duration "
		       "before "
		       "now such as -15m";
	return NULL;
}

static const char *take_text(const char *value, struct stream_request *ret)
{
	ret->wants_text = strcmp(value, "1") == 0 || !*value;
	if (!ret->wants_text && strcmp(value, "0") != 0)
		return "text is neither 0 nor 1";
	return NULL;
}

static const char *take_publish(const char *value, struct stream_request *ret)
{
	ret->publishes = strcmp(value, "1") == 0;
	if (!ret->publishes && strcmp(value, "0") != 0)
		return "publish is neither 0 nor 1";
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

/* An id is any string (WHATWG HTML, 9.2), so one that relay did not write is none.  A number alone
 * says nothing of its session: relay wrote such ids once.  What is missing then, nobody knows.  A
 * browser that resumes asks with the address it asked with before, so an id counts more than
 * that. */
static void take_last_event_id(const char *id, struct stream_request *ret)
{
	bool is_events = format_is_events(ret->format);
	uint32_t session;
	uint64_t seq;

	if (!read_place(id, &session, &seq) || seq == UINT64_MAX)
		return;
	ret->has_burst = ret->burst_key_frame = false;
	ret->burst_bytes = ret->burst_ms = ret->since_ns = 0;
	ret->has_from = true;
	ret->may_miss = is_events;
	ret->from_session = session;
	ret->from_seq = is_events && !session ? 0 : seq + 1;
}

typedef const char *parameter_taker(const char *value, struct stream_request *ret);

static const struct {
	const char *name;
	parameter_taker *take;
} parameters[] = {
	{"burst", take_burst},       {"format", take_format},   {"from", take_from},
	{"since", take_since},       {"until", take_until},     {"text", take_text},
	{"messages", take_messages}, {"publish", take_publish},
};

/* What excludes one another, whatever the fields say; NULL: nothing. */
static const char *find_conflict(const struct stream_request *wanted)
{
	if (wanted->has_burst + wanted->has_from + (wanted->since_ns > 0) > 1)
		return "burst, from and since exclude one another";
	if (wanted->wants_framed && (wanted->wants_text || wanted->has_messages))
		return "format=framed excludes text=1 and messages";
	if (wanted->until_ns && wanted->until_ns < wanted->since_ns)
		return "until lies before since";
	return NULL;
}

/* What is not known is passed over.  `id`: room for the value of lastEventId, else left alone. */
static const char *read_query(const struct http_request *request, struct stream_request *ret,
			      char id[VALUE_BYTES])
{
	struct http_text rest = request->target.query;
	char name[NAME_BYTES], value[VALUE_BYTES];
	unsigned seen = 0;
	int r;

	while ((r = http_target_parameter(&rest, name, sizeof(name), value, sizeof(value)))) {
		const char *wrong = NULL;

		if (r > 0 && strcmp(name, "lastEventId") == 0)
			memcpy(id, value, VALUE_BYTES);
		for (size_t i = 0; i < ARRAY_LEN(parameters); i++) {
			if (strcmp(name, parameters[i].name) != 0)
				continue;
			if (seen & 1u << i)
				return "a query parameter that is given twice";
			seen |= 1u << i;
			/* No parameter has a question mark in its value. */
			wrong = parameters[i].take(r > 0 ? value : "?", ret);
		}
		if (wrong)
			return wrong;
	}
	return find_conflict(ret);
}

/* ---- fields ---- */

/* The field, if there is one, in place of what the query says. */
static void read_last_event_id(const struct http_request *request, char id[VALUE_BYTES])
{
	struct http_text text;

	if (!http_fields_find(&request->fields, "Last-Event-ID", &text) || text.length == 0)
		return;
	if (text.length >= VALUE_BYTES)
		text.length = 0; /* longer than any of relay's */
	memcpy(id, text.at, text.length);
	id[text.length] = '\0';
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

		if (row->carrier == carrier && row->coding == FORMAT_CODING_IDENTITY &&
		    has_media == (row->media != NULL) &&
		    (!has_media || is_wanted(&request->fields, row->media)))
			return (enum format)i;
	}
	return FORMAT_COUNT;
}

/* Chunks are for HTTP/1.1 on; a body that ends with the connection is for all. */
static enum format format_of(const struct http_request *request, bool wants_framed)
{
	enum format format = FORMAT_COUNT;

	if (wants_framed)
		return websocket_is_wanted(request) ? FORMAT_WEBSOCKET_FRAMED : FORMAT_FRAMED;
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

/* Only where no other format is named. */
static bool wants_icy(const struct http_request *request, enum format format)
{
	struct http_text text;

	return (format == FORMAT_HTTP || format == FORMAT_RAW) &&
	       http_fields_find(&request->fields, "Icy-MetaData", &text) &&
	       http_text_equals(text, "1");
}

const char *stream_request_read(const struct http_request *request, uint64_t now_ns,
				struct stream_request *ret)
{
	char path[STREAM_FEED_BYTES + 3]; /* a slash on both sides, and a zero byte */
	char id[VALUE_BYTES] = "";
	const char *wrong, *name;
	int length;

	*ret = (struct stream_request){.now_ns = now_ns};
	length = http_target_path(&request->target, path, sizeof(path));
	if (length > 2 && path[length - 1] == '/')
		path[--length] = '\0';
	name = length > 0 && path[0] == '/' ? path + 1 : path;
	ret->is_long = length < 0 || strlen(name) > STREAM_FEED_BYTES;
	if (!ret->is_long)
		memcpy(ret->feed, name, strlen(name) + 1);
	(void)http_fields_find(&request->fields, "Origin", &ret->origin);
	wrong = read_query(request, ret, id);
	ret->format = format_of(request, ret->wants_framed);
	ret->wants_icy = wants_icy(request, ret->format);
	ret->takes_gzip = http_fields_accept_coding(&request->fields, "gzip");
	ret->deflate = websocket_select_deflate(request);
	if (wrong)
		return wrong;
	read_last_event_id(request, id);
	take_last_event_id(id, ret);
	if (ret->until_ns && ret->until_ns <= now_ns && !ret->has_burst && !ret->has_from &&
	    !ret->since_ns)
		return "until lies in the past, so since, from or burst has to say where to begin";
	return NULL;
}
