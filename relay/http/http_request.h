// SPDX-License-Identifier: MIT
/*
 * The head of an HTTP request, read as it comes in (RFC 9112), strictly.
 *
 * Pure: no socket, no clock, no memory of its own.  The caller keeps the bytes of the connection,
 * from the first one on, in a buffer of HTTP_HEAD_BYTES or more, and after each receive calls
 * http_request_parse() with all of them.  Each byte is looked at when it comes, each line when it
 * ends, so the work grows with the bytes only, and the answer does not depend on how they were cut.
 *
 * One request a connection: nothing is read behind the head (head_bytes says where it ends, what
 * follows is the body or WebSocket frames), and an error leaves nothing but to answer and close.
 *
 * Stricter than the RFC asks for, since whoever needs more is not a client of relay: lines end in
 * CR LF and nothing else, no folded lines, no field twice that may be there once.  A chunked body
 * and Expect are for who takes bodies of any length; others get 411 and 417.  HTTP/1.x above 1.1 is
 * read as 1.1.
 */
#pragma once

#include <stdint.h>

#include "http/http_fields.h"
#include "http/http_target.h"

#define HTTP_HEAD_BYTES 32768

/* Any other method is answered here: 405 if RFC 9110 or 5789 knows it, 501 if not. */
enum http_method {
	HTTP_GET = 1,
	HTTP_HEAD = 2,
	HTTP_POST = 4,
	HTTP_OPTIONS = 8,
	HTTP_PUT = 16,
	HTTP_SOURCE =
		32, /* of Icecast; its version may also be ICE/1.0, which is read as HTTP/1.0 */
};

#define HTTP_HAVE_BODY (HTTP_POST | HTTP_PUT | HTTP_SOURCE)

/* As body_max_bytes: a body may be of any length and is left to the owner of the request. */
#define HTTP_BODY_LEFT UINT64_MAX

/* How a body that is left to the owner ends. */
enum http_body {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,  /* after body_bytes */
	HTTP_BODY_CHUNKED, /* with its last chunk */
	HTTP_BODY_TO_END,  /* with the connection: PUT and SOURCE that say nothing, as of Icecast */
};

enum http_parse {
	HTTP_PARSE_MORE,  /* the head has not ended yet */
	HTTP_PARSE_WHOLE, /* what is marked "whole" below is there */
	HTTP_PARSE_ERROR, /* status and reason are there */
};

struct http_request {
	/* whole */
	enum http_method method;
	unsigned minor_version; /* 0 or 1: of HTTP/1.0 or HTTP/1.1 */
	struct http_target target;
	struct http_fields fields;
	struct http_text host;  /* of the target, else of the Host field, else empty */
	uint64_t content_bytes; /* of the body that follows; 0 unless body_max_bytes allows it */
	enum http_body body;    /* with HTTP_BODY_LEFT: how the body that follows ends, */
	uint64_t body_bytes;    /* and how long it is */
	bool wants_continue;    /* it is not sent before 100 (RFC 9110, 10.1.1) */
	/* SOURCE of NTRIP 1, which has it in place of a target, and the target in place of a
	 * version; NULL: it is none.  May never be logged. */
	struct http_text password;
	size_t head_bytes; /* with the empty line */

	/* error */
	int status;         /* of the answer, 400 to 599 */
	const char *reason; /* one line, static, without a byte of the request */

	/* private */
	unsigned methods;
	uint64_t body_max_bytes;
	size_t seen_bytes; /* bytes that have been looked at */
	size_t line_at;    /* where the unfinished line begins */
	size_t target_at, target_length;
	size_t password_at, password_length; /* 0: there is none */
	enum http_parse result;
};

/* methods: those that are served (enum http_method, or-ed), of which only HTTP_HAVE_BODY may bring
 * a body, of at most body_max_bytes. */
void http_request_init(struct http_request *request, unsigned methods, uint64_t body_max_bytes);

/* bytes: all that has come so far, never less than in the call before and with the same beginning;
 * between calls the buffer may have moved.  The texts of the request point into it, so from
 * HTTP_PARSE_WHOLE on it has to stay.  Once the answer is not HTTP_PARSE_MORE it stays the same. */
enum http_parse http_request_parse(struct http_request *request, const char *bytes,
				   size_t count) must_check;
