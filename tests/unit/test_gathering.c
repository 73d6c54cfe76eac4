// SPDX-License-Identifier: MIT
/* source/gathering.c: when bytes wait in their socket, and what ends that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "source/gathering.h"
#include "tests/unit/tcp_pair.h"

struct rig {
	struct gathering gathering;
	struct ev_loop *loop;
	int publisher; /* the other end of gathering.fd */
	int source;
	unsigned dues;
};

static void on_due(struct gathering *gathering)
{
	container_of(gathering, struct rig, gathering)->dues++;
}

static void start(struct rig *rig, bool is_tcp, const struct gathering_params *params)
{
	*rig = (struct rig){.loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL)};
	if (is_tcp) {
		const struct tcp_pair pair = tcp_pair_open(0);

		rig->publisher = pair.connected;
		rig->source = pair.accepted;
	} else {
		int ends[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		rig->publisher = ends[0];
		rig->source = ends[1];
	}
	gathering_init(&rig->gathering, rig->loop, params, on_due);
	gathering_begin(&rig->gathering, rig->source);
}

static void stop(struct rig *rig)
{
	gathering_end(&rig->gathering);
	assert_false(ev_is_active(&rig->gathering.timer));
	ev_loop_destroy(rig->loop);
	(void)close(rig->publisher);
	(void)close(rig->source);
}

static void put(struct rig *rig, size_t bytes)
{
	static const char all[4096];

	assert_int_equal(write(rig->publisher, all, bytes), bytes);
}

static bool is_readable(const struct rig *rig, int wait_ms)
{
	struct pollfd pollfd = {.fd = rig->source, .events = POLLIN};

	return poll(&pollfd, 1, wait_ms) == 1;
}

static void take(struct rig *rig, size_t bytes)
{
	char buf[4096];

	assert_int_equal(recv(rig->source, buf, bytes, MSG_DONTWAIT), bytes);
	gathering_note_take(&rig->gathering, bytes);
}

static void put_and_hold(struct rig *rig)
{
	put(rig, 10);
	assert_true(is_readable(rig, -1));
	assert_true(gathering_holds(&rig->gathering, UINT64_MAX));
}

static void tcp_is_readable_once_there_is_enough(void **state)
{
	const struct gathering_params params = {.bytes = 1000, .time_ms = 60000};
	struct rig rig;
	uint64_t before_ns = clock_wall_ns();

	(void)state;
	start(&rig, true, &params);
	put_and_hold(&rig);
	assert_false(rig.gathering.is_deaf);
	assert_true(rig.gathering.since_ns >= before_ns);
	assert_false(is_readable(&rig, 0));
	put(&rig, 990);
	assert_true(is_readable(&rig, -1));
	assert_false(gathering_holds(&rig.gathering, UINT64_MAX));
	assert_true(rig.gathering.since_ns >= before_ns);
	/* What is left has waited as well. */
	take(&rig, 400);
	assert_int_equal(rig.gathering.since_ns, 0);
	assert_true(is_readable(&rig, 0));
	assert_false(gathering_holds(&rig.gathering, UINT64_MAX));
	take(&rig, 600);
	/* And then it begins anew. */
	put_and_hold(&rig);
	assert_int_equal(rig.dues, 0);
	stop(&rig);
}

/* The last of a body of known length: there is no more to wait for. */
static void no_more_is_waited_for_than_comes(void **state)
{
	const struct gathering_params params = {.bytes = 1000, .time_ms = 60000};
	struct rig rig;

	(void)state;
	start(&rig, true, &params);
	put(&rig, 10);
	assert_true(is_readable(&rig, -1));
	assert_true(gathering_holds(&rig.gathering, 15));
	assert_false(is_readable(&rig, 0));
	put(&rig, 5);
	assert_true(is_readable(&rig, -1));
	assert_false(gathering_holds(&rig.gathering, 15));
	take(&rig, 15);
	put(&rig, 10);
	assert_true(is_readable(&rig, -1));
	assert_false(gathering_holds(&rig.gathering, 10));
	assert_false(gathering_holds(&rig.gathering, 0));
	stop(&rig);
}

/* The kernel would hold the publisher to a window of the mark. */
static void a_large_mark_leaves_the_window_alone(void **state)
{
	const struct gathering_params params = {.bytes = 512 * 1024, .time_ms = 60000};
	int clamp = 0, buffer = 0;
	socklen_t bytes = sizeof(clamp);
	struct rig rig;

	(void)state;
	start(&rig, true, &params);
	put_and_hold(&rig);
	assert_int_equal(getsockopt(rig.source, IPPROTO_TCP, TCP_WINDOW_CLAMP, &clamp, &bytes), 0);
	assert_int_equal(getsockopt(rig.source, SOL_SOCKET, SO_RCVBUF, &buffer, &bytes), 0);
	assert_true(clamp >= buffer);
	stop(&rig);
}

static void the_end_is_not_held(void **state)
{
	const struct gathering_params params = {.bytes = 1000, .time_ms = 60000};
	struct rig rig;

	(void)state;
	start(&rig, true, &params);
	put_and_hold(&rig);
	assert_int_equal(shutdown(rig.publisher, SHUT_WR), 0);
	assert_true(is_readable(&rig, -1));
	assert_false(gathering_holds(&rig.gathering, UINT64_MAX));
	take(&rig, 10);
	assert_false(gathering_holds(&rig.gathering, UINT64_MAX));
	stop(&rig);
}

static void the_time_is_up(void **state)
{
	const struct gathering_params params = {.bytes = 1000, .time_ms = 5};

	(void)state;
	for (int is_tcp = 0; is_tcp < 2; is_tcp++) {
		struct rig rig;

		start(&rig, is_tcp, &params);
		put_and_hold(&rig);
		assert_int_equal(rig.gathering.is_deaf, !is_tcp);
		(void)ev_run(rig.loop, 0); /* until no timer runs */
		assert_int_equal(rig.dues, 1);
		assert_false(rig.gathering.is_deaf);
		assert_true(is_readable(&rig, 0));
		assert_false(gathering_holds(&rig.gathering, UINT64_MAX));
		take(&rig, 10);
		stop(&rig);
	}
}

/* A thread that is busy always finds something new: that is not due with what was held. */
static void what_comes_meanwhile_is_held_anew(void **state)
{
	const struct gathering_params params = {.bytes = 1000, .time_ms = 5};
	struct rig rig;

	(void)state;
	start(&rig, true, &params);
	put_and_hold(&rig);
	(void)ev_run(rig.loop, 0);
	put(&rig, 20);
	assert_false(gathering_holds(&rig.gathering, UINT64_MAX));
	take(&rig, 10);
	assert_true(is_readable(&rig, -1));
	assert_true(gathering_holds(&rig.gathering, UINT64_MAX));
	assert_false(is_readable(&rig, 0));
	/* Less is left in the socket than was held, since it cannot be taken yet. */
	(void)ev_run(rig.loop, 0);
	gathering_note_take(&rig.gathering, UINT64_MAX);
	assert_true(is_readable(&rig, 0));
	assert_true(gathering_holds(&rig.gathering, UINT64_MAX));
	stop(&rig);
}

static void enough_is_not_held_and_none_holds_nothing(void **state)
{
	static const struct gathering_params rows[] = {
		{.bytes = 10, .time_ms = 60000},
		{.bytes = 0, .time_ms = 60000},
		{.is_auto = true, .time_ms = 2}, /* the thread has done nothing yet */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig rig;

		start(&rig, true, &rows[i]);
		put(&rig, 10);
		assert_true(is_readable(&rig, -1));
		assert_false(gathering_holds(&rig.gathering, UINT64_MAX));
		stop(&rig);
	}
}

static void a_change_and_the_end_leave_the_socket_as_it_was(void **state)
{
	const struct gathering_params params = {.bytes = 1000, .time_ms = 60000},
				      none = {.bytes = 0};
	struct rig rig;

	(void)state;
	start(&rig, true, &params);
	put_and_hold(&rig);
	gathering_change(&rig.gathering, &none);
	assert_true(is_readable(&rig, 0));
	assert_false(gathering_holds(&rig.gathering, UINT64_MAX));
	take(&rig, 10);
	gathering_change(&rig.gathering, &params);
	put_and_hold(&rig);
	assert_int_equal(gathering_let_go(&rig.gathering), 10);
	assert_int_equal(gathering_let_go(&rig.gathering), 0);
	take(&rig, 10);
	put_and_hold(&rig);
	/* As the next process finds it. */
	gathering_begin(&rig.gathering, rig.source);
	assert_true(is_readable(&rig, 0));
	stop(&rig);
}

/* Up above a quarter, down below an eighth, and never beyond the limit. */
static void the_hold_follows_the_load(void **state)
{
	static const struct {
		uint32_t now_ms, limit_ms;
		uint64_t worked_ns;
		uint32_t then_ms;
	} rows[] = {
		{0, 2, 249, 0}, {0, 2, 251, 1}, {1, 2, 1000, 2}, {2, 2, 1000, 2}, {2, 2, 126, 2},
		{2, 2, 124, 1}, {1, 2, 0, 0},   {0, 2, 0, 0},    {0, 1, 1000, 1}, {2, 1, 1000, 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(gathering_load_change(rows[i].now_ms, rows[i].worked_ns, 1000,
						       rows[i].limit_ms),
				 rows[i].then_ms);
}

static void what_is_not_worth_it_is_tried_less_often(void **state)
{
	static const struct {
		uint32_t now;
		uint64_t begun_bytes, due_bytes;
		uint32_t then;
	} rows[] = {
		{0, 100, 400, 0}, {255, 100, 400, 0}, {0, 100, 399, 1},   {1, 100, 100, 3},
		{3, 100, 0, 7},   {126, 10, 39, 253}, {127, 10, 39, 255}, {255, 10, 10, 255},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(
			gathering_skips_change(rows[i].now, rows[i].begun_bytes, rows[i].due_bytes),
			rows[i].then);
}

/* As a thread that is always busy. */
static void auto_leaves_off_where_nothing_comes_to_the_first_piece(void **state)
{
	const struct gathering_params params = {.is_auto = true, .time_ms = 2};
	struct rig rig;

	(void)state;
	start(&rig, true, &params);
	for (unsigned tries = 0; tries < 4; tries++) {
		for (unsigned skips = 0; skips < (1U << tries) - 1; skips++) {
			rig.gathering.auto_ms = 10000;
			put(&rig, 10);
			assert_true(is_readable(&rig, -1));
			assert_false(gathering_holds(&rig.gathering, UINT64_MAX));
			take(&rig, 10);
		}
		rig.gathering.auto_ms = 10000;
		put_and_hold(&rig);
		assert_int_equal(gathering_let_go(&rig.gathering), 10);
		take(&rig, 10);
	}
	rig.gathering.skips_left = 0;
	rig.gathering.auto_ms = 10000;
	put_and_hold(&rig);
	put(&rig, 30);
	assert_int_equal(gathering_let_go(&rig.gathering), 40);
	take(&rig, 40);
	put_and_hold(&rig);
	stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_more_is_waited_for_than_comes),
		cmocka_unit_test(tcp_is_readable_once_there_is_enough),
		cmocka_unit_test(a_large_mark_leaves_the_window_alone),
		cmocka_unit_test(the_end_is_not_held),
		cmocka_unit_test(the_time_is_up),
		cmocka_unit_test(what_comes_meanwhile_is_held_anew),
		cmocka_unit_test(enough_is_not_held_and_none_holds_nothing),
		cmocka_unit_test(a_change_and_the_end_leave_the_socket_as_it_was),
		cmocka_unit_test(the_hold_follows_the_load),
		cmocka_unit_test(what_is_not_worth_it_is_tried_less_often),
		cmocka_unit_test(auto_leaves_off_where_nothing_comes_to_the_first_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
