// SPDX-License-Identifier: MIT
/*
 * Connections with one request each.
 *
 * A connection reads, waits for its owner, answers and lingers, in this order;
 * http_connection_set_state() is the one place that starts and stops its watchers.  It lingers
 * because closing a socket that has unread bytes sends RST, which may overtake the answer: so the
 * writing side is shut first, and what still comes is thrown away, for a while and up to a limit.
 */
#include "http/http_connection_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "http/http_response.h"
#include "net/peer_socket.h"
#include "net/proxy_protocol.h"

#define LINGER_MS          1000
#define LINGER_BYTES       (256 * 1024)

#define BUFFER_FIRST_BYTES HTTP_REST_BYTES /* enough for most requests */
#define LATE_S             0.1 /* a deadline that comes so late was not missed by the client */

/* ---- state ---- */

/* Out of the set at once when there is nothing to wait for. */
static void watch_fd(struct http_connection *connection, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};
	int change = connection->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (!events && !connection->is_watched)
		return;
	if (!events)
		change = EPOLL_CTL_DEL;
	/* Without memory it is left to its deadline. */
	if (epoll_ctl(connection->server->epoll_fd, change, connection->fd, &event) == 0)
		connection->is_watched = events != 0;
}

void http_connection_watch(struct http_connection *connection, uint32_t events,
			   uint64_t deadline_ms)
{
	struct ev_loop *loop = connection->server->loop;

	ev_timer_stop(loop, &connection->deadline);
	watch_fd(connection, events);
	if (deadline_ms) {
		/* From now, not from when this turn of the loop began. */
		ev_now_update(loop);
		ev_timer_set(&connection->deadline, (double)deadline_ms / 1000, 0.0);
		ev_timer_start(loop, &connection->deadline);
	}
}

void http_connection_set_state(struct http_connection *connection, enum http_connection_step state)
{
	struct http_server *server = connection->server;

	connection->state = state;
	if (state == STATE_READING || state == STATE_LINGERING)
		http_room_enter(&server->room, &connection->waiting, &connection->peer);
	else
		http_room_leave(&connection->waiting);
	switch (state) {
	case STATE_READING:
		http_connection_watch(connection, EPOLLIN, server->params.deadline_ms);
		break;
	case STATE_WAITING:
		http_connection_watch(connection, 0, 0);
		break;
	case STATE_ANSWERING:
		http_connection_watch(connection, EPOLLOUT, server->params.deadline_ms);
		break;
	case STATE_LINGERING:
		http_connection_watch(connection, EPOLLIN, LINGER_MS);
		break;
	case STATE_ENDED:
		http_connection_watch(connection, 0, 0);
		peer_socket_close(&connection->fd);
		list_remove(&connection->node);
		list_append(&server->ended, &connection->node);
		if (--server->count == 0)
			ev_io_stop(server->loop, &server->ready);
		ev_prepare_start(server->loop, &server->turn_end);
		break;
	}
}

static void end_lost(struct http_connection *connection)
{
	connection->server->counters.lost++;
	http_connection_set_state(connection, STATE_ENDED);
}

/* ---- the answer ---- */

static void send_some(struct http_connection *connection)
{
	ssize_t sent = send(connection->fd, connection->answer + connection->answered_bytes,
			    connection->answer_bytes - connection->answered_bytes, MSG_NOSIGNAL);

	if (sent < 0) {
		if (errno != EAGAIN && errno != EINTR)
			end_lost(connection);
		return;
	}
	connection->answered_bytes += (size_t)sent;
	if (connection->answered_bytes < connection->answer_bytes)
		return;
	if (shutdown(connection->fd, SHUT_WR) < 0)
		end_lost(connection);
	else
		http_connection_set_state(connection, STATE_LINGERING);
}

void http_connection_answer(struct http_connection *connection, const uint8_t *bytes, size_t count)
{
	connection->answer = malloc(count ? count : 1);
	if (!connection->answer) {
		http_connection_drop(connection);
		return;
	}
	memcpy(connection->answer, bytes, count);
	connection->answer_bytes = count;
	http_connection_set_state(connection, STATE_ANSWERING);
	send_some(connection);
}

/* "GET, POST": RFC 9110, 15.5.6 wants it with 405. */
static void print_methods(char *buf, size_t size, unsigned methods)
{
	snprintf(buf, size, "%s%s%s%s%s%s", methods & HTTP_GET ? ", GET" : "",
		 methods & HTTP_HEAD ? ", HEAD" : "", methods & HTTP_POST ? ", POST" : "",
		 methods & HTTP_PUT ? ", PUT" : "", methods & HTTP_SOURCE ? ", SOURCE" : "",
		 methods & HTTP_OPTIONS ? ", OPTIONS" : "");
}

void http_connection_answer_line(struct http_connection *connection, int status, const char *line)
{
	char buf[LINE_ANSWER_BYTES], methods[64];
	struct http_response response;
	ssize_t bytes;

	http_response_begin(&response, buf, sizeof(buf), status);
	if (status == 405) {
		print_methods(methods, sizeof(methods), connection->server->params.methods);
		http_response_field(&response, "Allow", methods[0] ? methods + 2 : methods);
	}
	bytes = http_response_end_text(&response, line, connection->request.method == HTTP_HEAD);
	if (bytes < 0)
		http_connection_drop(connection);
	else
		http_connection_answer(connection, (const uint8_t *)buf, (size_t)bytes);
}

void http_connection_drop(struct http_connection *connection)
{
	http_connection_set_state(connection, STATE_ENDED);
}

static void fail(struct http_connection *connection, int status, const char *reason)
{
	const struct http_server_params *params = &connection->server->params;

	http_connection_set_state(connection, STATE_WAITING);
	if (params->on_error)
		params->on_error(params->owner, connection, status, reason);
	else
		http_connection_answer_line(connection, status, reason);
}

static void refuse(struct http_connection *connection, int status, const char *reason)
{
	connection->server->counters.errors++;
	fail(connection, status, reason);
}

/* ---- the request ---- */

/* Returns true when the head begins at head_at. */
static bool parse_proxy(struct http_connection *connection)
{
	struct proxy_header header;

	if (!connection->expects_proxy)
		return true;
	switch (proxy_protocol_parse(connection->buffer, connection->used_bytes, &header)) {
	case PROXY_PARSE_MORE:
		return false;
	case PROXY_PARSE_ERROR:
		refuse(connection, 400, header.reason);
		return false;
	case PROXY_PARSE_WHOLE:
		break;
	}
	connection->expects_proxy = false;
	connection->is_proxied = true;
	connection->head_at = header.header_bytes;
	if (header.source.ss_family != AF_UNSPEC) {
		connection->peer.storage = header.source;
		connection->peer.bytes = header.source_bytes;
	}
	/* It is not one of the proxy's any more. */
	http_room_enter(&connection->server->room, &connection->waiting, &connection->peer);
	return true;
}

static void parse_request(struct http_connection *connection)
{
	const struct http_server_params *params = &connection->server->params;
	struct http_request *request = &connection->request;
	size_t bytes = connection->used_bytes - connection->head_at;

	switch (http_request_parse(request, (const char *)connection->buffer + connection->head_at,
				   bytes)) {
	case HTTP_PARSE_MORE:
		return;
	case HTTP_PARSE_ERROR:
		refuse(connection, request->status, request->reason);
		return;
	case HTTP_PARSE_WHOLE:
		break;
	}
	if (bytes - request->head_bytes < request->content_bytes) {
		/* The buffer may move, and the texts of the request with it: read again then. */
		http_request_init(request, params->methods, params->body_max_bytes);
		return;
	}
	connection->server->counters.requests++;
	http_connection_set_state(connection, STATE_WAITING);
	params->on_request(params->owner, connection, request,
			   connection->buffer + connection->head_at + request->head_bytes,
			   (size_t)request->content_bytes);
}

/* The peer has shut its writing side and may still read. */
static void end_of_input(struct http_connection *connection)
{
	/* Nothing was asked.  So a proxy looks if relay is there, often behind its header. */
	if (connection->used_bytes == connection->head_at)
		end_lost(connection);
	else
		refuse(connection, 400, "the request ended too early");
}

/* Looks at what has come. */
static void parse(struct http_connection *connection)
{
	if (parse_proxy(connection))
		parse_request(connection);
}

/* For so many bytes in all, or for as many as there may be.  False: no memory. */
static bool make_room(struct http_connection *connection, size_t bytes)
{
	size_t room = size_min(size_max(bytes, BUFFER_FIRST_BYTES), HTTP_CONNECTION_BYTES);
	uint8_t *buffer;

	if (room <= connection->room_bytes)
		return true;
	buffer = realloc(connection->buffer, room);
	if (!buffer)
		return false;
	connection->buffer = buffer;
	connection->room_bytes = room;
	return true;
}

/* All that lies behind a request has come with its last bytes: no more than one receive. */
static void receive(struct http_connection *connection)
{
	size_t room;
	ssize_t count;

	if (connection->used_bytes == connection->room_bytes &&
	    !make_room(connection, 2 * connection->room_bytes)) {
		refuse(connection, 503, "out of memory");
		return;
	}
	room = connection->room_bytes - connection->used_bytes;
	count = peer_socket_receive(connection->fd, connection->buffer + connection->used_bytes,
				    size_min(room, HTTP_REST_BYTES), 0);
	if (count < 0) {
		if (errno != EAGAIN && errno != EINTR)
			end_lost(connection);
		return;
	}
	if (count == 0) {
		end_of_input(connection);
		return;
	}
	connection->used_bytes += (size_t)count;
	parse(connection);
}

static void discard(struct http_connection *connection)
{
	uint8_t discarded[HTTP_REST_BYTES];
	ssize_t count = peer_socket_receive(connection->fd, discarded, sizeof(discarded), 0);

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count > 0)
		connection->lingered_bytes += (size_t)count;
	if (count <= 0 || connection->lingered_bytes > LINGER_BYTES)
		http_connection_set_state(connection, STATE_ENDED);
}

void http_connection_serve(struct http_connection *connection)
{
	switch (connection->state) {
	case STATE_READING:
		receive(connection);
		break;
	case STATE_ANSWERING:
		send_some(connection);
		break;
	case STATE_LINGERING:
		discard(connection);
		break;
	case STATE_WAITING:
	case STATE_ENDED:
		break;
	}
}

void http_connection_on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct http_connection *connection =
		container_of(watcher, struct http_connection, deadline);

	/* Of one that is over: how long ago it was. */
	double late_s = -ev_timer_remaining(loop, watcher);

	(void)events;
	/* relay itself did nothing for so long at least. */
	if (late_s >= LATE_S) {
		ev_timer_set(watcher, late_s, 0.0);
		ev_timer_start(loop, watcher);
		return;
	}
	if (connection->state != STATE_LINGERING)
		connection->server->counters.late++;
	if (connection->state == STATE_READING)
		fail(connection, 408, "the request did not come in time");
	else
		http_connection_set_state(connection, STATE_ENDED);
}

/* ---- taking it over ---- */

int http_connection_take_fd(struct http_connection *connection, uint8_t *rest,
			    size_t *ret_rest_bytes)
{
	size_t at = connection->head_at + connection->request.head_bytes +
		    (size_t)connection->request.content_bytes;
	size_t bytes = connection->used_bytes - at;
	int fd = connection->fd;

	/* Of what another process has left, there may be more than one receive. */
	memcpy(rest, connection->buffer + at, size_min(bytes, HTTP_REST_BYTES));
	*ret_rest_bytes = bytes;
	connection->fd = -1;
	http_connection_set_state(connection, STATE_ENDED);
	return fd;
}

const struct endpoint_address *http_connection_peer(const struct http_connection *connection)
{
	return &connection->peer;
}

void http_connection_set_peer(struct http_connection *connection,
			      const struct endpoint_address *peer)
{
	connection->peer = *peer;
	connection->is_proxied = true;
}

bool http_connection_is_proxied(const struct http_connection *connection)
{
	return connection->is_proxied;
}
