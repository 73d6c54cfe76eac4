// SPDX-License-Identifier: MIT
/*
 * The body of a publisher by HTTP: how its stream stands in the connection, and how it is answered.
 *
 *	to the end   SOURCE, or PUT without a length: all that comes, until the connection ends
 *	length       Content-Length: so many bytes, then 204
 *	chunked      Transfer-Encoding: chunked, then 204
 *	websocket    the data of its messages
 *
 * The first two stand bare in the connection, so the kernel can pass them on.  What had come
 * with the head of the request is given first.  The others are taken apart in the memory of
 * who reads them.
 *
 * A request that broke a rule gets a status and a line, and a WebSocket a close frame.  Who sends
 * to the end has had its answer before, and is only closed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "http/stream_answer.h"
#include "intake/source.h"

enum publisher_body_kind {
	PUBLISHER_TO_END,
	PUBLISHER_LENGTH,
	PUBLISHER_CHUNKED,
	PUBLISHER_WEBSOCKET,
};

struct publisher_body_params {
	enum publisher_body_kind kind;
	uint64_t bytes;      /* LENGTH */
	bool ends_lines;     /* WEBSOCKET: a message without LF at its end gets one */
	const uint8_t *rest; /* what has come behind the head; copied */
	size_t rest_bytes;
	const struct stream_answer *answer;  /* how it is answered; copied */
	const struct endpoint_address *peer; /* who sends it; copied */
};

/* NULL: no memory. */
struct source_body *publisher_body_new(const struct publisher_body_params *params);

/* The publisher has been told that it may send. */
void publisher_body_note_begun(struct source_body *body);
