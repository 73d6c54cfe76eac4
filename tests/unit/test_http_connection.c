// SPDX-License-Identifier: MIT
/* One request a connection, seen from a peer that sends in pieces, too slowly, too much, or goes
 * away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "net/sockopt.h"
#include "tests/unit/http_rig.h"

/* ---- requests ---- */

static void a_request_comes_in_pieces(void **state)
{
	static const char text[] = "GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
	struct http_rig *rig = *state;

	http_rig_begin(rig, NULL);
	for (size_t cut = 0; cut < strlen(text); cut++) {
		char first[sizeof(text)] = "";

		rig->peer = http_rig_join_unix(rig);
		memcpy(first, text, cut);
		if (cut)
			http_rig_say(rig->peer, first);
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
		assert_int_equal(rig->requests, cut);
		http_rig_say(rig->peer, text + cut);
		http_rig_hear_all(rig);
		assert_int_equal(rig->requests, cut + 1);
		assert_string_equal(rig->path, "/a b");
		assert_string_equal(rig->got, ANSWER);
		http_rig_wait_for_end(rig);
	}
	assert_int_equal(rig->server.counters.requests, strlen(text));
	assert_int_equal(rig->server.counters.adopted, strlen(text));
	assert_int_equal(rig->server.counters.errors + rig->server.counters.lost, 0);
}

static void a_small_body_belongs_to_the_request(void **state)
{
	struct http_rig *rig = *state;

	http_rig_begin(rig, NULL);
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
	(void)ev_run(rig->loop, EVRUN_ONCE);
	assert_int_equal(rig->requests, 0);
	http_rig_say(rig->peer, "llo and more");
	http_rig_hear_all(rig);
	assert_int_equal(rig->method, HTTP_POST);
	assert_string_equal(rig->body, "hello");
}

static void a_large_body_is_refused_and_the_answer_arrives(void **state)
{
	static const char head[] = "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
	struct http_rig *rig = *state;
	char junk[4096];

	http_rig_begin(rig, NULL);
	rig->peer = http_rig_join_tcp(rig);
	memset(junk, 'x', sizeof(junk));
	http_rig_say(rig->peer, head);
	for (int i = 0; i < 20; i++)
		(void)!send(rig->peer, junk, sizeof(junk), MSG_NOSIGNAL);
	http_rig_hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 413 "));
	assert_int_equal(rig->server.counters.errors, 1);
	http_rig_wait_for_end(rig);
}

static void an_owner_may_answer_later(void **state)
{
	struct http_rig *rig = *state;

	http_rig_begin(rig, NULL);
	rig->what = WHAT_NOTHING;
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests);
	(void)ev_run(rig->loop, EVRUN_NOWAIT);
	http_rig_hear(rig);
	assert_int_equal(rig->got_bytes, 0);
	http_connection_answer(rig->connection, (const uint8_t *)ANSWER, strlen(ANSWER));
	http_rig_hear_all(rig);
	assert_string_equal(rig->got, ANSWER);
}

static void an_owner_may_take_the_socket_with_what_lies_behind(void **state)
{
	struct http_rig *rig = *state;

	http_rig_begin(rig, NULL);
	rig->what = WHAT_TAKE;
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\nbehind");
	run_until(rig, rig->requests);
	assert_int_equal(rig->rest_bytes, 6);
	assert_memory_equal(rig->rest, "behind", 6);
	assert_int_equal(rig->server.count, 0);
	(void)ev_run(rig->loop, EVRUN_NOWAIT);
	http_rig_say(rig->taken_fd, "hello");
	http_rig_hear(rig);
	assert_string_equal(rig->got, "hello");
}

static void what_lies_behind_is_bounded(void **state)
{
	struct http_rig *rig = *state;
	char junk[32768];

	http_rig_begin(rig, NULL);
	rig->what = WHAT_TAKE;
	rig->peer = http_rig_join_unix(rig);
	memset(junk, 'x', sizeof(junk));
	memcpy(junk, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	assert_true(send(rig->peer, junk, sizeof(junk), 0) > HTTP_REST_BYTES);
	run_until(rig, rig->requests);
	assert_int_equal(rig->rest_bytes, HTTP_REST_BYTES - 27);
}

static void an_owner_may_drop_it(void **state)
{
	struct http_rig *rig = *state;

	http_rig_begin(rig, NULL);
	rig->what = WHAT_DROP;
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	http_rig_hear_all(rig);
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
	struct http_rig *rig = *state;

	http_rig_begin(rig, NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *body;

		rig->peer = http_rig_join_unix(rig);
		http_rig_say(rig->peer, rows[i].text);
		http_rig_hear_all(rig);
		assert_ptr_equal(strstr(rig->got, rows[i].status), rig->got);
		assert_non_null(strstr(rig->got, rows[i].field));
		body = strstr(rig->got, "\r\n\r\n") + 4;
		assert_true(strlen(body) > 1);
		assert_ptr_equal(strchr(body, '\n'), body + strlen(body) - 1);
		http_rig_wait_for_end(rig);
		assert_int_equal(rig->server.counters.errors, i + 1);
	}
	assert_int_equal(rig->requests, 0);
}

static void on_error(void *owner, struct http_connection *connection, int status,
		     const char *reason)
{
	struct http_rig *rig = owner;

	rig->status = status;
	snprintf(rig->reason, sizeof(rig->reason), "%s", reason);
	http_connection_answer(connection, (const uint8_t *)"no", 2);
}

static void an_owner_may_word_the_errors(void **state)
{
	struct http_rig *rig = *state;
	struct http_server_params params = http_rig_params(rig);

	params.on_error = on_error;
	http_rig_begin(rig, &params);
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "PUT / HTTP/1.1\r\n");
	http_rig_hear_all(rig);
	assert_int_equal(rig->status, 405);
	assert_string_equal(rig->got, "no");
	assert_true(strlen(rig->reason) > 0);
}

static void a_head_has_an_end(void **state)
{
	struct http_rig *rig = *state;
	char junk[1024];

	http_rig_begin(rig, NULL);
	rig->peer = http_rig_join_unix(rig);
	memset(junk, 'x', sizeof(junk));
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\nA: ");
	for (http_rig_hear(rig); !rig->is_over; http_rig_hear(rig)) {
		(void)!send(rig->peer, junk, sizeof(junk), MSG_NOSIGNAL);
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
	}
	assert_non_null(strstr(rig->got, "HTTP/1.1 431 "));
}

static void on_trickle(struct ev_loop *loop, struct ev_timer *watcher, int revents)
{
	struct http_rig *rig = container_of(watcher, struct http_rig, trickle);

	(void)loop;
	(void)revents;
	(void)!send(rig->peer, "x", 1, MSG_NOSIGNAL);
}

/* One byte now and then does not put it off. */
static void the_deadline_is_absolute(void **state)
{
	struct http_rig *rig = *state;
	struct http_server_params params = http_rig_params(rig);

	params.deadline_ms = 60;
	http_rig_begin(rig, &params);
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET /");
	ev_timer_init(&rig->trickle, on_trickle, 0.005, 0.005);
	ev_timer_start(rig->loop, &rig->trickle);
	http_rig_hear_all(rig);
	ev_timer_stop(rig->loop, &rig->trickle);
	assert_non_null(strstr(rig->got, "HTTP/1.1 408 "));
	assert_int_equal(rig->server.counters.late, 1);
	http_rig_wait_for_end(rig);
}

static void who_waits_for_the_owner_has_no_deadline(void **state)
{
	struct http_rig *rig = *state;
	struct http_server_params params = http_rig_params(rig);
	int late;

	params.deadline_ms = 400; /* by which this thread has read the request */
	http_rig_begin(rig, &params);
	rig->what = WHAT_NOTHING;
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests);
	/* A second one, which says nothing, shows that the time has passed. */
	late = http_rig_join_unix(rig);
	run_until(rig, rig->server.counters.late == 1);
	http_connection_answer_line(rig->connection, 200, "done");
	http_rig_hear_all(rig);
	assert_non_null(strstr(rig->got, "\r\n\r\ndone\n"));
	assert_int_equal(rig->server.counters.late, 1);
	fd_close(&late);
}

static void an_answer_goes_as_the_socket_takes_it(void **state)
{
	struct http_rig *rig = *state;
	size_t seen = 0;

	http_rig_begin(rig, NULL);
	http_rig_make_long_answer(rig, 4 << 20);
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	while (!rig->is_over) {
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
		http_rig_hear_answer(rig, &seen);
	}
	assert_int_equal(seen, 4 << 20);
}

static void who_does_not_read_the_answer_is_closed(void **state)
{
	struct http_rig *rig = *state;
	struct http_server_params params = http_rig_params(rig);

	params.deadline_ms = 400;
	http_rig_begin(rig, &params);
	http_rig_make_long_answer(rig, 4 << 20);
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->server.count == 0 && rig->requests);
	assert_int_equal(rig->server.counters.late, 1);
}

/* ---- who goes away ---- */

static void half_close_after_the_request_is_fine(void **state)
{
	struct http_rig *rig = *state;

	http_rig_begin(rig, NULL);
	rig->peer = http_rig_join_tcp(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(shutdown(rig->peer, SHUT_WR), 0);
	http_rig_hear_all(rig);
	assert_string_equal(rig->got, ANSWER);
	run_until(rig, rig->server.count == 0);
	assert_int_equal(rig->server.counters.lost, 0);
}

static void half_close_within_the_request_is_told(void **state)
{
	struct http_rig *rig = *state;

	http_rig_begin(rig, NULL);
	rig->peer = http_rig_join_tcp(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHo");
	assert_int_equal(shutdown(rig->peer, SHUT_WR), 0);
	http_rig_hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 400 "));
}

static void who_goes_without_a_word_is_forgotten(void **state)
{
	struct http_rig *rig = *state;

	http_rig_begin(rig, NULL);
	rig->peer = http_rig_join_unix(rig);
	http_rig_wait_for_end(rig);
	assert_int_equal(rig->server.counters.lost, 1);
	rig->peer = http_rig_join_tcp(rig);
	http_rig_say(rig->peer, "GET / HT");
	sockopt_set_reset_on_close(rig->peer);
	http_rig_wait_for_end(rig);
	assert_int_equal(rig->server.counters.lost, 2);
	assert_int_equal(rig->server.counters.errors, 0);
}

static void who_resets_before_the_answer_is_forgotten(void **state)
{
	struct http_rig *rig = *state;

	http_rig_begin(rig, NULL);
	rig->what = WHAT_NOTHING;
	rig->peer = http_rig_join_tcp(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests);
	sockopt_set_reset_on_close(rig->peer);
	fd_close(&rig->peer);
	http_connection_answer_line(rig->connection, 200, "done");
	run_until(rig, rig->server.count == 0);
	assert_int_equal(rig->server.counters.lost, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(a_request_comes_in_pieces),
		HTTP_TEST(a_small_body_belongs_to_the_request),
		HTTP_TEST(a_large_body_is_refused_and_the_answer_arrives),
		HTTP_TEST(an_owner_may_answer_later),
		HTTP_TEST(an_owner_may_take_the_socket_with_what_lies_behind),
		HTTP_TEST(what_lies_behind_is_bounded),
		HTTP_TEST(an_owner_may_drop_it),
		HTTP_TEST(errors_are_answered_with_one_line),
		HTTP_TEST(an_owner_may_word_the_errors),
		HTTP_TEST(a_head_has_an_end),
		HTTP_TEST(the_deadline_is_absolute),
		HTTP_TEST(who_waits_for_the_owner_has_no_deadline),
		HTTP_TEST(an_answer_goes_as_the_socket_takes_it),
		HTTP_TEST(who_does_not_read_the_answer_is_closed),
		HTTP_TEST(half_close_after_the_request_is_fine),
		HTTP_TEST(half_close_within_the_request_is_told),
		HTTP_TEST(who_goes_without_a_word_is_forgotten),
		HTTP_TEST(who_resets_before_the_answer_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
