// SPDX-License-Identifier: MIT
/* Who a peer is when a proxy says so, before the request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "tests/unit/http_rig.h"

static void a_trusted_proxy_names_the_peer(void **state)
{
	struct http_rig *rig = *state;

	http_rig_begin_behind_proxy(rig, "127.0.0.0/8");
	rig->peer = http_rig_join_tcp(rig);
	http_rig_say(rig->peer, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET /x HT");
	(void)ev_run(rig->loop, EVRUN_ONCE);
	http_rig_say(rig->peer, "TP/1.1\r\nHost: x\r\n\r\n");
	http_rig_hear_all(rig);
	assert_string_equal(rig->from, "tcp:192.0.2.7:4711");
	assert_string_equal(rig->path, "/x");
	assert_string_equal(rig->got, ANSWER);
	http_rig_wait_for_end(rig);

	rig->peer = http_rig_join_tcp(rig);
	http_rig_say(rig->peer, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
	http_rig_hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 400 "));
	http_rig_wait_for_end(rig);
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
	struct http_rig *rig = *state;
	uint64_t bad = 0;

	http_rig_begin_behind_proxy(rig, "127.0.0.0/8");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t lost = rig->server.counters.lost;

		rig->peer = http_rig_join_tcp(rig);
		assert_int_equal(send(rig->peer, rows[i].said, rows[i].bytes, 0), rows[i].bytes);
		assert_int_equal(shutdown(rig->peer, SHUT_WR), 0);
		http_rig_wait_for_end(rig);
		bad += rows[i].is_bad;
		assert_int_equal(rig->server.counters.errors, bad);
		assert_true(rows[i].is_bad || rig->server.counters.lost > lost);
	}
}

static void nobody_else_may_name_the_peer(void **state)
{
	struct http_rig *rig = *state;

	http_rig_begin_behind_proxy(rig, "192.0.2.0/24");
	rig->peer = http_rig_join_tcp(rig);
	http_rig_say(rig->peer,
		     "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET /x HTTP/1.1\r\n\r\n");
	http_rig_hear_all(rig);
	assert_non_null(strstr(rig->got, "HTTP/1.1 400 "));
	assert_int_equal(rig->requests, 0);
	http_rig_wait_for_end(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(a_trusted_proxy_names_the_peer),
		HTTP_TEST(a_look_by_a_proxy_is_no_bad_request),
		HTTP_TEST(nobody_else_may_name_the_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
