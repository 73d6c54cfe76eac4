// SPDX-License-Identifier: MIT
/*
 * All connections of one door: whom there is room for, and which of them are ready.  What happens
 * on one is http_connection.c.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "http/http_connection_parts.h"
#include "http/http_response.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"

#define READY_MAX 64 /* served in a turn */

static void free_ended(struct http_server *server)
{
	struct list_node *node;

	while ((node = list_first(&server->ended))) {
		struct http_connection *connection = list_entry(node, struct http_connection, node);

		list_remove(node);
		free(connection->answer);
		free(connection->buffer);
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

/* One that has ended in this turn is still there, and has nothing more to do. */
static void on_ready(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct http_server *server = container_of(watcher, struct http_server, ready);
	struct epoll_event ready[READY_MAX];
	int count = epoll_wait(server->epoll_fd, ready, READY_MAX, 0);

	if (events & EV_ERROR) /* epoll_ctl(2) had no room: again, or nobody would be heard */
		ev_io_start(loop, watcher);
	for (int i = 0; i < count; i++)
		http_connection_serve(ready[i].data.ptr);
}

void http_server_init(struct http_server *server, struct ev_loop *loop,
		      const struct http_server_params *params)
{
	*server = (struct http_server){.loop = loop, .params = *params};
	list_init(&server->connections);
	list_init(&server->ended);
	http_room_init(&server->room);
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

void http_server_change_methods(struct http_server *server, unsigned methods,
				uint64_t body_max_bytes)
{
	server->params.methods = methods;
	server->params.body_max_bytes = body_max_bytes;
}

static bool is_proxy(const struct http_server *server, const struct endpoint_address *peer)
{
	const struct access *trusted = server->params.proxy_trusted;
	struct in6_addr address;

	return trusted && endpoint_address_ip(peer, &address) == 0 &&
	       access_is_allowed(trusted, &address);
}

/* A browser's EventSource comes back after a reset, and never after a 503. */
static bool is_for_events(const void *head, size_t bytes)
{
	static const char media[] = "text/event-stream";

	return bytes > 0 && memmem(head, bytes, media, sizeof(media) - 1);
}

/* At once and without keeping anything, since there is too much already; what has come is read
 * first, so that the answer is not lost with it.  head: what was read before. */
static void turn_away(struct http_server *server, int fd, const struct endpoint_address *peer,
		      const uint8_t *head, size_t head_bytes)
{
	static const char line[] = "too many connections wait here";
	const struct http_server_params *params = &server->params;
	char buf[LINE_ANSWER_BYTES];
	struct http_response response;
	ssize_t bytes;

	server->counters.refused++;
	if (params->on_turned_away)
		params->on_turned_away(params->owner, peer);
	bytes = peer_socket_receive(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (is_for_events(head, head_bytes) || (bytes > 0 && is_for_events(buf, (size_t)bytes))) {
		sockopt_set_reset_on_close(fd);
		peer_socket_close(&fd);
		return;
	}
	http_response_begin(&response, buf, sizeof(buf), 503);
	http_response_field(&response, "Retry-After", "1");
	bytes = http_response_end_text(&response, line, false);
	if (bytes > 0)
		(void)!send(fd, buf, (size_t)bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
	peer_socket_close(&fd);
}

/* Ends one that has not said all, or has its answer and only lingers.  False: there is none. */
static bool make_room(struct http_server *server)
{
	struct http_room_entry *entry = http_room_pick(&server->room);
	struct http_connection *connection;
	int fd = -1;

	if (!entry)
		return false;
	connection = container_of(entry, struct http_connection, waiting);
	if (connection->state == STATE_READING) {
		http_connection_watch(connection, 0, 0);
		fd = connection->fd;
		connection->fd = -1;
	}
	http_connection_set_state(connection, STATE_ENDED);
	if (fd >= 0)
		turn_away(server, fd, &connection->peer, connection->buffer,
			  connection->used_bytes);
	return true;
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
static struct http_connection *new_connection(struct http_server *server, int fd,
					      const struct endpoint_address *peer)
{
	struct http_connection *connection =
		open_set(server) ? calloc(1, sizeof(*connection)) : NULL;

	if (!connection)
		return NULL;
	connection->server = server;
	connection->fd = fd;
	connection->peer = *peer;
	list_node_init(&connection->node);
	list_append(&server->connections, &connection->node);
	if (server->count++ == 0)
		ev_io_start(server->loop, &server->ready);
	ev_init(&connection->deadline, http_connection_on_deadline);
	/* What has arrived in the meantime is looked at first. */
	ev_set_priority(&connection->deadline, EV_MINPRI);
	connection->expects_proxy = is_proxy(server, &connection->peer);
	http_request_init(&connection->request, server->params.methods,
			  server->params.body_max_bytes);
	return connection;
}

void http_server_adopt(struct http_server *server, int fd, const struct endpoint_address *peer)
{
	struct http_connection *connection = NULL;

	server->counters.adopted++;
	if (server->count < server->params.max_connections || make_room(server))
		connection = new_connection(server, fd, peer);
	if (connection) {
		http_connection_set_state(connection, STATE_READING);
		return;
	}
	turn_away(server, fd, peer, NULL, 0);
}

void http_server_fini(struct http_server *server)
{
	struct list_node *node;

	if (!server->loop)
		return;
	while ((node = list_first(&server->connections)))
		http_connection_set_state(list_entry(node, struct http_connection, node),
					  STATE_ENDED);
	free_ended(server);
	fd_close(&server->epoll_fd);
	server->loop = NULL;
}
