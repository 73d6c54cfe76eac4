// SPDX-License-Identifier: MIT
/* More connections than a server may have: who makes room, who is turned away and how; and the
 * end of all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "tests/unit/http_rig.h"
#include "tests/unit/tcp_pair.h"

static void on_turned_away(void *owner, const struct endpoint_address *peer)
{
	struct http_rig *rig = owner;

	rig->turned_away++;
	endpoint_print_address(rig->from, sizeof(rig->from), peer);
}

static void hear_503(struct http_rig *rig)
{
	http_rig_hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 503 "));
	assert_non_null(strstr(rig->got, "Retry-After: "));
	http_rig_end_peer(rig);
}

/* Who has been at its request for longest makes room; where all wait for the owner, nobody does. */
static void there_are_only_so_many(void **state)
{
	struct http_rig *rig = *state;
	struct http_server_params params = http_rig_params(rig);
	int fds[2];

	params.on_turned_away = on_turned_away;
	http_rig_begin(rig, &params);
	rig->what = WHAT_NOTHING;
	rig->peer = http_rig_join_tcp(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHos");
	(void)ev_run(rig->loop, EVRUN_ONCE);
	fds[0] = http_rig_join_unix(rig);
	fds[1] = http_rig_join_unix(rig);
	hear_503(rig);
	assert_int_equal(rig->server.count, 2);
	assert_int_equal(rig->turned_away, 1);
	assert_memory_equal(rig->from, "tcp:127.0.0.1:", 14);
	for (int i = 0; i < 2; i++)
		http_rig_say(fds[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests == 2);
	rig->peer = http_rig_join_unix(rig);
	hear_503(rig);
	assert_int_equal(rig->server.count, 2);
	assert_int_equal(rig->turned_away, 2);
	assert_int_equal(rig->server.counters.refused, 2);
	http_connection_answer_line(rig->connection, 200, "done");
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests == 3);
	assert_int_equal(rig->server.counters.refused, 2);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

/* A browser that asked for events comes back behind a reset, and never behind a 503. */
static void who_asks_for_events_is_reset(void **state)
{
	static const char head[] = "GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n";
	struct http_rig *rig = *state;
	struct tcp_pair pair;
	int fds[2];
	char byte;

	http_rig_begin(rig, NULL);
	rig->what = WHAT_NOTHING;
	fds[0] = http_rig_join_unix(rig);
	fds[1] = http_rig_join_unix(rig);
	for (int i = 0; i < 2; i++)
		http_rig_say(fds[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests == 2);
	pair = tcp_pair_open(0);
	assert_int_equal(fd_set_nonblock(pair.accepted), 0);
	rig->peer = pair.connected;
	http_rig_say(rig->peer, head);
	http_rig_adopt(rig, pair.accepted);
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
	struct http_rig *rig = *state;
	int fds[8];

	http_rig_begin(rig, NULL);
	rig->peer = http_rig_join_tcp(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = http_rig_join_unix(rig);
		http_rig_say(fds[i], "GET / HT");
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
	struct http_rig *rig = *state;
	int reading;

	http_rig_begin(rig, NULL);
	rig->what = WHAT_NOTHING;
	reading = http_rig_join_unix(rig);
	http_rig_say(reading, "GET /");
	rig->peer = http_rig_join_unix(rig);
	http_rig_say(rig->peer, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	run_until(rig, rig->requests);
	http_server_fini(&rig->server);
	http_rig_hear(rig);
	assert_true(rig->is_over);
	fd_close(&reading);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(there_are_only_so_many),
		HTTP_TEST(who_asks_for_events_is_reset),
		HTTP_TEST(who_makes_room_is_read_no_more),
		HTTP_TEST(the_end_closes_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
