// SPDX-License-Identifier: MIT
/*
 * Connections with one request each.
 *
 * A connection reads, waits for its owner, answers and lingers, in this order; set_state() is the
 * one place that starts and stops its watchers.  It lingers because closing a socket that has
 * unread bytes sends RST, which may overtake the answer: so the writing side is shut first, and
 * what still comes is thrown away, for a while and up to a limit.
 */
#include "net/http_connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "base/state_stream.h"
#include "net/http_response.h"
#include "net/proxy_protocol.h"

#define LINGER_MS    1000
#define LINGER_BYTES (256 * 1024)
#define READY_MAX    64 /* served in a turn */
#define BUFFER_BYTES (PROXY_HEADER_BYTES + HTTP_HEAD_BYTES + HTTP_REST_BYTES)

/* Head and body of an answer of one line. */
#define LINE_ANSWER_BYTES 1024

enum state {
	STATE_READING,
	STATE_WAITING, /* for the owner */
	STATE_ANSWERING,
	STATE_LINGERING,
	STATE_ENDED, /* freed at the end of the turn */
};

struct http_connection {
	struct list_node node; /* in the server's connections or ended */
	struct http_server *server;
	int fd;
	enum state state;
	bool is_watched; /* in the server's epoll set */
	ev_timer deadline;
	struct endpoint_address peer;
	bool expects_proxy;
	struct http_request request;

	uint8_t *answer; /* owned */
	size_t answer_bytes, answered_bytes;
	size_t lingered_bytes;

	size_t head_at;    /* behind the PROXY header */
	size_t used_bytes; /* of the buffer */
	uint8_t buffer[BUFFER_BYTES];
};

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

static void watch(struct http_connection *connection, uint32_t events, uint64_t deadline_ms)
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

static void set_state(struct http_connection *connection, enum state state)
{
	struct http_server *server = connection->server;

	connection->state = state;
	switch (state) {
	case STATE_READING:
		watch(connection, EPOLLIN, server->params.deadline_ms);
		break;
	case STATE_WAITING:
		watch(connection, 0, 0);
		break;
	case STATE_ANSWERING:
		watch(connection, EPOLLOUT, server->params.deadline_ms);
		break;
	case STATE_LINGERING:
		watch(connection, EPOLLIN, LINGER_MS);
		break;
	case STATE_ENDED:
		watch(connection, 0, 0);
		fd_close(&connection->fd);
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
	set_state(connection, STATE_ENDED);
}

static void free_ended(struct http_server *server)
{
	struct list_node *node;

	while ((node = list_first(&server->ended))) {
		struct http_connection *connection = list_entry(node, struct http_connection, node);

		list_remove(node);
		free(connection->answer);
		free(connection);
	}
	ev_prepare_stop(server->loop, &server->turn_end);
}

static void on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events)
{
	(void)loop;
	(void)events;
	free_ended(container_of(watcher, struct http_server, turn_end));
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
		set_state(connection, STATE_LINGERING);
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
	set_state(connection, STATE_ANSWERING);
	send_some(connection);
}

/* "GET, POST": RFC 9110, 15.5.6 wants it with 405. */
static void print_methods(char *buf, size_t size, unsigned methods)
{
	snprintf(buf, size, "%s%s%s%s", methods & HTTP_GET ? ", GET" : "",
		 methods & HTTP_HEAD ? ", HEAD" : "", methods & HTTP_POST ? ", POST" : "",
		 methods & HTTP_OPTIONS ? ", OPTIONS" : "");
}

void http_connection_answer_line(struct http_connection *connection, int status, const char *line)
{
	char buf[LINE_ANSWER_BYTES], methods[40];
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
	set_state(connection, STATE_ENDED);
}

static void fail(struct http_connection *connection, int status, const char *reason)
{
	const struct http_server_params *params = &connection->server->params;

	set_state(connection, STATE_WAITING);
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
	connection->head_at = header.header_bytes;
	if (header.source.ss_family != AF_UNSPEC) {
		connection->peer.storage = header.source;
		connection->peer.bytes = header.source_bytes;
	}
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
	if (bytes - request->head_bytes < request->content_bytes)
		return;
	connection->server->counters.requests++;
	set_state(connection, STATE_WAITING);
	params->on_request(params->owner, connection, request,
			   connection->buffer + connection->head_at + request->head_bytes,
			   (size_t)request->content_bytes);
}

/* The peer has shut its writing side and may still read. */
static void end_of_input(struct http_connection *connection)
{
	if (connection->used_bytes == 0)
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

/* All that lies behind a request has come with its last bytes: no more than one receive. */
static void receive(struct http_connection *connection)
{
	size_t room = BUFFER_BYTES - connection->used_bytes;
	ssize_t count = recv(connection->fd, connection->buffer + connection->used_bytes,
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
	ssize_t count = recv(connection->fd, connection->buffer, BUFFER_BYTES, 0);

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (count > 0)
		connection->lingered_bytes += (size_t)count;
	if (count <= 0 || connection->lingered_bytes > LINGER_BYTES)
		set_state(connection, STATE_ENDED);
}

static void serve(struct http_connection *connection)
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

/* One that has ended in this turn is still there, and has nothing more to do. */
static void on_ready(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct http_server *server = container_of(watcher, struct http_server, ready);
	struct epoll_event ready[READY_MAX];
	int count = epoll_wait(server->epoll_fd, ready, READY_MAX, 0);

	(void)loop;
	(void)events;
	for (int i = 0; i < count; i++)
		serve(ready[i].data.ptr);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct http_connection *connection =
		container_of(watcher, struct http_connection, deadline);

	(void)loop;
	(void)events;
	if (connection->state != STATE_LINGERING)
		connection->server->counters.late++;
	if (connection->state == STATE_READING)
		fail(connection, 408, "the request did not come in time");
	else
		set_state(connection, STATE_ENDED);
}

/* ---- the server ---- */

void http_server_init(struct http_server *server, struct ev_loop *loop,
		      const struct http_server_params *params)
{
	*server = (struct http_server){.loop = loop, .params = *params};
	list_init(&server->connections);
	list_init(&server->ended);
	ev_prepare_init(&server->turn_end, on_turn_end);
	ev_init(&server->ready, on_ready);
	server->epoll_fd = -1;
}

void http_server_change(struct http_server *server, uint64_t deadline_ms, size_t max_connections,
			const struct access *proxy_trusted)
{
	server->params.deadline_ms = deadline_ms;
	server->params.max_connections = max_connections;
	server->params.proxy_trusted = proxy_trusted;
}

static bool is_proxy(const struct http_server *server, const struct endpoint_address *peer)
{
	const struct access *trusted = server->params.proxy_trusted;
	struct in6_addr address;

	return trusted && endpoint_address_ip(peer, &address) == 0 &&
	       access_is_allowed(trusted, &address);
}

/* At once and without keeping anything, since there is too much already; what has come is read
 * first, so that the answer is not lost with it. */
static void turn_away(struct http_server *server, int fd)
{
	static const char line[] = "too many connections wait here";
	char buf[LINE_ANSWER_BYTES];
	struct http_response response;
	ssize_t bytes;

	server->counters.refused++;
	(void)!recv(fd, buf, sizeof(buf), 0);
	http_response_begin(&response, buf, sizeof(buf), 503);
	http_response_field(&response, "Retry-After", "1");
	bytes = http_response_end_text(&response, line, false);
	if (bytes > 0)
		(void)!send(fd, buf, (size_t)bytes, MSG_NOSIGNAL);
	fd_close(&fd);
}

/* False: no descriptor or memory for it. */
static bool open_set(struct http_server *server)
{
	if (server->epoll_fd >= 0)
		return true;
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll_fd < 0)
		return false;
	ev_io_set(&server->ready, server->epoll_fd, EV_READ);
	return true;
}

/* In no state yet.  NULL: no descriptor or memory for it. */
static struct http_connection *new_connection(struct http_server *server, int fd)
{
	struct http_connection *connection = open_set(server) ? malloc(sizeof(*connection)) : NULL;

	if (!connection)
		return NULL;
	/* The buffer is left as it is: most of it is never looked at. */
	memset(connection, 0, offsetof(struct http_connection, buffer));
	connection->server = server;
	connection->fd = fd;
	list_node_init(&connection->node);
	list_append(&server->connections, &connection->node);
	if (server->count++ == 0)
		ev_io_start(server->loop, &server->ready);
	ev_init(&connection->deadline, on_deadline);
	endpoint_peer(fd, &connection->peer);
	connection->expects_proxy = is_proxy(server, &connection->peer);
	http_request_init(&connection->request, server->params.methods,
			  server->params.body_max_bytes);
	return connection;
}

void http_server_adopt(struct http_server *server, int fd)
{
	struct http_connection *connection = NULL;

	server->counters.adopted++;
	if (server->count < server->params.max_connections)
		connection = new_connection(server, fd);
	if (connection)
		set_state(connection, STATE_READING);
	else
		turn_away(server, fd);
}

void http_server_fini(struct http_server *server)
{
	struct list_node *node;

	if (!server->loop)
		return;
	while ((node = list_first(&server->connections)))
		set_state(list_entry(node, struct http_connection, node), STATE_ENDED);
	free_ended(server);
	fd_close(&server->epoll_fd);
	server->loop = NULL;
}

/* ---- taking it over ---- */

int http_connection_take_fd(struct http_connection *connection, uint8_t *rest,
			    size_t *ret_rest_bytes)
{
	size_t at = connection->head_at + connection->request.head_bytes +
		    (size_t)connection->request.content_bytes;
	size_t bytes = connection->used_bytes - at;
	int fd = connection->fd;

	memcpy(rest, connection->buffer + at, bytes);
	*ret_rest_bytes = bytes;
	connection->fd = -1;
	set_state(connection, STATE_ENDED);
	return fd;
}

const struct endpoint_address *http_connection_peer(const struct http_connection *connection)
{
	return &connection->peer;
}

int http_connection_fd(const struct http_connection *connection)
{
	return connection->fd;
}

/* ---- from one process to the next ---- */

static void capture(struct http_connection *connection, struct http_connection_state *ret)
{
	double left_s = ev_timer_remaining(connection->server->loop, &connection->deadline);

	*ret = (struct http_connection_state){
		.fd = connection->fd,
		.is_answered = connection->state != STATE_READING,
		.left_ms = left_s > 0 ? (uint64_t)(left_s * 1000) : 0,
	};
	if (connection->state == STATE_READING) {
		ret->bytes = connection->buffer;
		ret->byte_count = connection->used_bytes;
	} else if (connection->answer) {
		ret->bytes = connection->answer + connection->answered_bytes;
		ret->byte_count = connection->answer_bytes - connection->answered_bytes;
	}
}

size_t http_server_capture(const struct http_server *server, struct http_connection_state *ret)
{
	struct list_node *node;
	size_t count = 0;

	list_for_each (&server->connections, node) {
		struct http_connection *connection = list_entry(node, struct http_connection, node);

		if (connection->state != STATE_WAITING)
			capture(connection, &ret[count++]);
	}
	return count;
}

/* A socket that has been shut takes nothing, not even nothing: its answer has gone. */
static void answer_on(struct http_connection *connection, const struct http_connection_state *state)
{
	if (state->byte_count == 0)
		set_state(connection, STATE_LINGERING);
	else
		http_connection_answer(connection, state->bytes, state->byte_count);
	if (connection->state == STATE_ANSWERING)
		watch(connection, EPOLLOUT, state->left_ms + 1);
}

void http_server_restore(struct http_server *server, struct http_connection_state *state)
{
	struct http_connection *connection = new_connection(server, state->fd);

	if (!connection)
		fd_close(&state->fd);
	state->fd = -1;
	if (!connection)
		return;
	if (state->is_answered) {
		answer_on(connection, state);
		return;
	}
	set_state(connection, STATE_READING);
	watch(connection, EPOLLIN, state->left_ms + 1);
	connection->used_bytes = size_min(state->byte_count, BUFFER_BYTES);
	if (!connection->used_bytes)
		return;
	memcpy(connection->buffer, state->bytes, connection->used_bytes);
	parse(connection);
}

void http_connection_state_transfer(struct state_stream *stream,
				    struct http_connection_state *state)
{
	state_fd(stream, &state->fd, "socket of a request");
	state_bool(stream, &state->is_answered, "answered");
	state_u64(stream, &state->left_ms, UINT32_MAX, "time left");
	state_size(stream, &state->byte_count, state->is_answered ? UINT32_MAX : BUFFER_BYTES,
		   "bytes of a request");
	state_bytes(stream, &state->bytes, state->byte_count, "bytes of a request");
	if (stream->is_reading && state->fd < 0)
		state_fail(stream, "socket of a request");
}
