// SPDX-License-Identifier: MIT
/* net/listener.c with a real loop and loopback sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "net/sockopt.h"
#include "tests/unit/net_rig.h"

static int set_up(void **state)
{
	struct net_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	net_rig_open(rig);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct net_rig *rig = *state;

	net_rig_close(rig);
	free(rig);
	return 0;
}

static void listener_hands_peers_over_in_bounded_turns(void **state)
{
	struct net_rig *rig = *state;
	struct listener listener;
	int fds[70];

	net_rig_listen(rig, &listener, "tcp:127.0.0.1:0");
	assert_null(strstr(listener_address(&listener), ":0"));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = net_rig_connect(listener_address(&listener));
	net_rig_wait_for_backlog(listener.sockets.list[0].fd, ARRAY_LEN(fds));
	ev_run(rig->loop, EVRUN_ONCE);
	assert_int_equal(rig->peer_count, 64);
	run_until(rig, rig->peer_count == 70);
	assert_int_equal(listener.counters.accepted, 70);
	assert_int_equal(listener.counters.accept_errors, 0);

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(&fds[i]);
	listener_close(&listener);
	listener_close(&listener);
	assert_string_equal(listener_address(&listener), "");
}

static void listener_may_be_closed_by_its_owner(void **state)
{
	struct net_rig *rig = *state;
	struct listener listener;
	int fds[3];

	net_rig_listen(rig, &listener, "tcp:127.0.0.1:0");
	rig->close_on_accept = true;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = net_rig_connect(listener_address(&listener));
	run_until(rig, rig->peer_count > 0);
	ev_run(rig->loop, EVRUN_NOWAIT);
	assert_int_equal(rig->peer_count, 1);
	assert_int_equal(listener.sockets.count, 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(&fds[i]);
	listener_close(&listener);
}

static void listener_removes_its_socket_file(void **state)
{
	struct net_rig *rig = *state;
	struct listener listener;
	char dir[] = "/tmp/relay-test-XXXXXX", text[64];

	assert_non_null(mkdtemp(dir));
	snprintf(text, sizeof(text), "unix:%s/s", dir);
	net_rig_listen(rig, &listener, text);
	assert_string_equal(listener_address(&listener), text);
	assert_int_equal(access(text + 5, F_OK), 0);
	listener_close(&listener);
	assert_int_equal(rmdir(dir), 0);
}

/* Who has connected at the old address is accepted before its socket is closed. */
static void listener_moves_with_who_waits(void **state)
{
	struct net_rig *rig = *state;
	struct endpoint endpoint = parsed("tcp:127.0.0.2:0");
	struct listen_sockets sockets;
	struct listener listener;
	char before[ENDPOINT_TEXT_BYTES];
	int waiting, fd;

	net_rig_listen(rig, &listener, "tcp:127.0.0.1:0");
	snprintf(before, sizeof(before), "%s", listener_address(&listener));
	waiting = net_rig_connect(before);
	net_rig_wait_for_backlog(listener.sockets.list[0].fd, 1);
	assert_int_equal(listen_sockets_open(&endpoint, 8, NULL, &sockets, NULL), 0);
	listener_open(&listener, &endpoint, &sockets);
	assert_int_equal(sockets.count, 0);
	assert_int_equal(rig->peer_count, 1);
	assert_memory_equal(listener_address(&listener), "tcp:127.0.0.2:", 14);
	assert_true(listener_is_at(&listener, &endpoint));
	assert_int_equal(send(waiting, "x", 1, MSG_NOSIGNAL), 1);
	fd = net_rig_connect(listener_address(&listener));
	run_until(rig, rig->peer_count == 2);
	assert_int_equal(listener.counters.accepted, 2);
	fd_close(&waiting);
	fd_close(&fd);
	listener_close(&listener);
	assert_false(listener_is_at(&listener, &endpoint));
}

/* The address is what accept(2) gave: getpeername(2) has none any more. */
static void listener_knows_who_has_reset_already(void **state)
{
	struct net_rig *rig = *state;
	struct listener listener;
	struct in6_addr address;
	int fd;

	net_rig_listen(rig, &listener, "tcp:127.0.0.1:0");
	fd = net_rig_connect(listener_address(&listener));
	net_rig_wait_for_backlog(listener.sockets.list[0].fd, 1);
	sockopt_set_reset_on_close(fd);
	fd_close(&fd);
	run_until(rig, rig->peer_count == 1);
	assert_int_equal(endpoint_address_ip(&rig->last_peer, &address), 0);
	assert_true(IN6_IS_ADDR_V4MAPPED(&address));
	listener_close(&listener);
}

/* Take away all descriptors; returns the limit to go back to. */
static struct rlimit exhaust_fds(void)
{
	struct rlimit before, now;
	int fd = dup(0), lowest_free = fd;

	assert_true(fd >= 0);
	fd_close(&fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = before;
	now.rlim_cur = (rlim_t)lowest_free;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	return before;
}

static void listener_without_descriptors_pauses_then_refuses(void **state)
{
	struct net_rig *rig = *state;
	struct listener listener;
	struct rlimit before;
	uint64_t start_ms;
	int fds[3], late_fd;
	char byte;

	net_rig_listen(rig, &listener, "tcp:127.0.0.1:0");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = net_rig_connect(listener_address(&listener));
	net_rig_wait_for_backlog(listener.sockets.list[0].fd, ARRAY_LEN(fds));
	late_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	before = exhaust_fds();

	start_ms = clock_mono_ns() / NS_PER_MS;
	run_until(rig, listener.counters.accept_pauses == 1);
	/* no spin: nothing more is tried before the pause is over */
	for (int i = 0; i < 10; i++)
		ev_run(rig->loop, EVRUN_NOWAIT);
	if (clock_mono_ns() / NS_PER_MS - start_ms < 100) {
		assert_int_equal(listener.counters.accept_refused, 0);
		assert_int_equal(listener.counters.accept_errors, 1);
	}

	run_until(rig, listener.counters.accept_refused == 3);
	assert_int_equal(listener.counters.accept_pauses, 2);
	assert_int_equal(listener.pause_ms, 200);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		assert_int_equal(recv(fds[i], &byte, 1, 0), -1);
		assert_int_equal(errno, ECONNRESET);
		fd_close(&fds[i]);
	}
	fd_close(&late_fd);

	/* and it goes on */
	late_fd = net_rig_connect(listener_address(&listener));
	run_until(rig, rig->peer_count == 1);
	assert_int_equal(listener.pause_ms, 0);
	fd_close(&late_fd);
	listener_close(&listener);
}

static void listener_takes_so_many_a_second(void **state)
{
	struct net_rig *rig = *state;
	struct listener listener;
	uint64_t start_ms;
	int fds[5];

	net_rig_listen(rig, &listener, "tcp:127.0.0.1:0");
	listener_set_rate(&listener, 3);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = net_rig_connect(listener_address(&listener));
	net_rig_wait_for_backlog(listener.sockets.list[0].fd, ARRAY_LEN(fds));
	start_ms = clock_mono_ns() / NS_PER_MS;
	run_until(rig, listener.counters.accept_paced == 1);
	/* no spin */
	for (int i = 0; i < 10; i++)
		ev_run(rig->loop, EVRUN_NOWAIT);
	if (clock_mono_ns() / NS_PER_MS - start_ms < 333) {
		assert_int_equal(rig->peer_count, 3);
		assert_int_equal(listener.counters.accept_paced, 1);
	}
	run_until(rig, rig->peer_count >= 4);
	assert_int_equal(listener.counters.accept_errors, 0);
	listener_set_rate(&listener, 0);
	run_until(rig, rig->peer_count == 5);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(&fds[i]);
	listener_close(&listener);
}

static void peer_addresses_are_ipv6(void **state)
{
	struct net_rig *rig = *state;
	struct in6_addr loopback = {.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
	struct in6_addr address;
	struct listener listener;
	int pair[2];
	int fd;

	net_rig_listen(rig, &listener, "tcp:127.0.0.1:0");
	fd = net_rig_connect(listener_address(&listener));
	run_until(rig, rig->peer_count == 1);
	assert_int_equal(endpoint_address_ip(&rig->last_peer, &address), 0);
	assert_memory_equal(&address, &loopback, sizeof(address));
	fd_close(&fd);
	listener_close(&listener);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	endpoint_peer(pair[0], &rig->last_peer);
	assert_int_equal(endpoint_address_ip(&rig->last_peer, &address), -EAFNOSUPPORT);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(listener_hands_peers_over_in_bounded_turns),
		TEST(listener_may_be_closed_by_its_owner),
		TEST(listener_removes_its_socket_file),
		TEST(listener_moves_with_who_waits),
		TEST(listener_knows_who_has_reset_already),
		TEST(listener_without_descriptors_pauses_then_refuses),
		TEST(listener_takes_so_many_a_second),
		TEST(peer_addresses_are_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
