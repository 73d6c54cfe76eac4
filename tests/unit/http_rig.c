// SPDX-License-Identifier: MIT
/* The server, what it was asked, and its peer; see the header. */
#include "tests/unit/http_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/errmsg.h"
#include "base/fd.h"
#include "tests/unit/fd_count.h"
#include "tests/unit/tcp_pair.h"

/* Far above what a turn takes; a test that reaches it has failed. */
enum {
	CEILING_S = 30
};

static void on_request(void *owner, struct http_connection *connection,
		       const struct http_request *request, const uint8_t *body, size_t body_bytes)
{
	struct http_rig *rig = owner;

	rig->requests++;
	rig->connection = connection;
	rig->method = request->method;
	assert_true(http_target_path(&request->target, rig->path, sizeof(rig->path)) >= 0);
	assert_true(body_bytes < sizeof(rig->body));
	memcpy(rig->body, body, body_bytes);
	rig->body[body_bytes] = '\0';
	endpoint_print_address(rig->from, sizeof(rig->from), http_connection_peer(connection));
	switch (rig->what) {
	case WHAT_ANSWER:
		http_connection_answer(connection, rig->answer, rig->answer_bytes);
		break;
	case WHAT_TAKE:
		rig->taken_fd = http_connection_take_fd(connection, rig->rest, &rig->rest_bytes);
		break;
	case WHAT_DROP:
		http_connection_drop(connection);
		break;
	case WHAT_NOTHING:
		break;
	}
}

int http_rig_set_up(void **state)
{
	struct http_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig->fds_at_start = count_fds();
	rig->loop = begin_loop(&rig->ceiling, CEILING_S);
	rig->peer = rig->taken_fd = -1;
	rig->answer = (const uint8_t *)ANSWER;
	rig->answer_bytes = strlen(ANSWER);
	*state = rig;
	return 0;
}

int http_rig_tear_down(void **state)
{
	struct http_rig *rig = *state;

	http_server_fini(&rig->server);
	http_server_fini(&rig->server);
	access_fini(&rig->trusted);
	fd_close(&rig->peer);
	fd_close(&rig->taken_fd);
	end_loop(rig->loop, &rig->ceiling);
	assert_int_equal(await_fds(rig->fds_at_start), rig->fds_at_start);
	free(rig->long_answer);
	free(rig);
	return 0;
}

struct http_server_params http_rig_params(struct http_rig *rig)
{
	return (struct http_server_params){
		.methods = HTTP_GET | HTTP_POST,
		.body_max_bytes = 100,
		.deadline_ms = LONG_MS,
		.max_connections = 2,
		.on_request = on_request,
		.owner = rig,
	};
}

void http_rig_begin(struct http_rig *rig, const struct http_server_params *params)
{
	struct http_server_params usual = http_rig_params(rig);

	http_server_init(&rig->server, rig->loop, params ? params : &usual);
}

void http_rig_begin_behind_proxy(struct http_rig *rig, const char *networks)
{
	struct http_server_params params = http_rig_params(rig);
	struct errmsg err = {0};

	assert_int_equal(access_init(&rig->trusted, networks, "", &err), 0);
	params.proxy_trusted = &rig->trusted;
	http_rig_begin(rig, &params);
}

void http_rig_adopt(struct http_rig *rig, int fd)
{
	struct endpoint_address peer;

	endpoint_peer(fd, &peer);
	http_server_adopt(&rig->server, fd, &peer);
}

int http_rig_join_unix(struct http_rig *rig)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	http_rig_adopt(rig, fds[0]);
	return fds[1];
}

int http_rig_join_tcp(struct http_rig *rig)
{
	const struct tcp_pair pair = tcp_pair_open(0);

	assert_int_equal(fd_set_nonblock(pair.connected), 0);
	assert_int_equal(fd_set_nonblock(pair.accepted), 0);
	http_rig_adopt(rig, pair.accepted);
	return pair.connected;
}

void http_rig_say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void http_rig_hear(struct http_rig *rig)
{
	size_t room;

	while ((room = sizeof(rig->got) - 1 - rig->got_bytes)) {
		ssize_t count = recv(rig->peer, rig->got + rig->got_bytes, room, 0);

		if (count <= 0) {
			rig->is_over = count == 0 || errno != EAGAIN;
			break;
		}
		rig->got_bytes += (size_t)count;
	}
	rig->got[rig->got_bytes] = '\0';
}

void http_rig_hear_all(struct http_rig *rig)
{
	for (http_rig_hear(rig); !rig->is_over; http_rig_hear(rig))
		ev_run(rig->loop, EVRUN_ONCE);
}

void http_rig_end_peer(struct http_rig *rig)
{
	fd_close(&rig->peer);
	rig->is_over = false;
	rig->got_bytes = 0;
}

void http_rig_wait_for_end(struct http_rig *rig)
{
	http_rig_end_peer(rig);
	run_until(rig, rig->server.count == 0);
}

void http_rig_make_long_answer(struct http_rig *rig, size_t bytes)
{
	rig->long_answer = malloc(bytes);
	assert_non_null(rig->long_answer);
	for (size_t i = 0; i < bytes; i++)
		rig->long_answer[i] = (uint8_t)(i * 2654435761u >> 24);
	rig->answer = rig->long_answer;
	rig->answer_bytes = bytes;
}

void http_rig_hear_answer(struct http_rig *rig, size_t *at)
{
	http_rig_hear(rig);
	assert_memory_equal(rig->got, rig->answer + *at, rig->got_bytes);
	*at += rig->got_bytes;
	rig->got_bytes = 0;
}
