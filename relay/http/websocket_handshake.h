// SPDX-License-Identifier: MIT
/*
 * The server's part of the opening handshake of WebSocket (RFC 6455, 4.2).
 *
 * The one extension is permessage-deflate (RFC 7692), without context from one message to the next.
 * Who may connect (origin, token) is left to the caller, who asks for that between checking and
 * answering.
 */
#pragma once

#include <sys/types.h>

#include "http/http_request.h"

/* Base64 of a SHA-1 digest, with its zero byte. */
#define WEBSOCKET_ACCEPT_BYTES 29

/* A head that the answer is sure to fit into, if the protocol is not longer than 128 bytes, and the
 * extension one of websocket_select_deflate(). */
#define WEBSOCKET_ANSWER_BYTES 512

struct websocket_handshake {
	/* ro: 101 once it is agreed; else the status to refuse with, and why in one line */
	int status;
	const char *reason;
	char accept[WEBSOCKET_ACCEPT_BYTES]; /* ro: with 101 */
	const char *protocol;  /* rw: the subprotocol to name in the answer, NULL for none */
	const char *extension; /* rw: what is agreed to of extensions, NULL for nothing */
	bool is_head;          /* private: the answer has no body */
};

/* Does the request ask for WebSocket at all?  (An Upgrade field that lists it.) */
bool websocket_is_wanted(const struct http_request *request);

/* Checks the whole request of the client (4.2.1); `request` is HTTP_PARSE_WHOLE.  ret->status tells
 * the result; 426 is another version of the protocol than 13, and 503 a libcrypto that could
 * not make the SHA-1: it had no memory for it. */
void websocket_handshake_check(const struct http_request *request, struct websocket_handshake *ret);

/* The first of the client's subprotocols that is in `supported`, as it stands there (case matters);
 * NULL when there is none. */
const char *websocket_select_protocol(const struct http_request *request,
				      const char *const *supported, size_t count);

/* What to answer to the first offer of permessage-deflate that can be met, as a static text; NULL:
 * there is none.  Messages of the server are compressed with a window of 2^15 bytes, each by
 * itself, and so is the client to do it.  An offer that demands a smaller window cannot be met. */
const char *websocket_select_deflate(const struct http_request *request);

/* Writes the answer to a checked handshake, also one with 4xx and its reason.  Returns its bytes or
 * what http_response_end() returns. */
ssize_t websocket_handshake_answer(const struct websocket_handshake *handshake, char *buf,
				   size_t size) must_check;
