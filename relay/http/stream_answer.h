// SPDX-License-Identifier: MIT
/*
 * The answers to requests for streams: their heads, and what all answers have in common.
 *
 * Pure.  A struct stream_answer holds no pointer into the request, so it may travel to where the
 * answer is known: whether a message can still be had, only the ring can say.
 *
 *	Relay-Session, Relay-Sequence    with 200: of the first message to come, but not with a
 *burst Relay-Oldest, Relay-Next         with 416: what can be had instead
 */
#pragma once

#include "http/http_response.h"
#include "http/stream_request.h"
#include "http/websocket_handshake.h"

#define STREAM_ORIGIN_BYTES 256
#define STREAM_ANSWER_BYTES 1024

struct stream_answer {
	enum format format;
	bool is_line;                         /* the feed is text */
	bool is_head;                         /* without a body */
	char origin[STREAM_ORIGIN_BYTES + 1]; /* whose pages may read it: one, "*", or "" */
	struct websocket_handshake handshake; /* checked, with a WebSocket */
};

/* Where a stream begins. */
struct stream_start {
	bool is_known;
	uint32_t session;
	uint64_t sequence;
};

/* Begins an answer: status line, and what lets the origin's pages read it. */
void stream_answer_begin(const struct stream_answer *answer, struct http_response *response,
			 char *buf, size_t size, int status);

/* The head of the stream itself, 200 or 101.  Returns its bytes or what http_response_end() does.
 */
ssize_t stream_answer_head(const struct stream_answer *answer, const struct stream_start *start,
			   char *buf, size_t size) must_check;

/* 416, with what can be had. */
ssize_t stream_answer_out_of_range(const struct stream_answer *answer, uint64_t oldest,
				   uint64_t next, char *buf, size_t size) must_check;

/* 204 to OPTIONS, a preflight (https://fetch.spec.whatwg.org/#cors-protocol) or a plain question.
 */
ssize_t stream_answer_options(const struct stream_answer *answer, char *buf,
			      size_t size) must_check;
