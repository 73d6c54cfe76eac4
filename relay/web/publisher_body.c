// SPDX-License-Identifier: MIT
/* Bodies: read in place, and answered at their end. */
#include "web/publisher_body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http/http_connection.h"
#include "http/websocket_codec.h"
#include "net/peer_socket.h"
#include "pull/chunk_decoder.h"

struct publisher_body {
	struct source_body base;
	enum publisher_body_kind kind;
	bool ends_lines;   /* WEBSOCKET, from here on */
	bool is_behind_lf; /* the last byte of the message so far */
	bool has_begun, has_ended;
	struct chunk_decoder chunks;
	struct websocket_decoder frames;
	struct stream_answer answer;
	size_t rest_at, rest_bytes;
	uint8_t rest[HTTP_REST_BYTES];
};

static struct publisher_body *body_of(struct source_body *base)
{
	return container_of(base, struct publisher_body, base);
}

/* The only place that says what the owner sees of it. */
static void note_state(struct publisher_body *body)
{
	bool has_rest = body->rest_at < body->rest_bytes;

	body->base.is_bare = body->kind <= PUBLISHER_LENGTH && !has_rest;
	body->base.is_ready = has_rest || body->has_ended ||
			      body->base.fault != CLOSE_REASON_COUNT ||
			      (body->kind == PUBLISHER_LENGTH && body->base.left_bytes == 0);
}

/* What has come first, or what comes. */
static ssize_t take(struct publisher_body *body, int fd, uint8_t *bytes, size_t count)
{
	size_t rest = size_min(count, body->rest_bytes - body->rest_at);

	if (rest == 0)
		return peer_socket_receive(fd, bytes, count, 0);
	memcpy(bytes, body->rest + body->rest_at, rest);
	body->rest_at += rest;
	return (ssize_t)rest;
}

static size_t take_chunks(struct publisher_body *body, uint8_t *bytes, size_t count)
{
	size_t found = chunk_decode(&body->chunks, bytes, count);

	body->has_ended = body->chunks.has_ended;
	if (body->chunks.is_broken)
		body->base.fault = CLOSE_BAD_BODY;
	return found;
}

/* A pong that there is no room for is left out: only the last ping has to be answered (RFC 6455,
 * 5.5.3).  The socket has nothing else to send, so a part of one is the end. */
static void send_pong(struct publisher_body *body, int fd, const struct websocket_event *event)
{
	uint8_t pong[2 + WEBSOCKET_CONTROL_BYTES];
	size_t bytes =
		websocket_control_frame(pong, WEBSOCKET_PONG, event->payload, event->payload_bytes);
	ssize_t sent = send(fd, pong, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent > 0 && (size_t)sent < bytes)
		body->base.fault = CLOSE_PEER_RESET;
}

/* A piece of a message, moved to where it belongs; *found: what stands before it. */
static void take_data(struct publisher_body *body, const struct websocket_event *event,
		      uint8_t *bytes, size_t *found)
{
	memmove(bytes + *found, event->payload, event->payload_bytes);
	*found += event->payload_bytes;
	if (event->payload_bytes)
		body->is_behind_lf = bytes[*found - 1] == '\n';
	if (!event->is_message_end)
		return;
	if (body->ends_lines && !body->is_behind_lf)
		bytes[(*found)++] = '\n';
	body->is_behind_lf = false;
}

static size_t line_end_bytes(const struct publisher_body *body)
{
	return body->ends_lines ? 1 : 0;
}

/* What came stands line_end_bytes() behind `bytes`: room for the end of a message whose head came
 * earlier.  The head of any later one leaves more room than that. */
static size_t take_frames(struct publisher_body *body, int fd, uint8_t *bytes, size_t count)
{
	uint8_t *next = bytes + line_end_bytes(body);
	struct websocket_event event;
	size_t found = 0;

	do {
		size_t taken = websocket_decode(&body->frames, next, count, &event);

		next += taken;
		count -= taken;
		if (event.kind == WEBSOCKET_EVENT_DATA)
			take_data(body, &event, bytes, &found);
		else if (event.kind == WEBSOCKET_EVENT_CONTROL && event.opcode == WEBSOCKET_PING)
			send_pong(body, fd, &event);
		else if (event.kind == WEBSOCKET_EVENT_CLOSE)
			body->has_ended = true;
		else if (event.kind == WEBSOCKET_EVENT_ERROR)
			body->base.fault = close_reason_from_websocket(event.code);
	} while (event.kind != WEBSOCKET_EVENT_MORE && !body->has_ended &&
		 body->base.fault == CLOSE_REASON_COUNT);
	return found;
}

/* Of `count` bytes that have come, those of the stream; they stand at `bytes` then. */
static size_t take_apart(struct publisher_body *body, int fd, uint8_t *bytes, size_t count)
{
	switch (body->kind) {
	case PUBLISHER_CHUNKED:
		return take_chunks(body, bytes, count);
	case PUBLISHER_WEBSOCKET:
		return take_frames(body, fd, bytes, count);
	case PUBLISHER_LENGTH:
		body->base.left_bytes -= count;
		return count;
	case PUBLISHER_TO_END:
		break;
	}
	return count;
}

/* The connection has ended, and so has what is sent to its end; all else had more to come. */
static ssize_t end_of_connection(struct publisher_body *body)
{
	if (body->kind == PUBLISHER_TO_END)
		return 0;
	body->base.fault = CLOSE_CUT_BODY;
	note_state(body);
	errno = EBADMSG;
	return -1;
}

static ssize_t read_body(struct source_body *base, int fd, void *bytes, size_t count)
{
	struct publisher_body *body = body_of(base);
	size_t room = line_end_bytes(body);
	size_t wanted = count - room;
	ssize_t got;
	size_t found;

	if (base->fault != CLOSE_REASON_COUNT) {
		errno = EBADMSG;
		return -1;
	}
	if (body->kind == PUBLISHER_LENGTH)
		wanted = (size_t)u64_min(wanted, base->left_bytes);
	if (body->has_ended || wanted == 0)
		return 0;
	got = take(body, fd, (uint8_t *)bytes + room, wanted);
	if (got == 0)
		return end_of_connection(body);
	if (got < 0)
		return got;
	found = take_apart(body, fd, bytes, (size_t)got);
	note_state(body);
	errno = EAGAIN;
	return found ? (ssize_t)found : -1;
}

/* ---- the end ---- */

static int status_of(enum close_reason reason)
{
	switch ((int)reason) {
	case CLOSE_PEER_CLOSED:
		return 204;
	case CLOSE_DENIED:
		return 403;
	case CLOSE_SOURCE_TIMEOUT:
	case CLOSE_CROWDED_OUT:
		return 408;
	case CLOSE_REJECTED:
	case CLOSE_TAKEN_OVER:
		return 409;
	case CLOSE_TOO_LONG:
		return 413;
	case CLOSE_DRAIN:
	case CLOSE_HANDOVER:
	case CLOSE_NO_MEMORY:
		return 503;
	case CLOSE_REMOVED:
		return 404;
	default:
		return 400;
	}
}

static ssize_t print_answer(const struct publisher_body *body, enum close_reason reason, char *buf,
			    size_t size)
{
	struct http_response response;
	int status = status_of(reason);

	stream_answer_begin(&body->answer, &response, buf, size, status);
	if (status == 503)
		http_response_field(&response, "Retry-After", "1");
	if (status != 204)
		return http_response_end_text(&response, close_reason_text(reason), false);
	http_response_field(&response, "Connection", "close");
	return http_response_end(&response);
}

static ssize_t print_words(const struct publisher_body *body, enum close_reason reason, char *buf,
			   size_t size)
{
	const struct close_reason_row *row = close_reason_row(reason);

	if (body->kind == PUBLISHER_WEBSOCKET && body->has_begun)
		return (ssize_t)websocket_close_frame((uint8_t *)buf,
						      row->websocket_code ? row->websocket_code
									  : WEBSOCKET_CLOSE_NORMAL,
						      row->websocket_code ? row->text : NULL);
	if (body->has_begun &&
	    (body->kind == PUBLISHER_TO_END || body->answer.dialect != STREAM_HTTP))
		return 0;
	return print_answer(body, reason, buf, size);
}

static size_t last_words(struct source_body *base, enum close_reason reason, char *ret)
{
	const struct publisher_body *body = body_of(base);
	ssize_t bytes = 0;

	if (reason != CLOSE_PEER_RESET && reason != CLOSE_NETWORK)
		bytes = print_words(body, reason, ret, SOURCE_WORDS_BYTES);
	return bytes > 0 ? (size_t)bytes : 0;
}

static bool end_body(struct source_body *base, int fd, enum close_reason reason)
{
	char words[SOURCE_WORDS_BYTES];
	size_t bytes = last_words(base, reason, words);
	bool is_told =
		bytes && send(fd, words, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes;

	if (is_told)
		peer_socket_finish(fd);
	free(body_of(base));
	return is_told;
}

/* ---- the beginning ---- */

static const struct source_body_functions functions = {
	.read = read_body,
	.end = end_body,
	.last_words = last_words,
};

struct source_body *publisher_body_new(const struct publisher_body_params *params)
{
	struct publisher_body *body = calloc(1, sizeof(*body));

	if (!body)
		return NULL;
	body->base = (struct source_body){
		.functions = &functions,
		.left_bytes = params->kind == PUBLISHER_LENGTH ? params->bytes : SOURCE_ENDLESS,
		.peer = *params->peer,
		.fault = CLOSE_REASON_COUNT,
	};
	body->kind = params->kind;
	body->ends_lines = params->kind == PUBLISHER_WEBSOCKET && params->ends_lines;
	body->answer = *params->answer;
	websocket_decoder_init(&body->frames, UINT64_MAX);
	/* What has come behind a body of a known length is none of it. */
	body->rest_bytes = (size_t)u64_min(size_min(params->rest_bytes, sizeof(body->rest)),
					   body->base.left_bytes);
	memcpy(body->rest, params->rest, body->rest_bytes);
	note_state(body);
	return &body->base;
}

void publisher_body_note_begun(struct source_body *body)
{
	body_of(body)->has_begun = true;
}
