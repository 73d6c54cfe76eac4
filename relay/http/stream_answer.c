// SPDX-License-Identifier: MIT
/* Answers to requests for streams. */
#include "http/stream_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void stream_answer_begin(const struct stream_answer *answer, struct http_response *response,
			 char *buf, size_t size, int status)
{
	http_response_begin(response, buf, size, status);
	if (!answer->origin[0])
		return;
	http_response_field(response, "Access-Control-Allow-Origin", answer->origin);
	http_response_field(response, "Access-Control-Expose-Headers",
			    "Relay-Session, Relay-Sequence, Relay-Oldest, Relay-Next");
	if (strcmp(answer->origin, "*") != 0)
		http_response_field(response, "Vary", "Origin");
}

static const char *content_type(const struct stream_answer *answer)
{
	const char *media = format_row(answer->format)->media;

	if (media)
		return media;
	return answer->is_line ? "text/plain; charset=utf-8" : "application/octet-stream";
}

ssize_t stream_answer_head(const struct stream_answer *answer, const struct stream_start *start,
			   char *buf, size_t size)
{
	enum format_carrier carrier = format_row(answer->format)->carrier;
	struct http_response response;

	if (carrier == FORMAT_CARRIER_WEBSOCKET)
		return websocket_handshake_answer(&answer->handshake, buf, size);
	stream_answer_begin(answer, &response, buf, size, 200);
	http_response_field(&response, "Content-Type", content_type(answer));
	/* A proxy that gathers (nginx: X-Accel-Buffering) would make a live stream a late one. */
	http_response_field(&response, "Cache-Control", "no-store, no-transform");
	http_response_field(&response, "X-Accel-Buffering", "no");
	http_response_field(&response, "X-Content-Type-Options", "nosniff");
	if (start->is_known) {
		http_response_field_number(&response, "Relay-Session", start->session);
		http_response_field_number(&response, "Relay-Sequence", start->sequence);
	}
	if (carrier == FORMAT_CARRIER_CHUNKED)
		http_response_field(&response, "Transfer-Encoding", "chunked");
	http_response_field(&response, "Connection", "close");
	return http_response_end(&response);
}

ssize_t stream_answer_out_of_range(const struct stream_answer *answer,
				   const struct stream_range *range, char *buf, size_t size)
{
	struct http_response response;
	char line[160];

	(void)snprintf(line, sizeof(line),
		       "the feed does not have that message; the oldest one it has is %" PRIu64
		       ", the next one to come is %" PRIu64 ", of session %" PRIu32,
		       range->oldest, range->next, range->session);
	stream_answer_begin(answer, &response, buf, size, 416);
	http_response_field_number(&response, "Relay-Session", range->session);
	http_response_field_number(&response, "Relay-Oldest", range->oldest);
	http_response_field_number(&response, "Relay-Next", range->next);
	return http_response_end_text(&response, line, answer->is_head);
}

ssize_t stream_answer_options(const struct stream_answer *answer, char *buf, size_t size)
{
	struct http_response response;

	stream_answer_begin(answer, &response, buf, size, 204);
	http_response_field(&response, "Allow", "GET, HEAD, OPTIONS");
	if (answer->origin[0]) {
		http_response_field(&response, "Access-Control-Allow-Methods", "GET, HEAD");
		http_response_field(&response, "Access-Control-Allow-Headers",
				    "Authorization, Last-Event-ID");
		http_response_field(&response, "Access-Control-Max-Age", "600");
	}
	http_response_field(&response, "Connection", "close");
	return http_response_end(&response);
}
