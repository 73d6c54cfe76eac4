// SPDX-License-Identifier: MIT
/* What http_connection.c (one connection) and http_server.c (all of them) share; for these two
 * only. */
#pragma once

#include "http/http_connection.h"
#include "http/http_room.h"

/* Head and body of an answer of one line. */
#define LINE_ANSWER_BYTES 1024

enum http_connection_step {
	STATE_READING,
	STATE_WAITING, /* for the owner */
	STATE_ANSWERING,
	STATE_LINGERING,
	STATE_ENDED, /* freed at the end of the turn */
};

struct http_connection {
	struct list_node node; /* in the server's connections or ended */
	struct http_room_entry waiting;
	struct http_server *server;
	int fd;
	enum http_connection_step state;
	bool is_watched; /* in the server's epoll set */
	ev_timer deadline;
	struct endpoint_address peer;
	bool expects_proxy; /* until its header is there */
	bool is_proxied;
	struct http_request request;

	uint8_t *answer; /* owned */
	size_t answer_bytes, answered_bytes;
	size_t lingered_bytes;

	size_t head_at;    /* behind the PROXY header */
	size_t used_bytes; /* of the buffer */
	size_t room_bytes; /* in the buffer: grows as bytes come, up to HTTP_CONNECTION_BYTES */
	uint8_t *buffer;   /* owned; NULL before the first byte */
};

/* The only place that changes the state, and with it what is waited for. */
void http_connection_set_state(struct http_connection *connection, enum http_connection_step state);

/* Waits for these events of epoll(7) (0: none) until the deadline (0: for ever). */
void http_connection_watch(struct http_connection *connection, uint32_t events,
			   uint64_t deadline_ms);

/* Its socket is ready. */
void http_connection_serve(struct http_connection *connection);

void http_connection_on_deadline(struct ev_loop *loop, ev_timer *watcher, int events);
