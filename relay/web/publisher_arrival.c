// SPDX-License-Identifier: MIT
/* Publishers by HTTP: from the control thread to the worker. */
#include "web/publisher_arrival.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/peer_socket.h"
#include "intake/body_take.h"
#include "web/publisher_body.h"

enum {
	GREETING_BYTES = 1024,
};

struct arrival {
	struct task task;
	struct ingest *ingest;
	int fd;
	struct source_body *body;
	char greeting[GREETING_BYTES]; /* what it waits for; may be empty */
	size_t greeting_bytes;
};

/* ---- in the worker ---- */

/* A fresh socket takes it whole; one that does not is gone. */
static bool greet(const struct arrival *arrival)
{
	return arrival->greeting_bytes == 0 ||
	       send(arrival->fd, arrival->greeting, arrival->greeting_bytes,
		    MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)arrival->greeting_bytes;
}

static void arrive(struct task *task)
{
	struct arrival *arrival = container_of(task, struct arrival, task);
	enum close_reason reason = ingest_check_peer(arrival->ingest, &arrival->body->peer);

	if (reason == CLOSE_REASON_COUNT && !greet(arrival))
		reason = CLOSE_PEER_RESET;
	if (reason == CLOSE_REASON_COUNT) {
		publisher_body_note_begun(arrival->body);
		ingest_admit(arrival->ingest, arrival->fd, arrival->body);
	} else {
		(void)body_end(&arrival->body, arrival->fd, reason);
		peer_socket_close(&arrival->fd);
	}
	free(arrival);
}

/* ---- in the control thread ---- */

static enum publisher_body_kind kind_of(const struct publisher_request *from)
{
	static const enum publisher_body_kind kinds[] = {
		[HTTP_BODY_LENGTH] = PUBLISHER_LENGTH,
		[HTTP_BODY_CHUNKED] = PUBLISHER_CHUNKED,
		[HTTP_BODY_TO_END] = PUBLISHER_TO_END,
	};

	return from->is_websocket ? PUBLISHER_WEBSOCKET : kinds[from->request->body];
}

/* Bytes, or -errno. */
static ssize_t print_greeting(const struct publisher_request *from, char *buf, size_t size)
{
	struct http_response response;

	if (from->is_websocket)
		return websocket_handshake_answer(&from->answer->handshake, buf, size);
	if (from->request->wants_continue)
		return snprintf(buf, size, "HTTP/1.1 100 Continue\r\n\r\n");
	if (from->answer->dialect == STREAM_NTRIP_1)
		return snprintf(buf, size, "%s", STREAM_NTRIP_1_OK);
	if (from->request->body != HTTP_BODY_TO_END && from->answer->dialect == STREAM_HTTP)
		return 0;
	stream_answer_begin(from->answer, &response, buf, size, 200);
	http_response_field(&response, "Connection", "close");
	return http_response_end(&response);
}

/* Takes the socket.  False: no memory, it is closed. */
static bool take_connection(const struct publisher_request *from, struct arrival *arrival)
{
	const struct endpoint_address peer = *http_connection_peer(from->connection);
	uint8_t rest[HTTP_REST_BYTES];
	struct publisher_body_params params = {
		.kind = kind_of(from),
		.bytes = from->request->body_bytes,
		.ends_lines = from->ends_lines,
		.rest = rest,
		.answer = from->answer,
		.peer = &peer,
	};

	arrival->fd = http_connection_take_fd(from->connection, rest, &params.rest_bytes);
	if (params.rest_bytes <= sizeof(rest))
		arrival->body = publisher_body_new(&params);
	if (!arrival->body)
		peer_socket_close(&arrival->fd);
	return arrival->body;
}

int publisher_arrive(const struct publisher_request *from, struct ingest *ingest,
		     struct inbox *inbox)
{
	struct arrival *arrival = calloc(1, sizeof(*arrival));
	ssize_t bytes = arrival ? print_greeting(from, arrival->greeting, GREETING_BYTES) : -ENOMEM;

	if (bytes < 0) {
		free(arrival);
		return -ENOMEM;
	}
	arrival->greeting_bytes = (size_t)bytes;
	arrival->ingest = ingest;
	arrival->task.run = arrive;
	if (take_connection(from, arrival))
		inbox_post(inbox, &arrival->task);
	else
		free(arrival);
	return 0;
}
