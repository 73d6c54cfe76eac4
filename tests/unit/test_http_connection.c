// SPDX-License-Identifier: MIT
/*
 * One request a connection, seen from a peer that sends in pieces, too slowly, too much, or goes
 * away.  The peer runs in the same thread: what it does next is decided between turns of the loop.
 * It is longer than 600 lines because each way to behave is a test, and all need the same peer.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/errmsg.h"
#include "base/fd.h"
#include "base/state_stream.h"
#include "fd_count.h"
#include "http/http_connection.h"
#include "net/sockopt.h"

/* Far above what a turn takes; a test that reaches it has failed. */
static const double CEILING_S = 30.0;

/* So long that no test meets it by accident. */
#define LONG_MS 60000

enum what {
	WHAT_ANSWER,
	WHAT_TAKE,
	WHAT_DROP,
	WHAT_NOTHING,
};

struct rig {
	struct ev_loop *loop;
	ev_timer ceiling, trickle;
	struct http_server server;
	int peer;
	int fds_at_start;
	enum what what;
	const uint8_t *answer;
	size_t answer_bytes;

	int requests, errors, turned_away;
	struct http_connection *connection; /* the last one */
	enum http_method method;
	char path[128], body[256], from[ENDPOINT_TEXT_BYTES], reason[128];
	int status;
	int taken_fd;
	uint8_t rest[HTTP_REST_BYTES];
	size_t rest_bytes;

	char got[16384];
	size_t got_bytes;
	bool is_over; /* the peer has seen the end */
};

static const char ANSWER[] =
	"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

static void on_request(void *owner, struct http_connection *connection,
		       const struct http_request *request, const uint8_t *body, size_t body_bytes)
{
	struct rig *rig = owner;

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

static void on_error(void *owner, struct http_connection *connection, int status,
		     const char *reason)
{
	struct rig *rig = owner;

	rig->errors++;
	rig->status = status;
	snprintf(rig->reason, sizeof(rig->reason), "%s", reason);
	http_connection_answer(connection, (const uint8_t *)"no", 2);
}

static void on_ceiling(struct ev_loop *loop, struct ev_timer *watcher, int revents)
{
	(void)watcher;
	(void)revents;
	ev_break(loop, EVBREAK_ALL);
	fail_msg("nothing came of it within %.0f s", CEILING_S);
}

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig->fds_at_start = count_fds();
	rig->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	assert_non_null(rig->loop);
	ev_timer_init(&rig->ceiling, on_ceiling, CEILING_S, 0.0);
	ev_timer_start(rig->loop, &rig->ceiling);
	rig->peer = rig->taken_fd = -1;
	rig->answer = (const uint8_t *)ANSWER;
	rig->answer_bytes = strlen(ANSWER);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	http_server_fini(&rig->server);
	http_server_fini(&rig->server);
	fd_close(&rig->peer);
	fd_close(&rig->taken_fd);
	ev_timer_stop(rig->loop, &rig->ceiling);
	/* Nothing that was stopped may be left in the loop: it ends at once. */
	assert_int_equal(ev_run(rig->loop, EVRUN_NOWAIT), 0);
	ev_loop_destroy(rig->loop);
	assert_int_equal(await_fds(rig->fds_at_start), rig->fds_at_start);
	free(rig);
	return 0;
}

static struct http_server_params usual_params(struct rig *rig)
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

static void begin(struct rig *rig, const struct http_server_params *params)
{
	struct http_server_params usual = usual_params(rig);

	http_server_init(&rig->server, rig->loop, params ? params : &usual);
}

static void adopt(struct rig *rig, int fd)
{
	struct endpoint_address peer;

	endpoint_peer(fd, &peer);
	http_server_adopt(&rig->server, fd, &peer);
}

/* A pair of unix sockets; the server gets one end. */
static int join_unix(struct rig *rig)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	adopt(rig, fds[0]);
	return fds[1];
}

/* A connection; *ret_accepted is its other end. */
static int connect_tcp(int *ret_accepted)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t bytes = sizeof(addr);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listening, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&addr, &bytes), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	*ret_accepted = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(*ret_accepted >= 0);
	fd_close(&listening);
	assert_int_equal(fd_set_nonblock(fd), 0);
	return fd;
}

static int join_tcp(struct rig *rig)
{
	int accepted;
	int fd = connect_tcp(&accepted);

	adopt(rig, accepted);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All that is there. */
static void hear(struct rig *rig)
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

#define run_until(rig, condition)                                                                  \
	do {                                                                                       \
		while (!(condition))                                                               \
			ev_run((rig)->loop, EVRUN_ONCE);                                           \
	} while (0)

static void hear_all(struct rig *rig)
{
	for (hear(rig); !rig->is_over; hear(rig))
		ev_run(rig->loop, EVRUN_ONCE);
}

static void wait_for_end(struct rig *rig)
{
	fd_close(&rig->peer);
	run_until(rig, rig->server.count == 0);
}

/* ---- requests ---- */

static void a_request_comes_in_pieces(void **state)
{
	static const char text[] = "GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
	struct rig *rig = *state;

	begin(rig, NULL);
	for (size_t cut = 0; cut < strlen(text); cut++) {
		char first[sizeof(text)] = "";

		rig->peer = join_unix(rig);
		rig->is_over = false;
		rig->got_bytes = 0;
		memcpy(first, text, cut);
		if (cut)
			say(rig->peer, first);
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
		assert_int_equal(rig->requests, cut);
		say(rig->peer, text + cut);
		hear_all(rig);
		assert_int_equal(rig->requests, cut + 1);
		assert_string_equal(rig->path, "/a b");
		assert_string_equal(rig->got, ANSWER);
		wait_for_end(rig);
	}
	assert_int_equal(rig->server.counters.requests, strlen(text));
	assert_int_equal(rig->server.counters.adopted, strlen(text));
	assert_int_equal(rig->server.counters.errors + rig->server.counters.lost, 0);
}

static void a_small_body_belongs_to_the_request(void **state)
{
	struct rig *rig = *state;

	begin(rig, NULL);
	rig->peer = join_unix(rig);
	say(rig->peer, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
	(void)ev_run(rig->loop, EVRUN_ONCE);
	assert_int_equal(rig->requests, 0);
	say(rig->peer, "llo and more");
	hear_all(rig);
	assert_int_equal(rig->method, HTTP_POST);
	assert_string_equal(rig->body, "hello");
}

static void a_large_body_is_refused_and_the_answer_arrives(void **state)
{
	static const char head[] = "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
	struct rig *rig = *state;
	char junk[4096];

	begin(rig, NULL);
	rig->peer = join_tcp(rig);
	memset(junk, 'x', sizeof(junk));
	say(rig->peer, head);
	for (int i = 0; i < 20; i++)
		(void)!send(rig->peer, junk, sizeof(junk), MSG_NOSIGNAL);
	hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 413 "));
	assert_int_equal(rig->server.counters.errors, 1);
	wait_for_end(rig);
}

static void an_owner_may_answer_later(void **state)
{
	struct rig *rig = *state;

	begin(rig, NULL);
	rig->what = WHAT_NOTHING;
	rig->peer = join_unix(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests);
	(void)ev_run(rig->loop, EVRUN_NOWAIT);
	hear(rig);
	assert_int_equal(rig->got_bytes, 0);
	http_connection_answer(rig->connection, (const uint8_t *)ANSWER, strlen(ANSWER));
	hear_all(rig);
	assert_string_equal(rig->got, ANSWER);
}

static void an_owner_may_take_the_socket_with_what_lies_behind(void **state)
{
	struct rig *rig = *state;

	begin(rig, NULL);
	rig->what = WHAT_TAKE;
	rig->peer = join_unix(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\nbehind");
	run_until(rig, rig->requests);
	assert_int_equal(rig->rest_bytes, 6);
	assert_memory_equal(rig->rest, "behind", 6);
	assert_int_equal(rig->server.count, 0);
	(void)ev_run(rig->loop, EVRUN_NOWAIT);
	say(rig->taken_fd, "hello");
	hear(rig);
	assert_string_equal(rig->got, "hello");
}

static void what_lies_behind_is_bounded(void **state)
{
	struct rig *rig = *state;
	char junk[32768];

	begin(rig, NULL);
	rig->what = WHAT_TAKE;
	rig->peer = join_unix(rig);
	memset(junk, 'x', sizeof(junk));
	memcpy(junk, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	assert_true(send(rig->peer, junk, sizeof(junk), 0) > HTTP_REST_BYTES);
	run_until(rig, rig->requests);
	assert_int_equal(rig->rest_bytes, HTTP_REST_BYTES - 27);
}

static void an_owner_may_drop_it(void **state)
{
	struct rig *rig = *state;

	begin(rig, NULL);
	rig->what = WHAT_DROP;
	rig->peer = join_unix(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_all(rig);
	assert_int_equal(rig->got_bytes, 0);
	assert_int_equal(rig->server.count, 0);
}

/* ---- errors ---- */

static void errors_are_answered_with_one_line(void **state)
{
	static const struct {
		const char *text, *status, *field;
	} rows[] = {
		{"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "Connection: close\r\n"},
		{"PUT / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405 Method Not Allowed\r\n",
		 "Allow: GET, POST\r\n"},
		{"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 501 Not Implemented\r\n", "\r\n"},
		{"\x16\x03\x01\r\n", "HTTP/1.1 400 Bad Request\r\n", "\r\n"},
	};
	struct rig *rig = *state;

	begin(rig, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *body;

		rig->peer = join_unix(rig);
		rig->is_over = false;
		rig->got_bytes = 0;
		say(rig->peer, rows[i].text);
		hear_all(rig);
		assert_ptr_equal(strstr(rig->got, rows[i].status), rig->got);
		assert_non_null(strstr(rig->got, rows[i].field));
		body = strstr(rig->got, "\r\n\r\n") + 4;
		assert_true(strlen(body) > 1);
		assert_ptr_equal(strchr(body, '\n'), body + strlen(body) - 1);
		wait_for_end(rig);
		assert_int_equal(rig->server.counters.errors, i + 1);
	}
	assert_int_equal(rig->requests, 0);
}

static void an_owner_may_word_the_errors(void **state)
{
	struct rig *rig = *state;
	struct http_server_params params = usual_params(rig);

	params.on_error = on_error;
	begin(rig, &params);
	rig->peer = join_unix(rig);
	say(rig->peer, "PUT / HTTP/1.1\r\n");
	hear_all(rig);
	assert_int_equal(rig->status, 405);
	assert_string_equal(rig->got, "no");
	assert_true(strlen(rig->reason) > 0);
}

static void a_head_has_an_end(void **state)
{
	struct rig *rig = *state;
	char junk[1024];

	begin(rig, NULL);
	rig->peer = join_unix(rig);
	memset(junk, 'x', sizeof(junk));
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\nA: ");
	for (hear(rig); !rig->is_over; hear(rig)) {
		(void)!send(rig->peer, junk, sizeof(junk), MSG_NOSIGNAL);
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
	}
	assert_non_null(strstr(rig->got, "HTTP/1.1 431 "));
}

static void on_trickle(struct ev_loop *loop, struct ev_timer *watcher, int revents)
{
	struct rig *rig = container_of(watcher, struct rig, trickle);

	(void)loop;
	(void)revents;
	(void)!send(rig->peer, "x", 1, MSG_NOSIGNAL);
}

/* One byte now and then does not put it off. */
static void the_deadline_is_absolute(void **state)
{
	struct rig *rig = *state;
	struct http_server_params params = usual_params(rig);

	params.deadline_ms = 60;
	begin(rig, &params);
	rig->peer = join_unix(rig);
	say(rig->peer, "GET /");
	ev_timer_init(&rig->trickle, on_trickle, 0.005, 0.005);
	ev_timer_start(rig->loop, &rig->trickle);
	hear_all(rig);
	ev_timer_stop(rig->loop, &rig->trickle);
	assert_non_null(strstr(rig->got, "HTTP/1.1 408 "));
	assert_int_equal(rig->server.counters.late, 1);
	wait_for_end(rig);
}

static void who_waits_for_the_owner_has_no_deadline(void **state)
{
	struct rig *rig = *state;
	struct http_server_params params = usual_params(rig);
	int late;

	params.deadline_ms = 400; /* by which this thread has read the request */
	begin(rig, &params);
	rig->what = WHAT_NOTHING;
	rig->peer = join_unix(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests);
	/* A second one, which says nothing, shows that the time has passed. */
	late = join_unix(rig);
	run_until(rig, rig->server.counters.late == 1);
	http_connection_answer_line(rig->connection, 200, "done");
	hear_all(rig);
	assert_non_null(strstr(rig->got, "\r\n\r\ndone\n"));
	assert_int_equal(rig->server.counters.late, 1);
	fd_close(&late);
}

/* Bytes by which a place in it is known; malloc'ed. */
static uint8_t *make_answer(size_t bytes)
{
	uint8_t *answer = malloc(bytes);

	for (size_t i = 0; i < bytes; i++)
		answer[i] = (uint8_t)(i * 2654435761u >> 24);
	return answer;
}

static void an_answer_goes_as_the_socket_takes_it(void **state)
{
	struct rig *rig = *state;
	size_t bytes = 4 << 20, seen = 0;
	uint8_t *answer = make_answer(bytes);

	begin(rig, NULL);
	rig->answer = answer;
	rig->answer_bytes = bytes;
	rig->peer = join_unix(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	while (!rig->is_over) {
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
		hear(rig);
		assert_memory_equal(rig->got, answer + seen, rig->got_bytes);
		seen += rig->got_bytes;
		rig->got_bytes = 0;
	}
	assert_int_equal(seen, bytes);
	free(answer);
}

static void who_does_not_read_the_answer_is_closed(void **state)
{
	struct rig *rig = *state;
	struct http_server_params params = usual_params(rig);
	size_t bytes = 4 << 20;
	uint8_t *answer = calloc(1, bytes);

	params.deadline_ms = 400;
	begin(rig, &params);
	rig->answer = answer;
	rig->answer_bytes = bytes;
	rig->peer = join_unix(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->server.count == 0 && rig->requests);
	assert_int_equal(rig->server.counters.late, 1);
	free(answer);
}

/* ---- who goes away ---- */

static void half_close_after_the_request_is_fine(void **state)
{
	struct rig *rig = *state;

	begin(rig, NULL);
	rig->peer = join_tcp(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(shutdown(rig->peer, SHUT_WR), 0);
	hear_all(rig);
	assert_string_equal(rig->got, ANSWER);
	run_until(rig, rig->server.count == 0);
	assert_int_equal(rig->server.counters.lost, 0);
}

static void half_close_within_the_request_is_told(void **state)
{
	struct rig *rig = *state;

	begin(rig, NULL);
	rig->peer = join_tcp(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHo");
	assert_int_equal(shutdown(rig->peer, SHUT_WR), 0);
	hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 400 "));
}

static void who_goes_without_a_word_is_forgotten(void **state)
{
	struct rig *rig = *state;

	begin(rig, NULL);
	rig->peer = join_unix(rig);
	wait_for_end(rig);
	assert_int_equal(rig->server.counters.lost, 1);
	rig->peer = join_tcp(rig);
	say(rig->peer, "GET / HT");
	sockopt_set_reset_on_close(rig->peer);
	wait_for_end(rig);
	assert_int_equal(rig->server.counters.lost, 2);
	assert_int_equal(rig->server.counters.errors, 0);
}

static void who_resets_before_the_answer_is_forgotten(void **state)
{
	struct rig *rig = *state;

	begin(rig, NULL);
	rig->what = WHAT_NOTHING;
	rig->peer = join_tcp(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests);
	sockopt_set_reset_on_close(rig->peer);
	fd_close(&rig->peer);
	http_connection_answer_line(rig->connection, 200, "done");
	run_until(rig, rig->server.count == 0);
	assert_int_equal(rig->server.counters.lost, 1);
}

static void on_turned_away(void *owner, const struct endpoint_address *peer)
{
	struct rig *rig = owner;

	rig->turned_away++;
	endpoint_print_address(rig->from, sizeof(rig->from), peer);
}

static void hear_503(struct rig *rig)
{
	hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 503 "));
	assert_non_null(strstr(rig->got, "Retry-After: "));
	fd_close(&rig->peer);
	rig->is_over = false;
	rig->got_bytes = 0;
}

/* Who has been at its request for longest makes room; where all wait for the owner, nobody does. */
static void there_are_only_so_many(void **state)
{
	struct rig *rig = *state;
	struct http_server_params params = usual_params(rig);
	int fds[2];

	params.on_turned_away = on_turned_away;
	begin(rig, &params);
	rig->what = WHAT_NOTHING;
	rig->peer = join_tcp(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHos");
	(void)ev_run(rig->loop, EVRUN_ONCE);
	fds[0] = join_unix(rig);
	fds[1] = join_unix(rig);
	hear_503(rig);
	assert_int_equal(rig->server.count, 2);
	assert_int_equal(rig->turned_away, 1);
	assert_memory_equal(rig->from, "tcp:127.0.0.1:", 14);
	for (int i = 0; i < 2; i++)
		say(fds[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests == 2);
	rig->peer = join_unix(rig);
	hear_503(rig);
	assert_int_equal(rig->server.count, 2);
	assert_int_equal(rig->turned_away, 2);
	assert_int_equal(rig->server.counters.refused, 2);
	http_connection_answer_line(rig->connection, 200, "done");
	rig->peer = join_unix(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests == 3);
	assert_int_equal(rig->server.counters.refused, 2);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

/* A browser that asked for events comes back behind a reset, and never behind a 503. */
static void who_asks_for_events_is_reset(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n";
	struct rig *rig = *state;
	int fds[2], accepted;
	char byte;

	begin(rig, NULL);
	rig->what = WHAT_NOTHING;
	fds[0] = join_unix(rig);
	fds[1] = join_unix(rig);
	for (int i = 0; i < 2; i++)
		say(fds[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests == 2);
	rig->peer = connect_tcp(&accepted);
	say(rig->peer, head);
	adopt(rig, accepted);
	assert_int_equal(rig->server.counters.refused, 1);
	assert_int_equal(recv(rig->peer, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, ECONNRESET);
	fd_close(&rig->peer);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

/* One whose bytes are in the same turn's events as the newcomer that takes its place. */
static void who_makes_room_is_read_no_more(void **state)
{
	struct rig *rig = *state;
	int fds[8];

	begin(rig, NULL);
	rig->peer = join_tcp(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = join_unix(rig);
		say(fds[i], "GET / HT");
	}
	hear_503(rig);
	assert_int_equal(rig->requests, 0);
	assert_int_equal(rig->server.count, 2);
	assert_int_equal(rig->server.counters.refused, ARRAY_LEN(fds) - 1);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(&fds[i]);
	run_until(rig, rig->server.count == 0);
	assert_int_equal(rig->server.counters.adopted,
			 rig->server.counters.refused + rig->server.counters.errors);
}

static void the_end_closes_all(void **state)
{
	struct rig *rig = *state;
	int reading;

	begin(rig, NULL);
	rig->what = WHAT_NOTHING;
	reading = join_unix(rig);
	say(reading, "GET /");
	rig->peer = join_unix(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests);
	http_server_fini(&rig->server);
	hear(rig);
	assert_true(rig->is_over);
	fd_close(&reading);
}

/* ---- PROXY ---- */

static void a_trusted_proxy_names_the_peer(void **state)
{
	struct rig *rig = *state;
	struct http_server_params params = usual_params(rig);
	struct errmsg err = {0};
	struct access trusted;

	assert_int_equal(access_init(&trusted, "127.0.0.0/8", "", &err), 0);
	params.proxy_trusted = &trusted;
	begin(rig, &params);
	rig->peer = join_tcp(rig);
	say(rig->peer, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET /x HT");
	(void)ev_run(rig->loop, EVRUN_ONCE);
	say(rig->peer, "TP/1.1\r\nHost: x\r\n\r\n");
	hear_all(rig);
	assert_string_equal(rig->from, "tcp:192.0.2.7:4711");
	assert_string_equal(rig->path, "/x");
	assert_string_equal(rig->got, ANSWER);
	wait_for_end(rig);

	rig->is_over = false;
	rig->got_bytes = 0;
	rig->peer = join_tcp(rig);
	say(rig->peer, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 400 "));
	wait_for_end(rig);
	access_fini(&trusted);
}

/* A proxy that looks if relay is there asks for nothing.  Half a header is no such look. */
static void a_look_by_a_proxy_is_no_bad_request(void **state)
{
	static const struct {
		const char *said;
		size_t bytes;
		bool is_bad;
	} rows[] = {
		{"", 0, false},
		{"PROXY UNKNOWN\r\n", 15, false},
		{"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n", 40, false},
		{"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16, false},
		{"PROXY UNK", 9, true},
		{"PROXY UNKNOWN\r\nGET", 18, true},
	};
	struct rig *rig = *state;
	struct http_server_params params = usual_params(rig);
	struct errmsg err = {0};
	struct access trusted;
	uint64_t bad = 0;

	assert_int_equal(access_init(&trusted, "127.0.0.0/8", "", &err), 0);
	params.proxy_trusted = &trusted;
	begin(rig, &params);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t lost = rig->server.counters.lost;

		rig->is_over = false;
		rig->got_bytes = 0;
		rig->peer = join_tcp(rig);
		assert_int_equal(send(rig->peer, rows[i].said, rows[i].bytes, 0), rows[i].bytes);
		assert_int_equal(shutdown(rig->peer, SHUT_WR), 0);
		wait_for_end(rig);
		bad += rows[i].is_bad;
		assert_int_equal(rig->server.counters.errors, bad);
		assert_true(rows[i].is_bad || rig->server.counters.lost > lost);
	}
	access_fini(&trusted);
}

static void nobody_else_may_name_the_peer(void **state)
{
	struct rig *rig = *state;
	struct http_server_params params = usual_params(rig);
	struct errmsg err = {0};
	struct access trusted;

	assert_int_equal(access_init(&trusted, "192.0.2.0/24", "", &err), 0);
	params.proxy_trusted = &trusted;
	begin(rig, &params);
	rig->peer = join_tcp(rig);
	say(rig->peer, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET /x HTTP/1.1\r\n\r\n");
	hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 400 "));
	assert_int_equal(rig->requests, 0);
	wait_for_end(rig);
	access_fini(&trusted);
}

/* ---- from one process to the next ---- */

/* What there is goes to a new server; the sockets as duplicates, as another process has them. */
static void hand_over(struct rig *rig)
{
	const struct http_server_params params = rig->server.params;
	const struct http_server_counters counters = rig->server.counters;
	struct http_connection_state states[2], back[2] = {{.fd = -1}};
	size_t count = http_server_capture(&rig->server, states);
	struct state_stream to, from;
	int fds[2];

	assert_true(count <= ARRAY_LEN(states));
	state_stream_write(&to);
	for (size_t i = 0; i < count; i++)
		http_connection_state_transfer(&to, &states[i]);
	assert_int_equal(to.fd_count, count);
	for (size_t i = 0; i < count; i++) {
		fds[i] = fcntl(to.fds[i], F_DUPFD_CLOEXEC, 0);
		assert_true(fds[i] >= 0);
		/* Another process would not close it, but have its own. */
		assert_true(dup3(STDERR_FILENO, to.fds[i], O_CLOEXEC) >= 0);
	}
	http_server_fini(&rig->server);
	http_server_init(&rig->server, rig->loop, &params);
	rig->server.counters = counters;
	assert_int_equal(state_stream_read(&from, to.bytes, to.length, fds, count), 0);
	for (size_t i = 0; i < count; i++)
		http_connection_state_transfer(&from, &back[i]);
	state_end(&from);
	assert_null(from.fault);
	for (size_t i = 0; i < count; i++) {
		http_server_restore(&rig->server, &back[i]);
		assert_int_equal(back[i].fd, -1);
	}
	state_stream_free(&from);
	state_stream_free(&to);
}

static void a_request_goes_on_elsewhere(void **state)
{
	static const char text[] = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n"
				   "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
	struct rig *rig = *state;
	struct http_server_params params = usual_params(rig);
	struct errmsg err = {0};
	struct access trusted;

	assert_int_equal(access_init(&trusted, "127.0.0.0/8", "", &err), 0);
	params.proxy_trusted = &trusted;
	begin(rig, &params);
	for (size_t cut = 0; cut < strlen(text); cut++) {
		char first[sizeof(text)] = "";

		rig->peer = join_tcp(rig);
		rig->is_over = false;
		rig->got_bytes = 0;
		memcpy(first, text, cut);
		if (cut) {
			say(rig->peer, first);
			(void)ev_run(rig->loop, EVRUN_ONCE);
		}
		assert_int_equal(rig->requests, cut);
		hand_over(rig);
		hand_over(rig);
		say(rig->peer, text + cut);
		hear_all(rig);
		assert_int_equal(rig->requests, cut + 1);
		assert_string_equal(rig->from, "tcp:192.0.2.7:4711");
		assert_string_equal(rig->body, "hello");
		assert_string_equal(rig->got, ANSWER);
		wait_for_end(rig);
	}
	assert_int_equal(rig->server.counters.requests, strlen(text));
	assert_int_equal(rig->server.counters.errors + rig->server.counters.lost, 0);
	access_fini(&trusted);
}

static void an_answer_goes_on_elsewhere(void **state)
{
	struct rig *rig = *state;
	size_t bytes = 1 << 20, seen = 0;
	uint8_t *answer = make_answer(bytes);

	begin(rig, NULL);
	rig->answer = answer;
	rig->answer_bytes = bytes;
	rig->peer = join_unix(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	while (!rig->is_over) {
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
		hand_over(rig);
		hear(rig);
		assert_memory_equal(rig->got, answer + seen, rig->got_bytes);
		seen += rig->got_bytes;
		rig->got_bytes = 0;
	}
	assert_int_equal(seen, bytes);
	assert_int_equal(rig->server.count, 1); /* lingers until the peer has closed */
	hand_over(rig);
	assert_int_equal(rig->server.count, 1);
	wait_for_end(rig);
	assert_int_equal(rig->server.counters.lost + rig->server.counters.late, 0);
	free(answer);
}

static void a_deadline_goes_on_elsewhere(void **state)
{
	struct rig *rig = *state;
	struct http_connection_state seen;

	begin(rig, NULL);
	rig->peer = join_unix(rig);
	say(rig->peer, "GET /");
	(void)ev_run(rig->loop, EVRUN_ONCE);
	assert_int_equal(http_server_capture(&rig->server, &seen), 1);
	assert_true(seen.left_ms > 0 && seen.left_ms <= LONG_MS);
	assert_int_equal(seen.byte_count, 5);
	hand_over(rig);
	assert_int_equal(http_server_capture(&rig->server, &seen), 1);
	assert_true(seen.left_ms <= LONG_MS);
	seen.fd = fcntl(seen.fd, F_DUPFD_CLOEXEC, 0);
	seen.left_ms = 0; /* the time that was left has gone by */
	seen.byte_count = 0;
	http_server_restore(&rig->server, &seen);
	run_until(rig, rig->server.counters.late == 1);
	hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 408 "));
}

/* What another process has left may be more than one receive. */
static void no_more_is_copied_than_there_is_room_for(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	static uint8_t bytes[2 * HTTP_REST_BYTES];
	struct rig *rig = *state;
	struct http_connection_state left = {.left_ms = LONG_MS, .bytes = bytes};
	int fds[2];

	begin(rig, NULL);
	rig->what = WHAT_TAKE;
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, head, strlen(head));
	left.byte_count = sizeof(bytes);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	left.fd = fds[0];
	rig->peer = fds[1];
	http_server_restore(&rig->server, &left);
	assert_int_equal(rig->requests, 1);
	assert_int_equal(rig->rest_bytes, sizeof(bytes) - strlen(head));
	assert_memory_equal(rig->rest, bytes + strlen(head), HTTP_REST_BYTES);
}

/* Who waits for its owner is the owner's to hand over. */
static void who_waits_for_the_owner_stays(void **state)
{
	struct rig *rig = *state;
	struct http_connection_state seen[2];
	int reading;

	begin(rig, NULL);
	rig->what = WHAT_NOTHING;
	rig->peer = join_unix(rig);
	reading = join_unix(rig);
	say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests);
	assert_int_equal(rig->server.count, 2);
	assert_int_equal(http_server_capture(&rig->server, seen), 1);
	assert_int_equal(seen[0].byte_count, 0);
	fd_close(&reading);
}

/* A fault of the stream: more than a request may have, and no socket. */
static void no_wrong_state_is_read(void **state)
{
	uint8_t bytes[64 * 1024] = {0};
	struct http_connection_state rows[] = {
		{.fd = 5, .bytes = bytes, .byte_count = sizeof(bytes)},
		{.fd = -1, .bytes = bytes, .byte_count = 1},
		{.fd = 5, .left_ms = (uint64_t)UINT32_MAX + 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_connection_state back = {.fd = -1};
		struct state_stream to, from;

		state_stream_write(&to);
		http_connection_state_transfer(&to, &rows[i]);
		assert_int_equal(state_stream_read(&from, to.bytes, to.length, to.fds, to.fd_count),
				 0);
		http_connection_state_transfer(&from, &back);
		assert_non_null(from.fault);
		state_stream_free(&from);
		state_stream_free(&to);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_request_comes_in_pieces),
		TEST(a_small_body_belongs_to_the_request),
		TEST(a_large_body_is_refused_and_the_answer_arrives),
		TEST(an_owner_may_answer_later),
		TEST(an_owner_may_take_the_socket_with_what_lies_behind),
		TEST(what_lies_behind_is_bounded),
		TEST(an_owner_may_drop_it),
		TEST(errors_are_answered_with_one_line),
		TEST(an_owner_may_word_the_errors),
		TEST(a_head_has_an_end),
		TEST(the_deadline_is_absolute),
		TEST(who_waits_for_the_owner_has_no_deadline),
		TEST(an_answer_goes_as_the_socket_takes_it),
		TEST(who_does_not_read_the_answer_is_closed),
		TEST(half_close_after_the_request_is_fine),
		TEST(half_close_within_the_request_is_told),
		TEST(who_goes_without_a_word_is_forgotten),
		TEST(who_resets_before_the_answer_is_forgotten),
		TEST(there_are_only_so_many),
		TEST(who_asks_for_events_is_reset),
		TEST(who_makes_room_is_read_no_more),
		TEST(the_end_closes_all),
		TEST(a_trusted_proxy_names_the_peer),
		TEST(a_look_by_a_proxy_is_no_bad_request),
		TEST(nobody_else_may_name_the_peer),
		TEST(a_request_goes_on_elsewhere),
		TEST(an_answer_goes_on_elsewhere),
		TEST(a_deadline_goes_on_elsewhere),
		TEST(no_more_is_copied_than_there_is_room_for),
		TEST(who_waits_for_the_owner_stays),
		TEST(no_wrong_state_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
