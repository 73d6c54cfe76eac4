// SPDX-License-Identifier: MIT
/* Answers to requests for streams. */
#include "http/stream_answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "packet/encoder_chunked.h"
#include "packet/encoder_icy.h"

enum {
	COME_BACK_MS = 5000,
	COME_BACK_SPREAD_MS = 10000,
	COME_BACK_BYTES = 256,
	OUT_OF_RANGE_BYTES = 256,
	OLDEST_BYTES = 32,
	ALLOWED_BYTES = 768, /* of names of fields; what does not fit is not allowed */
};

void stream_answer_begin(const struct stream_answer *answer, struct http_response *response,
			 char *buf, size_t size, int status)
{
	http_response_begin(response, buf, size, status);
	if (!answer->origin[0])
		return;
	http_response_field(response, "Access-Control-Allow-Origin", answer->origin);
	if (answer->allows_credentials)
		http_response_field(response, "Access-Control-Allow-Credentials", "true");
	http_response_field(response, "Access-Control-Expose-Headers",
			    "Relay-Session, Relay-Sequence, Relay-Oldest, Relay-Next");
	if (strcmp(answer->origin, "*") != 0)
		http_response_field(response, "Vary", "Origin");
}

static const char *content_type(const struct stream_answer *answer)
{
	const char *media = format_row(answer->format)->media;

	if (answer->dialect == STREAM_NTRIP_2)
		return "gnss/data";
	return media ? media : answer->of_feed.content_type;
}

static bool has_field(const char *fields, const char *name)
{
	for (const char *at = fields; *at;) {
		if (strcasecmp(at, name) == 0)
			return true;
		at += strlen(at) + 1;
		at += strlen(at) + 1;
	}
	return false;
}

/* but: those that have been added already; NULL: none have. */
static void add_fields(struct http_response *response, const char *fields, const char *but)
{
	for (const char *name = fields; *name;) {
		const char *value = name + strlen(name) + 1;

		if (!but || !has_field(but, name))
			http_response_field(response, name, value);
		name = value + strlen(value) + 1;
	}
}

/* How the body is sent. */
static void add_codings(const struct stream_answer *answer, struct http_response *response)
{
	const struct format_row *row = format_row(answer->format);

	if (row->carrier != FORMAT_CARRIER_CHUNKED)
		return;
	if (answer->may_compress)
		http_response_field(response, "Vary", "Accept-Encoding");
	if (row->coding == FORMAT_CODING_GZIP)
		http_response_field(response, "Content-Encoding", "gzip");
	http_response_field(response, "Transfer-Encoding", "chunked");
}

/* Ends the head.  A body of gzip has a head of its own, which nobody else sends. */
static ssize_t end_head(const struct stream_answer *answer, struct http_response *response,
			char *buf, size_t size)
{
	ssize_t bytes = http_response_end(response);

	if (bytes < 0 || answer->is_head ||
	    format_row(answer->format)->coding != FORMAT_CODING_GZIP)
		return bytes;
	if (size - (size_t)bytes < CHUNK_GZIP_HEAD_BYTES)
		return -ENOSPC;
	memcpy(buf + bytes, CHUNK_GZIP_HEAD, CHUNK_GZIP_HEAD_BYTES);
	return bytes + (ssize_t)CHUNK_GZIP_HEAD_BYTES;
}

ssize_t stream_answer_head(const struct stream_answer *answer, const struct stream_start *start,
			   char *buf, size_t size)
{
	enum format_carrier carrier = format_row(answer->format)->carrier;
	struct http_response response;

	if (carrier == FORMAT_CARRIER_WEBSOCKET)
		return websocket_handshake_answer(&answer->handshake, buf, size);
	if (answer->dialect == STREAM_NTRIP_1)
		return snprintf(buf, size, "%s", STREAM_NTRIP_1_OK);
	stream_answer_begin(answer, &response, buf, size, 200);
	if (answer->dialect == STREAM_NTRIP_2)
		http_response_field(&response, "Ntrip-Version", "Ntrip/2.0");
	http_response_field(&response, "Content-Type", content_type(answer));
	/* A proxy that gathers (nginx: X-Accel-Buffering) would make a live stream a late one. */
	http_response_field(&response, "Cache-Control", "no-store, no-transform");
	http_response_field(&response, "X-Accel-Buffering", "no");
	http_response_field(&response, "X-Content-Type-Options", "nosniff");
	add_fields(&response, answer->of_feed.fields, NULL);
	/* The operator's word counts more than the publisher's. */
	add_fields(&response, answer->icy_fields, answer->of_feed.fields);
	if (carrier == FORMAT_CARRIER_ICY)
		http_response_field_number(&response, "icy-metaint", ICY_INTERVAL);
	if (start->is_known) {
		http_response_field_number(&response, "Relay-Session", start->session);
		http_response_field_number(&response, "Relay-Sequence", start->sequence);
	}
	add_codings(answer, &response);
	http_response_field(&response, "Connection", "close");
	return end_head(answer, &response, buf, size);
}

static uint32_t come_back_ms(void)
{
	return COME_BACK_MS + arc4random_uniform(COME_BACK_SPREAD_MS);
}

ssize_t stream_answer_come_back(const struct stream_answer *answer, const char *reason,
				const char *text, char *buf, size_t size)
{
	struct http_response response;
	char body[COME_BACK_BYTES];
	ssize_t head;
	int bytes = snprintf(body, sizeof(body),
			     "retry: %" PRIu32 "\nevent: refused\n"
			     "data: {\"reason\":\"%s\",\"text\":\"%s\"}\n\n",
			     come_back_ms(), reason, text);

	if (bytes < 0 || (size_t)bytes >= sizeof(body))
		return -ENOSPC;
	stream_answer_begin(answer, &response, buf, size, 200);
	http_response_field(&response, "Content-Type", format_row(FORMAT_EVENTS)->media);
	http_response_field_number(&response, "Content-Length", (uint64_t)bytes);
	http_response_field(&response, "Cache-Control", "no-store, no-transform");
	http_response_field(&response, "X-Content-Type-Options", "nosniff");
	http_response_field(&response, "Connection", "close");
	head = http_response_end(&response);
	if (head < 0 || (size_t)(head + bytes) > size)
		return head < 0 ? head : -ENOSPC;
	memcpy(buf + head, body, (size_t)bytes);
	return head + bytes;
}

ssize_t stream_answer_for_now(const struct stream_answer *answer, const char *reason,
			      const char *text, char *buf, size_t size)
{
	struct http_response response;

	if (format_is_events(answer->format) && !answer->is_head)
		return stream_answer_come_back(answer, reason, text, buf, size);
	stream_answer_begin(answer, &response, buf, size, 503);
	http_response_field_number(&response, "Retry-After", come_back_ms() / 1000);
	return http_response_end_text(&response, text, answer->is_head);
}

ssize_t stream_answer_no_more(const struct stream_answer *answer, char *buf, size_t size)
{
	struct http_response response;

	stream_answer_begin(answer, &response, buf, size, 204);
	http_response_field(&response, "Cache-Control", "no-store, no-transform");
	http_response_field(&response, "Connection", "close");
	return http_response_end(&response);
}

ssize_t stream_answer_out_of_range(const struct stream_answer *answer,
				   const struct stream_range *range, char *buf, size_t size)
{
	struct http_response response;
	char line[OUT_OF_RANGE_BYTES], came[CLOCK_UTC_BYTES] = "", oldest[OLDEST_BYTES];

	(void)snprintf(oldest, sizeof(oldest), "%" PRIu64, range->oldest);
	if (range->oldest_session != range->session)
		(void)snprintf(oldest, sizeof(oldest), "%" PRIu32 "-%" PRIu64,
			       range->oldest_session, range->oldest);
	if (range->oldest_ns)
		(void)clock_print_utc(came, sizeof(came), range->oldest_ns);
	(void)snprintf(line, sizeof(line),
		       "the feed does not have that message; the oldest one it has is %s%s%s, "
		       "the next one to come is %" PRIu64 ", of session %" PRIu32,
		       oldest, *came ? ", of " : "", came, range->next, range->session);
	stream_answer_begin(answer, &response, buf, size, 416);
	http_response_field_number(&response, "Relay-Session", range->session);
	http_response_field(&response, "Relay-Oldest", oldest);
	http_response_field_number(&response, "Relay-Next", range->next);
	return http_response_end_text(&response, line, answer->is_head);
}

/* The fields that are always allowed, and behind them those that the preflight names. */
static void print_allowed_fields(const struct http_request *request, char buf[ALLOWED_BYTES])
{
	struct http_list list = {.fields = &request->fields,
				 .name = "Access-Control-Request-Headers"};
	size_t length = (size_t)snprintf(buf, ALLOWED_BYTES, "Authorization, Last-Event-ID");
	struct http_text name;

	while (http_list_next(&list, &name)) {
		if (!http_text_is_token(name) || length + 2 + name.length >= ALLOWED_BYTES)
			continue;
		length += (size_t)snprintf(buf + length, ALLOWED_BYTES - length, ", %.*s",
					   (int)name.length, name.at);
	}
}

static void answer_preflight(const struct stream_answer *answer, const struct http_request *request,
			     struct http_response *response)
{
	char allowed[ALLOWED_BYTES];
	struct http_text text;

	print_allowed_fields(request, allowed);
	http_response_field(response, "Access-Control-Allow-Methods",
			    answer->allows_publishers ? "GET, HEAD, POST, PUT" : "GET, HEAD");
	http_response_field(response, "Access-Control-Allow-Headers", allowed);
	if (http_fields_find(&request->fields, "Access-Control-Request-Private-Network", &text) &&
	    http_text_equals(text, "true"))
		http_response_field(response, "Access-Control-Allow-Private-Network", "true");
	http_response_field(response, "Access-Control-Max-Age", "600");
}

ssize_t stream_answer_options(const struct stream_answer *answer,
			      const struct http_request *request, char *buf, size_t size)
{
	struct http_response response;

	stream_answer_begin(answer, &response, buf, size, 204);
	http_response_field(&response, "Allow",
			    answer->allows_publishers ? "GET, HEAD, OPTIONS, POST, PUT, SOURCE"
						      : "GET, HEAD, OPTIONS");
	if (answer->origin[0])
		answer_preflight(answer, request, &response);
	http_response_field(&response, "Connection", "close");
	return http_response_end(&response);
}
