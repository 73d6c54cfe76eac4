// SPDX-License-Identifier: MIT
/*
 * One request on each accepted socket: a server reads the head, and a small body, until an absolute
 * deadline, answers what is wrong itself, and hands good requests to its owner.
 *
 * A connection belongs to its server and is never freed inside its own callback.  After a request
 * was handed over, the owner answers it, takes its socket, or drops it, at once or later; until
 * then nothing is read, and the deadline is off.
 *
 * An honest client sends its whole request within a round trip.  A hostile one sends as little as
 * it may, to keep others out.  So when max_connections are open, one whose request is not complete
 * is closed for the new one: http_room.h says which.  Many slow peers only shorten their own time.
 *
 * What a peer can make a server hold: a buffer that grows with what it sends, up to
 * HTTP_CONNECTION_BYTES, for each of max_connections, for deadline_ms, however slowly it sends;
 * then an answer, for as long again, however slowly it reads.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "http/http_request.h"
#include "http/http_room.h"
#include "net/access.h"
#include "net/endpoint.h"
#include "net/proxy_protocol.h"
#include "table/counter.h"

struct http_connection;

/* The most that may have come behind a head. */
#define HTTP_REST_BYTES 8192

/* The most that is held of a connection at its request; a PROXY header stands before the head. */
#define HTTP_CONNECTION_BYTES (PROXY_HEADER_BYTES + HTTP_HEAD_BYTES + HTTP_REST_BYTES)

struct http_server_params {
	unsigned methods;        /* as in http_request_init() */
	uint64_t body_max_bytes; /* at most HTTP_REST_BYTES, or HTTP_BODY_LEFT */
	uint64_t deadline_ms;    /* for the request to be there, and for its answer to be gone */
	size_t max_connections;  /* for one more, who makes room gets 503 */
	/* Peers at these addresses begin with a PROXY header, all others do not.  NULL: nobody
	 * does.  The caller's, and may change. */
	const struct access *proxy_trusted;

	/* A request is there.  Its texts, and the body, are valid until the connection is answered,
	 * taken or dropped, one of which has to happen, in here or later. */
	void (*on_request)(void *owner, struct http_connection *connection,
			   const struct http_request *request, const uint8_t *body,
			   size_t body_bytes);
	/* This peer gets 503 for want of room.  NULL: it is only counted. */
	void (*on_turned_away)(void *owner, const struct endpoint_address *peer);
	/* No request, but an error: the owner answers as above.  `reason` is a static line.  NULL:
	 * the server answers with that line. */
	void (*on_error)(void *owner, struct http_connection *connection, int status,
			 const char *reason);
	void *owner;
};

struct http_server {
	struct http_server_counters counters; /* ro */
	size_t count;                         /* ro: connections it holds */

	/* private */
	struct ev_loop *loop;
	struct http_server_params params;
	struct list connections, ended;
	struct http_room room;
	/* The sockets are in a set of their own, since libev (4.33) leaves a descriptor that nobody
	 * watches in its set until something happens there: by then it may belong to another
	 * loop, and another thread. */
	int epoll_fd;        /* -1 before the first connection */
	ev_io ready;         /* one of them is */
	ev_prepare turn_end; /* frees the ended ones */
};

void http_server_init(struct http_server *server, struct ev_loop *loop,
		      const struct http_server_params *params);

/* As in the params, for connections that come from now on. */
void http_server_change(struct http_server *server, uint64_t deadline_ms, size_t max_connections,
			const struct access *proxy_trusted);
void http_server_change_methods(struct http_server *server, unsigned methods,
				uint64_t body_max_bytes);

/* fd: an accepted socket, non-blocking; the server's from here on. */
void http_server_adopt(struct http_server *server, int fd, const struct endpoint_address *peer);

/* Closes all connections, also those whose requests are not answered yet.  Not from within
 * on_request or on_error of this server.  Idempotent. */
void http_server_fini(struct http_server *server);

/* ---- what an owner does with a connection: one of the first four, once ---- */

/* Sends head and body, which are copied, as the socket takes them, then closes in a way that lets
 * the peer read all of it.  Without memory the connection is closed. */
void http_connection_answer(struct http_connection *connection, const uint8_t *bytes, size_t count);

/* An answer of one line, with what http_response_end_text() adds; Allow with 405. */
void http_connection_answer_line(struct http_connection *connection, int status, const char *line);

/* Gives the socket away.  *ret_rest_bytes is how much had come behind the request.  Its beginning
 * goes to `rest`, which has room for HTTP_REST_BYTES. */
int http_connection_take_fd(struct http_connection *connection, uint8_t *rest,
			    size_t *ret_rest_bytes);

/* Closes without a word. */
void http_connection_drop(struct http_connection *connection);

/* Who sent the request: the address of the connection, or the one that a proxy named. */
const struct endpoint_address *http_connection_peer(const struct http_connection *connection);

/* A trusted proxy has said in the request who that is. */
void http_connection_set_peer(struct http_connection *connection,
			      const struct endpoint_address *peer);

/* Did it come from a trusted proxy: with a PROXY header, or by http_connection_set_peer()? */
bool http_connection_is_proxied(const struct http_connection *connection);
