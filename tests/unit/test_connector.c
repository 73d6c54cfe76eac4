// SPDX-License-Identifier: MIT
/* net/connector.c with a real loop and loopback sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "net/connector.h"
#include "tests/unit/net_rig.h"

#define MAX_HELD 4

struct rig {
	struct net_rig net;
	struct connector *connector; /* what on_connected may touch */
	bool lose_on_connected, stop_on_connected;
	int connected, better; /* how often */
	int fd;                /* the last one, -1: none */
	size_t index;
	int told_connecting, told_failed;
	uint64_t more_failed;
	int held[MAX_HELD]; /* of refusing_endpoint() */
	int held_count;
};

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	net_rig_open(&rig->net);
	rig->fd = -1;
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	while (rig->held_count > 0)
		fd_close(&rig->held[--rig->held_count]);
	fd_close(&rig->fd);
	net_rig_close(&rig->net);
	free(rig);
	return 0;
}

/* An abstract unix name that no other run of this test has. */
static const char *unix_name(void)
{
	static char text[64];

	snprintf(text, sizeof(text), "unix:@relay-test-net-%d", getpid());
	return text;
}

static void on_connected(void *owner, int fd, size_t index)
{
	struct rig *rig = owner;

	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	rig->connected++;
	fd_close(&rig->fd);
	rig->fd = fd;
	rig->index = index;
	if (rig->lose_on_connected)
		connector_lost(rig->connector);
	if (rig->stop_on_connected)
		connector_stop(rig->connector);
}

static void on_better(void *owner, int fd, size_t index)
{
	struct rig *rig = owner;

	rig->better++;
	fd_close(&rig->fd);
	rig->fd = fd;
	rig->index = index;
}

static void on_connecting(void *owner, size_t index)
{
	struct rig *rig = owner;

	(void)index;
	rig->told_connecting++;
}

static void on_failed(void *owner, size_t index, const char *error, uint64_t suppressed)
{
	struct rig *rig = owner;

	(void)index;
	assert_int_equal(suppressed, 0);
	assert_true(*error);
	rig->told_failed++;
}

static void on_more_failed(void *owner, size_t index, uint64_t suppressed)
{
	struct rig *rig = owner;

	(void)index;
	assert_true(suppressed > 0);
	rig->more_failed += suppressed;
}

static const struct connector_events events = {
	.on_connected = on_connected,
	.on_better = on_better,
	.on_connecting = on_connecting,
	.on_failed = on_failed,
	.on_more_failed = on_more_failed,
};

static void init_connector(struct rig *rig, struct connector *connector,
			   const struct endpoint *endpoints, size_t count)
{
	rig->connector = connector;
	connector_init(connector, rig->net.loop, endpoints, count, &events, rig);
}

/* An address on which nobody listens.  Its port is held until the end of the test, so that nobody
 * else is given it; with SO_REUSEADDR, so that the test may listen there after all. */
static struct endpoint refusing_endpoint(struct rig *rig)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	char text[ENDPOINT_TEXT_BYTES];

	assert_true(fd >= 0 && rig->held_count < MAX_HELD);
	rig->held[rig->held_count++] = fd;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	endpoint_print_local(text, sizeof(text), fd);
	return parsed(text);
}

static void connector_connects_and_comes_back(void **state)
{
	struct rig *rig = *state;
	struct listener listener;
	struct connector connector;
	struct endpoint endpoint;

	net_rig_listen(&rig->net, &listener, "tcp:127.0.0.1:0");
	endpoint = parsed(listener_address(&listener));
	init_connector(rig, &connector, &endpoint, 1);
	connector.pace.settled_ms = 0;
	connector_start(&connector);
	connector_start(&connector);
	assert_int_equal(rig->connected, 0); /* not from inside */
	run_until(&rig->net, rig->connected == 1 && rig->net.peer_count == 1);

	connector_lost(&connector);
	connector_lost(&connector); /* ignored: there is none any more */
	assert_int_equal(rig->connected, 1);
	run_until(&rig->net, rig->connected == 2 && rig->net.peer_count == 2);

	connector_stop(&connector);
	connector_stop(&connector);
	connector_lost(&connector);
	assert_int_equal(connector.state, CONNECTOR_STOPPED);
	assert_true(fcntl(rig->fd, F_GETFD) >= 0); /* the owner keeps it */

	connector_start(&connector);
	run_until(&rig->net, rig->connected == 3);
	connector_stop(&connector);
	listener_close(&listener);
}

static void connector_connects_to_names_and_paths(void **state)
{
	const char *const texts[] = {"tcp:localhost:0", unix_name()};
	struct rig *rig = *state;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct listener listener;
		struct connector connector;
		struct endpoint endpoint = parsed(texts[i]);

		net_rig_listen(&rig->net, &listener, texts[i]);
		if (endpoint.kind == ENDPOINT_TCP)
			memcpy(endpoint.port, parsed(listener_address(&listener)).port,
			       sizeof(endpoint.port));
		init_connector(rig, &connector, &endpoint, 1);
		connector_start(&connector);
		run_until(&rig->net, rig->connected == (int)i + 1);
		connector_stop(&connector);
		listener_close(&listener);
	}
}

static void connector_backs_off_after_a_round(void **state)
{
	struct rig *rig = *state;
	struct endpoint endpoints[] = {refusing_endpoint(rig), parsed("unix:/nonexistent/s"),
				       refusing_endpoint(rig)};
	struct connector connector;

	init_connector(rig, &connector, endpoints, ARRAY_LEN(endpoints));
	connector_start(&connector);
	run_until(&rig->net, connector.state == CONNECTOR_CONNECTING);
	run_until(&rig->net, connector.state == CONNECTOR_WAITING);
	assert_in_range(ev_timer_remaining(rig->net.loop, &connector.pause_over) * 1000.0, 450,
			1000);
	run_until(&rig->net, connector.state == CONNECTOR_CONNECTING);
	run_until(&rig->net, connector.state == CONNECTOR_WAITING);
	assert_in_range(ev_timer_remaining(rig->net.loop, &connector.pause_over) * 1000.0, 950,
			2000);
	assert_int_equal(rig->connected, 0);
	connector_stop(&connector);
}

/* One that stays away is two lines, and one with the sum when it is back; then it is news again. */
static void connector_tells_little_and_sums_up(void **state)
{
	enum {
		ROUNDS = 5
	};
	struct rig *rig = *state;
	struct endpoint endpoint = refusing_endpoint(rig);
	char text[ENDPOINT_TEXT_BYTES];
	struct connector connector;
	struct listener listener;

	init_connector(rig, &connector, &endpoint, 1);
	connector.pace.retry_max_ms = 1;
	connector_start(&connector);
	for (int i = 0; i < ROUNDS; i++) {
		run_until(&rig->net, connector.state == CONNECTOR_CONNECTING);
		run_until(&rig->net, connector.state == CONNECTOR_WAITING);
	}
	assert_int_equal(rig->told_connecting, 1);
	assert_int_equal(rig->told_failed, 1);
	assert_int_equal(rig->more_failed, 0);
	endpoint_print(text, sizeof(text), &endpoint);
	net_rig_listen(&rig->net, &listener, text);
	run_until(&rig->net, rig->connected == 1);
	assert_int_equal(rig->more_failed, ROUNDS - 1);
	listener_close(&listener);
	connector_lost(&connector);
	run_until(&rig->net, rig->told_failed == 2);
	assert_int_equal(rig->told_connecting, 2);
	assert_int_equal(rig->more_failed, ROUNDS - 1);
	connector_stop(&connector);
}

static void connector_gives_up_on_a_silent_peer(void **state)
{
	struct rig *rig = *state;
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
	fd = net_rig_connect(text);
	net_rig_wait_for_backlog(listening_fd, 1);
	init_connector(rig, &connector, &endpoint, 1);
	connector.pace.connect_timeout_ms = 30;
	connector_start(&connector);
	run_until(&rig->net, connector.state == CONNECTOR_CONNECTING);
	run_until(&rig->net, connector.state == CONNECTOR_WAITING);
	assert_int_equal(rig->connected, 0);
	connector_stop(&connector);
	fd_close(&fd);
	fd_close(&listening_fd);
}

static void connector_stops_at_any_point(void **state)
{
	struct rig *rig = *state;
	struct endpoint endpoints[] = {refusing_endpoint(rig), parsed("tcp:localhost:1"),
				       parsed(unix_name())};
	struct listener listener;

	net_rig_listen(&rig->net, &listener, unix_name());
	for (int turns = 0; turns < 8; turns++) {
		struct connector connector;

		init_connector(rig, &connector, endpoints, ARRAY_LEN(endpoints));
		connector_start(&connector);
		for (int i = 0; i < turns; i++)
			ev_run(rig->net.loop, EVRUN_NOWAIT);
		connector_stop(&connector);
		memset(&connector, 0xee, sizeof(connector)); /* whoever still looks here crashes */
		ev_run(rig->net.loop, EVRUN_NOWAIT);
	}
	listener_close(&listener);
}

static void connector_may_be_called_by_its_owner(void **state)
{
	struct rig *rig = *state;
	struct endpoint endpoints[] = {parsed(unix_name()), parsed(unix_name())};
	struct listener listener;
	struct connector connector;

	net_rig_listen(&rig->net, &listener, unix_name());
	init_connector(rig, &connector, endpoints, ARRAY_LEN(endpoints));
	rig->lose_on_connected = true;
	connector_start(&connector);
	/* did not settle: the next one, then the pause */
	run_until(&rig->net, rig->connected == 2);
	assert_int_equal(rig->index, 1);
	assert_int_equal(connector.state, CONNECTOR_WAITING);
	assert_in_range(ev_timer_remaining(rig->net.loop, &connector.pause_over) * 1000.0, 450,
			1000);

	rig->stop_on_connected = true;
	run_until(&rig->net, rig->connected == 3);
	assert_int_equal(connector.state, CONNECTOR_STOPPED);
	listener_close(&listener);
}

static void connector_returns_to_the_better_endpoint(void **state)
{
	struct rig *rig = *state;
	struct endpoint endpoints[] = {refusing_endpoint(rig), refusing_endpoint(rig),
				       refusing_endpoint(rig)};
	char better[ENDPOINT_TEXT_BYTES], worst[ENDPOINT_TEXT_BYTES];
	struct listener last, first;
	struct connector connector;

	endpoint_print(worst, sizeof(worst), &endpoints[2]);
	net_rig_listen(&rig->net, &last, worst);
	endpoint_print(better, sizeof(better), &endpoints[0]);
	init_connector(rig, &connector, endpoints, ARRAY_LEN(endpoints));
	connector.pace.probe_ms = 2;
	connector_start(&connector);
	run_until(&rig->net, rig->connected == 1);
	assert_int_equal(rig->index, 2);

	net_rig_listen(&rig->net, &first, better);
	run_until(&rig->net, rig->better == 1);
	assert_int_equal(rig->index, 0);
	run_until(&rig->net, first.counters.accepted == 3); /* the third probe is the connection */
	assert_int_equal(connector.state, CONNECTOR_CONNECTED);
	assert_false(ev_is_active(&connector.pause_over)); /* nothing better to look for */

	/* It did not settle: on to the next, and it must prove itself for longer. */
	listener_close(&last);
	connector_lost(&connector);
	assert_int_equal(connector.probes_needed, 6);
	run_until(&rig->net, rig->connected == 2);
	assert_int_equal(rig->index, 0);
	connector_stop(&connector);
	listener_close(&first);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(connector_connects_and_comes_back),
		TEST(connector_connects_to_names_and_paths),
		TEST(connector_backs_off_after_a_round),
		TEST(connector_tells_little_and_sums_up),
		TEST(connector_gives_up_on_a_silent_peer),
		TEST(connector_stops_at_any_point),
		TEST(connector_may_be_called_by_its_owner),
		TEST(connector_returns_to_the_better_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
