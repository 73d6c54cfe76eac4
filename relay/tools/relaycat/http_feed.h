// SPDX-License-Identifier: MIT
/* A feed that is asked for by HTTP: its URL, the request for its framed stream, and the head of the
 * answer.
 *
 * The request is of HTTP/1.0, to which nobody on the way may answer in chunks (RFC 9112, 7): behind
 * the head, the body is the stream itself.  Pure: no I/O. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HTTP_FEED_REQUEST_BYTES = 2048,
	HTTP_FEED_ANSWER_BYTES = 8192,
	HTTP_FEED_START_BYTES = 64, // of SESSION-SEQUENCE, or of a time
};

struct http_feed_url {
	char authority[300]; // HOST or HOST:PORT, as it was given
	char address[310];   // HOST:PORT
	char path[256];      // from its first slash on
};

/* Where the stream is to begin and to end; an empty text: not said. */
struct http_feed_range {
	char from[HTTP_FEED_START_BYTES];
	char since[HTTP_FEED_START_BYTES];
	char until[HTTP_FEED_START_BYTES];
};

/* What has come before the stream.  Start with a zeroed struct. */
struct http_feed_answer {
	size_t bytes;
	size_t head_bytes; // 0: the head has not come whole
	int status;
	char text[HTTP_FEED_ANSWER_BYTES]; // the head; of a refusal its body, too
};

/* Does it begin with http:// ? */
bool http_feed_is_url(const char *text);

/* http://HOST[:PORT]/FEED.  0, or -EINVAL with the reason. */
must_check int http_feed_parse_url(const char *text, struct http_feed_url *ret,
				   struct errmsg *error);

/* The stream is to begin with this message, in place of what was said; with 0 and 0, with the
 * oldest one there is.  Where it ends stays. */
void http_feed_go_on(struct http_feed_range *range, uint32_t session, uint64_t sequence);

/* Writes the request, terminated; returns its length.  token: "" without one, else of up to 512
 * bytes. */
size_t http_feed_print_request(const struct http_feed_url *url, const struct http_feed_range *range,
			       const char *token, char buf[HTTP_FEED_REQUEST_BYTES]);

/* Takes bytes of the answer, from its beginning on, and sets *ret_used to how many.  Returns 1:
 * what follows them is the stream; 0: there is no stream yet, or none at all; -EPROTO: this is no
 * answer to such a request. */
must_check int http_feed_take(struct http_feed_answer *answer, const uint8_t *bytes, size_t size,
			      size_t *ret_used);

/* The connection has ended without a stream: why.  url: as it was given. */
void http_feed_tell_refusal(const struct http_feed_answer *answer, const char *url,
			    struct errmsg *ret);

/* May the same request be good later? */
bool http_feed_is_for_now(const struct http_feed_answer *answer);
