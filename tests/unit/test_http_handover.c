// SPDX-License-Identifier: MIT
/* Connections go from one server to the next, as to another process: what was read, what is still to be
 * sent, and the time that is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "base/state_stream.h"
#include "tests/unit/http_rig.h"

/* What there is goes to a new server; the sockets as duplicates, as another process has them. */
static void hand_over(struct http_rig *rig)
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
	struct http_rig *rig = *state;

	http_rig_begin_behind_proxy(rig, "127.0.0.0/8");
	for (size_t cut = 0; cut < strlen(text); cut++) {
		char first[sizeof(text)] = "";

		rig->peer = http_rig_join_tcp(rig);
		memcpy(first, text, cut);
		if (cut) {
			http_rig_say(rig->peer, first);
			(void)ev_run(rig->loop, EVRUN_ONCE);
		}
		assert_int_equal(rig->requests, cut);
		hand_over(rig);
		hand_over(rig);
		http_rig_say(rig->peer, text + cut);
		http_rig_hear_all(rig);
		assert_int_equal(rig->requests, cut + 1);
		assert_string_equal(rig->from, "tcp:192.0.2.7:4711");
		assert_string_equal(rig->body, "hello");
		assert_string_equal(rig->got, ANSWER);
		http_rig_wait_for_end(rig);
	}
	assert_int_equal(rig->server.counters.requests, strlen(text));
	assert_int_equal(rig->server.counters.errors + rig->server.counters.lost, 0);
}

static void an_answer_goes_on_elsewhere(void **state)
{
	struct http_rig *rig = *state;
	size_t seen = 0;

	http_rig_begin(rig, NULL);
	http_rig_make_long_answer(rig, 1 << 20);
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	while (!rig->is_over) {
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
		hand_over(rig);
		http_rig_hear_answer(rig, &seen);
	}
	assert_int_equal(seen, 1 << 20);
	assert_int_equal(rig->server.count, 1); /* lingers until the peer has closed */
	hand_over(rig);
	assert_int_equal(rig->server.count, 1);
	http_rig_wait_for_end(rig);
	assert_int_equal(rig->server.counters.lost + rig->server.counters.late, 0);
}

static void a_deadline_goes_on_elsewhere(void **state)
{
	struct http_rig *rig = *state;
	struct http_connection_state seen;

	http_rig_begin(rig, NULL);
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET /");
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
	http_rig_hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 408 "));
}

/* What another process has left may be more than one receive. */
static void no_more_is_copied_than_there_is_room_for(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	static uint8_t bytes[2 * HTTP_REST_BYTES];
	struct http_rig *rig = *state;
	struct http_connection_state left = {.left_ms = LONG_MS, .bytes = bytes};
	int fds[2];

	http_rig_begin(rig, NULL);
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
	struct http_rig *rig = *state;
	struct http_connection_state seen[2];
	int reading;

	http_rig_begin(rig, NULL);
	rig->what = WHAT_NOTHING;
	rig->peer = http_rig_join_unix(rig);
	reading = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(a_request_goes_on_elsewhere),
		HTTP_TEST(an_answer_goes_on_elsewhere),
		HTTP_TEST(a_deadline_goes_on_elsewhere),
		HTTP_TEST(no_more_is_copied_than_there_is_room_for),
		HTTP_TEST(who_waits_for_the_owner_stays),
		HTTP_TEST(no_wrong_state_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
