// SPDX-License-Identifier: MIT
/* net/listener.c, connector.c, resolver.c and sockopt.c with a real loop and loopback sockets.
 *
 * This file is longer than 600 lines because one loop and one owner serve the tests of all four.
 * Nothing sleeps: a test runs the loop until what it waits for is there, and fails after a
 * ceiling.  Every test must give back every descriptor. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include <ev.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/errmsg.h"
#include "base/fd.h"
#include "base/log.h"
#include "net/connector.h"
#include "net/endpoint.h"
#include "net/listener.h"
#include "net/resolver.h"
#include "net/sockopt.h"
#include "tests/unit/fd_count.h"

#define CEILING_S 20.0
#define MAX_PEERS 128
#define MAX_HELD  4

static int fds_at_start;

/* A loop with one owner of listeners and connectors, and what it was told. */
struct net {
	struct ev_loop *loop;
	struct ev_timer ceiling;

	struct listener *listener; /* what on_accept may touch */
	struct endpoint_address last_peer;
	bool close_on_accept;
	int peers[MAX_PEERS];
	int peer_count;

	struct connector *connector; /* what on_connected may touch */
	bool lose_on_connected, stop_on_connected;
	int connected, better; /* how often */
	int fd;                /* the last one, -1: none */
	size_t index;

	int held[MAX_HELD]; /* of refusing_endpoint() */
	int held_count;

	int answers;
	struct resolver_answer answer;
	int told_connecting, told_failed;
	uint64_t more_failed;
};

/* The thread of a cancelled look-up closes its files when the look-up has ended, which a name
 * server that does not answer puts off; the ceiling is its time-out. */
static void assert_no_fd_is_left(void)
{
	int count = count_fds();

	for (int i = 0; i < 30000 && count != fds_at_start; i++) {
		(void)poll(NULL, 0, 1);
		count = count_fds();
	}
	assert_int_equal(count,
			 fds_at_start); /* a second count would meet the thread's next file */
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
	struct net *net = calloc(1, sizeof(*net));

	net->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	assert_non_null(net->loop);
	ev_timer_init(&net->ceiling, on_ceiling, CEILING_S, 0.0);
	ev_timer_start(net->loop, &net->ceiling);
	net->fd = -1;
	*state = net;
	return 0;
}

static int tear_down(void **state)
{
	struct net *net = *state;

	while (net->peer_count > 0)
		fd_close(&net->peers[--net->peer_count]);
	while (net->held_count > 0)
		fd_close(&net->held[--net->held_count]);
	fd_close(&net->fd);
	resolver_answer_free(&net->answer);
	ev_timer_stop(net->loop, &net->ceiling);
	/* Nothing that was stopped may be left in the loop: it ends at once. */
	assert_int_equal(ev_run(net->loop, EVRUN_NOWAIT), 0);
	ev_loop_destroy(net->loop);
	assert_no_fd_is_left();
	free(net);
	return 0;
}

#define run_until(net, condition)                                                                  \
	do {                                                                                       \
		while (!(condition))                                                               \
			ev_run((net)->loop, EVRUN_ONCE);                                           \
	} while (0)

/* An abstract unix name that no other run of this test has. */
static const char *unix_name(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "unix:@relay-test-net-%d", getpid());
	return text;
}

static struct endpoint parsed(const char *text)
{
	struct endpoint endpoint = {0};
	struct errmsg err = {0};

	if (endpoint_parse(text, &endpoint, &err) < 0)
		fail_msg("%s", err.text);
	return endpoint;
}

static int connect_to(const char *text)
{
	struct endpoint endpoint = parsed(text);
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(endpoint.port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	(void)inet_pton(AF_INET, endpoint.host, &addr.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Until so many connections wait at the listening socket: connect() returns when the peer's side
 * has still to take the last step. */
static void wait_for_backlog(int listening_fd, unsigned count)
{
	struct tcp_info info = {0};
	socklen_t bytes = sizeof(info);

	for (int i = 0; i < 20000 && info.tcpi_unacked != count; i++) {
		if (i)
			(void)poll(NULL, 0, 1);
		assert_int_equal(getsockopt(listening_fd, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
	}
	assert_int_equal(info.tcpi_unacked, count);
}

/* ---- listener ---- */

static void on_accept(void *owner, int fd, const struct endpoint_address *peer)
{
	struct net *net = owner;

	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(net->peer_count < MAX_PEERS);
	net->peers[net->peer_count++] = fd;
	net->last_peer = *peer;
	if (net->close_on_accept)
		listener_close(net->listener);
}

static void on_error(const struct listener *listener, int error, uint32_t pause_ms,
		     uint64_t suppressed)
{
	(void)listener;
	(void)error;
	(void)pause_ms;
	(void)suppressed;
}

static void on_paced(const struct listener *listener, uint64_t suppressed)
{
	(void)listener;
	(void)suppressed;
}

static const struct listener_events listener_events = {
	.on_accept = on_accept,
	.on_error = on_error,
	.on_paced = on_paced,
};

static void open_listener(struct net *net, struct listener *listener, const char *text)
{
	struct endpoint endpoint = parsed(text);
	struct listen_sockets sockets;
	struct errmsg err = {0};

	net->listener = listener;
	listener_init(listener, net->loop, &listener_events, net);
	assert_string_equal(listener_address(listener), "");
	if (listen_sockets_open(&endpoint, SOMAXCONN, NULL, &sockets, &err) < 0)
		fail_msg("%s", err.text);
	listener_open(listener, &endpoint, &sockets);
	assert_int_equal(sockets.count, 0);
}

static void listener_hands_peers_over_in_bounded_turns(void **state)
{
	struct net *net = *state;
	struct listener listener;
	int fds[70];

	open_listener(net, &listener, "tcp:127.0.0.1:0");
	assert_null(strstr(listener_address(&listener), ":0"));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_to(listener_address(&listener));
	wait_for_backlog(listener.sockets.list[0].fd, ARRAY_LEN(fds));
	ev_run(net->loop, EVRUN_ONCE);
	assert_int_equal(net->peer_count, 64);
	run_until(net, net->peer_count == 70);
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
	struct net *net = *state;
	struct listener listener;
	int fds[3];

	open_listener(net, &listener, "tcp:127.0.0.1:0");
	net->close_on_accept = true;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_to(listener_address(&listener));
	run_until(net, net->peer_count > 0);
	ev_run(net->loop, EVRUN_NOWAIT);
	assert_int_equal(net->peer_count, 1);
	assert_int_equal(listener.sockets.count, 0);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(&fds[i]);
	listener_close(&listener);
}

static void listener_removes_its_socket_file(void **state)
{
	struct net *net = *state;
	struct listener listener;
	char dir[] = "/tmp/relay-test-XXXXXX", text[64];

	assert_non_null(mkdtemp(dir));
	snprintf(text, sizeof(text), "unix:%s/s", dir);
	open_listener(net, &listener, text);
	assert_string_equal(listener_address(&listener), text);
	assert_int_equal(access(text + 5, F_OK), 0);
	listener_close(&listener);
	assert_int_equal(rmdir(dir), 0);
}

/* Who has connected at the old address is accepted before its socket is closed. */
static void listener_moves_with_who_waits(void **state)
{
	struct net *net = *state;
	struct endpoint endpoint = parsed("tcp:127.0.0.2:0");
	struct listen_sockets sockets;
	struct listener listener;
	char before[ENDPOINT_TEXT_BYTES];
	int waiting, fd;

	open_listener(net, &listener, "tcp:127.0.0.1:0");
	snprintf(before, sizeof(before), "%s", listener_address(&listener));
	waiting = connect_to(before);
	wait_for_backlog(listener.sockets.list[0].fd, 1);
	assert_int_equal(listen_sockets_open(&endpoint, 8, NULL, &sockets, NULL), 0);
	listener_open(&listener, &endpoint, &sockets);
	assert_int_equal(sockets.count, 0);
	assert_int_equal(net->peer_count, 1);
	assert_memory_equal(listener_address(&listener), "tcp:127.0.0.2:", 14);
	assert_true(listener_is_at(&listener, &endpoint));
	assert_int_equal(send(waiting, "x", 1, MSG_NOSIGNAL), 1);
	fd = connect_to(listener_address(&listener));
	run_until(net, net->peer_count == 2);
	assert_int_equal(listener.counters.accepted, 2);
	fd_close(&waiting);
	fd_close(&fd);
	listener_close(&listener);
	assert_false(listener_is_at(&listener, &endpoint));
}

/* The address is what accept(2) gave: getpeername(2) has none any more. */
static void listener_knows_who_has_reset_already(void **state)
{
	struct net *net = *state;
	struct listener listener;
	struct in6_addr address;
	int fd;

	open_listener(net, &listener, "tcp:127.0.0.1:0");
	fd = connect_to(listener_address(&listener));
	wait_for_backlog(listener.sockets.list[0].fd, 1);
	sockopt_set_reset_on_close(fd);
	fd_close(&fd);
	run_until(net, net->peer_count == 1);
	assert_int_equal(endpoint_address_ip(&net->last_peer, &address), 0);
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
	struct net *net = *state;
	struct listener listener;
	struct rlimit before;
	uint64_t start_ms;
	int fds[3], late_fd;
	char byte;

	open_listener(net, &listener, "tcp:127.0.0.1:0");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_to(listener_address(&listener));
	wait_for_backlog(listener.sockets.list[0].fd, ARRAY_LEN(fds));
	late_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	before = exhaust_fds();

	start_ms = clock_mono_ns() / NS_PER_MS;
	run_until(net, listener.counters.accept_pauses == 1);
	/* no spin: nothing more is tried before the pause is over */
	for (int i = 0; i < 10; i++)
		ev_run(net->loop, EVRUN_NOWAIT);
	if (clock_mono_ns() / NS_PER_MS - start_ms < 100) {
		assert_int_equal(listener.counters.accept_refused, 0);
		assert_int_equal(listener.counters.accept_errors, 1);
	}

	run_until(net, listener.counters.accept_refused == 3);
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
	late_fd = connect_to(listener_address(&listener));
	run_until(net, net->peer_count == 1);
	assert_int_equal(listener.pause_ms, 0);
	fd_close(&late_fd);
	listener_close(&listener);
}

static void listener_takes_so_many_a_second(void **state)
{
	struct net *net = *state;
	struct listener listener;
	uint64_t start_ms;
	int fds[5];

	open_listener(net, &listener, "tcp:127.0.0.1:0");
	listener_set_rate(&listener, 3);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = connect_to(listener_address(&listener));
	wait_for_backlog(listener.sockets.list[0].fd, ARRAY_LEN(fds));
	start_ms = clock_mono_ns() / NS_PER_MS;
	run_until(net, listener.counters.accept_paced == 1);
	/* no spin */
	for (int i = 0; i < 10; i++)
		ev_run(net->loop, EVRUN_NOWAIT);
	if (clock_mono_ns() / NS_PER_MS - start_ms < 333) {
		assert_int_equal(net->peer_count, 3);
		assert_int_equal(listener.counters.accept_paced, 1);
	}
	run_until(net, net->peer_count >= 4);
	assert_int_equal(listener.counters.accept_errors, 0);
	listener_set_rate(&listener, 0);
	run_until(net, net->peer_count == 5);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fd_close(&fds[i]);
	listener_close(&listener);
}

static void peer_addresses_are_ipv6(void **state)
{
	struct net *net = *state;
	struct in6_addr loopback = {.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
	struct in6_addr address;
	struct listener listener;
	int pair[2];
	int fd;

	open_listener(net, &listener, "tcp:127.0.0.1:0");
	fd = connect_to(listener_address(&listener));
	run_until(net, net->peer_count == 1);
	assert_int_equal(endpoint_address_ip(&net->last_peer, &address), 0);
	assert_memory_equal(&address, &loopback, sizeof(address));
	fd_close(&fd);
	listener_close(&listener);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	endpoint_peer(pair[0], &net->last_peer);
	assert_int_equal(endpoint_address_ip(&net->last_peer, &address), -EAFNOSUPPORT);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
}

/* ---- resolver ---- */

static void on_answer(void *owner, struct resolver_answer *answer)
{
	struct net *net = owner;

	net->answers++;
	resolver_answer_free(&net->answer);
	net->answer = *answer;
	*answer = (struct resolver_answer){0};
}

static void resolver_answers_from_the_loop(void **state)
{
	static const struct {
		const char *text;
		int family;
	} rows[] = {
		{"tcp:127.0.0.1:80", AF_INET},
		{"tcp:[::1]:80", AF_INET6},
		{"unix:/run/x", AF_UNIX},
		{"unix:@x", AF_UNIX},
		{"tcp:*:80", 0},
		{"tcp:localhost:80", 0}, /* by a thread */
	};
	struct net *net = *state;
	struct resolver resolver;

	resolver_init(&resolver, net->loop, on_answer, net);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct endpoint endpoint = parsed(rows[i].text);

		assert_int_equal(resolver_start(&resolver, &endpoint), 0);
		assert_int_equal(net->answers, i);
		run_until(net, net->answers == (int)i + 1);
		assert_null(net->answer.error);
		assert_true(net->answer.count >= 1);
		if (rows[i].family)
			assert_int_equal(net->answer.addresses[0].storage.ss_family,
					 rows[i].family);
	}
	resolver_cancel(&resolver);
}

static void resolver_tells_why_there_is_no_address(void **state)
{
	struct net *net = *state;
	/* A label of more than 63 bytes is refused before any name server is asked. */
	struct endpoint endpoint = {.kind = ENDPOINT_TCP, .port = "80"};
	struct resolver resolver;

	memset(endpoint.host, 'x', 70);
	resolver_init(&resolver, net->loop, on_answer, net);
	assert_int_equal(resolver_start(&resolver, &endpoint), 0);
	run_until(net, net->answers == 1);
	assert_non_null(net->answer.error);
	assert_int_equal(net->answer.count, 0);
}

static void resolver_cancelled_never_answers(void **state)
{
	struct net *net = *state;
	struct endpoint named = parsed("tcp:localhost:80"), numeric = parsed("tcp:127.0.0.1:80");
	struct resolver resolver;

	resolver_init(&resolver, net->loop, on_answer, net);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(resolver_start(&resolver, i % 2 ? &named : &numeric), 0);
		if (i % 3)
			resolver_cancel(&resolver);
		ev_run(net->loop, EVRUN_NOWAIT);
		net->answers = 0;
		resolver_cancel(&resolver);
		ev_run(net->loop, EVRUN_NOWAIT);
		assert_int_equal(net->answers, 0);
	}
}

/* ---- sockopt ---- */

static int get_number(int fd, int level, int option)
{
	int value = -1;
	socklen_t bytes = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &bytes), 0);
	return value;
}

static void sockopt_sets_what_it_is_given(void **state)
{
	struct sockopt_params params = {
		.send_buffer = 65536,
		.notsent_lowat = 131072,
		.user_timeout_ms = 30000,
		.keepalive_ms = 30000,
		.congestion = "nonsense",
	};
	struct errmsg err = {0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(sockopt_apply_subscriber(fd, &params, &err), -ENOENT);
	assert_string_equal(err.text, "set TCP_CONGESTION: No such file or directory");
	params.congestion[0] = '\0';
	assert_int_equal(sockopt_apply_subscriber(fd, &params, &err), 0);
	assert_int_equal(get_number(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(get_number(fd, SOL_SOCKET, SO_SNDBUF), 2 * 65536);
	assert_int_equal(get_number(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 131072);
	assert_int_equal(get_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
	assert_int_equal(get_number(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(get_number(fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
	assert_int_equal(get_number(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
	assert_int_equal(get_number(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
	fd_close(&fd);

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(sockopt_apply_publisher(fd, UINT64_MAX, &err), 0);
	assert_int_equal(get_number(fd, IPPROTO_TCP, TCP_KEEPIDLE), 32767);
	assert_int_equal(sockopt_apply_publisher(fd, 0, &err), 0);
	fd_close(&fd);
}

static void sockopt_spares_unix_sockets(void **state)
{
	struct sockopt_params params = {
		.send_buffer = UINT64_MAX,
		.notsent_lowat = 1,
		.user_timeout_ms = 1,
		.keepalive_ms = 1,
		.congestion = "nonsense",
	};
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(sockopt_apply_subscriber(pair[0], &params, NULL), 0);
	assert_int_equal(sockopt_apply_publisher(pair[0], 1000, NULL), 0);
	sockopt_set_reset_on_close(pair[0]);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	assert_int_equal(sockopt_apply_subscriber(-1, &params, NULL), -EBADF);
}

/* ---- connector ---- */

static void on_connected(void *owner, int fd, size_t index)
{
	struct net *net = owner;

	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	net->connected++;
	fd_close(&net->fd);
	net->fd = fd;
	net->index = index;
	if (net->lose_on_connected)
		connector_lost(net->connector);
	if (net->stop_on_connected)
		connector_stop(net->connector);
}

static void on_better(void *owner, int fd, size_t index)
{
	struct net *net = owner;

	net->better++;
	fd_close(&net->fd);
	net->fd = fd;
	net->index = index;
}

static void on_connecting(void *owner, size_t index)
{
	struct net *net = owner;

	(void)index;
	net->told_connecting++;
}

static void on_failed(void *owner, size_t index, const char *error, uint64_t suppressed)
{
	struct net *net = owner;

	(void)index;
	assert_int_equal(suppressed, 0);
	assert_true(*error);
	net->told_failed++;
}

static void on_more_failed(void *owner, size_t index, uint64_t suppressed)
{
	struct net *net = owner;

	(void)index;
	assert_true(suppressed > 0);
	net->more_failed += suppressed;
}

static const struct connector_events events = {
	.on_connected = on_connected,
	.on_better = on_better,
	.on_connecting = on_connecting,
	.on_failed = on_failed,
	.on_more_failed = on_more_failed,
};

static void init_connector(struct net *net, struct connector *connector,
			   const struct endpoint *endpoints, size_t count)
{
	net->connector = connector;
	connector_init(connector, net->loop, endpoints, count, &events, net);
}

/* An address on which nobody listens.  Its port is held until the end of the test, so that nobody
 * else is given it; with SO_REUSEADDR, so that the test may listen there after all. */
static struct endpoint refusing_endpoint(struct net *net)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	char text[ENDPOINT_TEXT_BYTES];

	assert_true(fd >= 0 && net->held_count < MAX_HELD);
	net->held[net->held_count++] = fd;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	endpoint_print_local(text, sizeof(text), fd);
	return parsed(text);
}

static void connector_connects_and_comes_back(void **state)
{
	struct net *net = *state;
	struct listener listener;
	struct connector connector;
	struct endpoint endpoint;

	open_listener(net, &listener, "tcp:127.0.0.1:0");
	endpoint = parsed(listener_address(&listener));
	init_connector(net, &connector, &endpoint, 1);
	connector.pace.settled_ms = 0;
	connector_start(&connector);
	connector_start(&connector);
	assert_int_equal(net->connected, 0); /* not from inside */
	run_until(net, net->connected == 1 && net->peer_count == 1);

	connector_lost(&connector);
	connector_lost(&connector); /* ignored: there is none any more */
	assert_int_equal(net->connected, 1);
	run_until(net, net->connected == 2 && net->peer_count == 2);

	connector_stop(&connector);
	connector_stop(&connector);
	connector_lost(&connector);
	assert_int_equal(connector.state, CONNECTOR_STOPPED);
	assert_true(fcntl(net->fd, F_GETFD) >= 0); /* the owner keeps it */

	connector_start(&connector);
	run_until(net, net->connected == 3);
	connector_stop(&connector);
	listener_close(&listener);
}

static void connector_connects_to_names_and_paths(void **state)
{
	const char *const texts[] = {"tcp:localhost:0", unix_name()};
	struct net *net = *state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct listener listener;
		struct connector connector;
		struct endpoint endpoint = parsed(texts[i]);

		open_listener(net, &listener, texts[i]);
		if (endpoint.kind == ENDPOINT_TCP)
			memcpy(endpoint.port, parsed(listener_address(&listener)).port,
			       sizeof(endpoint.port));
		init_connector(net, &connector, &endpoint, 1);
		connector_start(&connector);
		run_until(net, net->connected == (int)i + 1);
		connector_stop(&connector);
		listener_close(&listener);
	}
}

static void connector_backs_off_after_a_round(void **state)
{
	struct net *net = *state;
	struct endpoint endpoints[] = {refusing_endpoint(net), parsed("unix:/nonexistent/s"),
				       refusing_endpoint(net)};
	struct connector connector;

	init_connector(net, &connector, endpoints, ARRAY_LEN(endpoints));
	connector_start(&connector);
	run_until(net, connector.state == CONNECTOR_CONNECTING);
	run_until(net, connector.state == CONNECTOR_WAITING);
	assert_in_range(ev_timer_remaining(net->loop, &connector.pause_over) * 1000.0, 450, 1000);
	run_until(net, connector.state == CONNECTOR_CONNECTING);
	run_until(net, connector.state == CONNECTOR_WAITING);
	assert_in_range(ev_timer_remaining(net->loop, &connector.pause_over) * 1000.0, 950, 2000);
	assert_int_equal(net->connected, 0);
	connector_stop(&connector);
}

/* One that stays away is two lines, and one with the sum when it is back; then it is news again. */
static void connector_tells_little_and_sums_up(void **state)
{
	enum {
		ROUNDS = 5
	};
	struct net *net = *state;
	struct endpoint endpoint = refusing_endpoint(net);
	char text[ENDPOINT_TEXT_BYTES];
	struct connector connector;
	struct listener listener;

	init_connector(net, &connector, &endpoint, 1);
	connector.pace.retry_max_ms = 1;
	connector_start(&connector);
	for (int i = 0; i < ROUNDS; i++) {
		run_until(net, connector.state == CONNECTOR_CONNECTING);
		run_until(net, connector.state == CONNECTOR_WAITING);
	}
	assert_int_equal(net->told_connecting, 1);
	assert_int_equal(net->told_failed, 1);
	assert_int_equal(net->more_failed, 0);
	endpoint_print(text, sizeof(text), &endpoint);
	open_listener(net, &listener, text);
	run_until(net, net->connected == 1);
	assert_int_equal(net->more_failed, ROUNDS - 1);
	listener_close(&listener);
	connector_lost(&connector);
	run_until(net, net->told_failed == 2);
	assert_int_equal(net->told_connecting, 2);
	assert_int_equal(net->more_failed, ROUNDS - 1);
	connector_stop(&connector);
}

static void connector_gives_up_on_a_silent_peer(void **state)
{
	struct net *net = *state;
	struct endpoint endpoint = parsed("tcp:127.0.0.1:0");
	struct connector connector;
	char text[ENDPOINT_TEXT_BYTES];
	struct listen_sockets sockets;
	int listening_fd, fd;

	/* A full queue: the kernel drops what else wants to connect. */
	assert_int_equal(listen_sockets_open(&endpoint, 0, NULL, &sockets, NULL), 0);
	listening_fd = sockets.list[0].fd;
	endpoint_print_local(text, sizeof(text), listening_fd);
	endpoint = parsed(text);
	fd = connect_to(text);
	wait_for_backlog(listening_fd, 1);
	init_connector(net, &connector, &endpoint, 1);
	connector.pace.connect_timeout_ms = 30;
	connector_start(&connector);
	run_until(net, connector.state == CONNECTOR_CONNECTING);
	run_until(net, connector.state == CONNECTOR_WAITING);
	assert_int_equal(net->connected, 0);
	connector_stop(&connector);
	fd_close(&fd);
	fd_close(&listening_fd);
}

static void connector_stops_at_any_point(void **state)
{
	struct net *net = *state;
	struct endpoint endpoints[] = {refusing_endpoint(net), parsed("tcp:localhost:1"),
				       parsed(unix_name())};
	struct listener listener;

	open_listener(net, &listener, unix_name());
	for (int turns = 0; turns < 8; turns++) {
		struct connector connector;

		init_connector(net, &connector, endpoints, ARRAY_LEN(endpoints));
		connector_start(&connector);
		for (int i = 0; i < turns; i++)
			ev_run(net->loop, EVRUN_NOWAIT);
		connector_stop(&connector);
		memset(&connector, 0xee, sizeof(connector)); /* whoever still looks here crashes */
		ev_run(net->loop, EVRUN_NOWAIT);
	}
	listener_close(&listener);
}

static void connector_may_be_called_by_its_owner(void **state)
{
	struct net *net = *state;
	struct endpoint endpoints[] = {parsed(unix_name()), parsed(unix_name())};
	struct listener listener;
	struct connector connector;

	open_listener(net, &listener, unix_name());
	init_connector(net, &connector, endpoints, ARRAY_LEN(endpoints));
	net->lose_on_connected = true;
	connector_start(&connector);
	/* did not settle: the next one, then the pause */
	run_until(net, net->connected == 2);
	assert_int_equal(net->index, 1);
	assert_int_equal(connector.state, CONNECTOR_WAITING);
	assert_in_range(ev_timer_remaining(net->loop, &connector.pause_over) * 1000.0, 450, 1000);

	net->stop_on_connected = true;
	run_until(net, net->connected == 3);
	assert_int_equal(connector.state, CONNECTOR_STOPPED);
	listener_close(&listener);
}

static void connector_returns_to_the_better_endpoint(void **state)
{
	struct net *net = *state;
	struct endpoint endpoints[] = {refusing_endpoint(net), refusing_endpoint(net),
				       refusing_endpoint(net)};
	char better[ENDPOINT_TEXT_BYTES], worst[ENDPOINT_TEXT_BYTES];
	struct listener last, first;
	struct connector connector;

	endpoint_print(worst, sizeof(worst), &endpoints[2]);
	open_listener(net, &last, worst);
	endpoint_print(better, sizeof(better), &endpoints[0]);
	init_connector(net, &connector, endpoints, ARRAY_LEN(endpoints));
	connector.pace.probe_ms = 2;
	connector_start(&connector);
	run_until(net, net->connected == 1);
	assert_int_equal(net->index, 2);

	open_listener(net, &first, better);
	run_until(net, net->better == 1);
	assert_int_equal(net->index, 0);
	run_until(net, first.counters.accepted == 3); /* the third probe is the connection */
	assert_int_equal(connector.state, CONNECTOR_CONNECTED);
	assert_false(ev_is_active(&connector.pause_over)); /* nothing better to look for */

	/* It did not settle: on to the next, and it must prove itself for longer. */
	listener_close(&last);
	connector_lost(&connector);
	assert_int_equal(connector.probes_needed, 6);
	run_until(net, net->connected == 2);
	assert_int_equal(net->index, 0);
	connector_stop(&connector);
	listener_close(&first);
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
		TEST(resolver_answers_from_the_loop),
		TEST(resolver_tells_why_there_is_no_address),
		TEST(resolver_cancelled_never_answers),
		TEST(sockopt_sets_what_it_is_given),
		TEST(sockopt_spares_unix_sockets),
		TEST(connector_connects_and_comes_back),
		TEST(connector_connects_to_names_and_paths),
		TEST(connector_backs_off_after_a_round),
		TEST(connector_tells_little_and_sums_up),
		TEST(connector_gives_up_on_a_silent_peer),
		TEST(connector_stops_at_any_point),
		TEST(connector_may_be_called_by_its_owner),
		TEST(connector_returns_to_the_better_endpoint),
	};

	fds_at_start = count_fds();
	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
