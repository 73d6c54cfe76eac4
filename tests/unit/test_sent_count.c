// SPDX-License-Identifier: MIT
/*
 * How many bytes a TCP socket got, as the kernel counts them: exactly those that were written, at
 * any time, over IPv4 and IPv6; and what ends the count.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "net/sent_count.h"
#include "tests/unit/leave_out.h"

struct pair {
	int server, client;
};

static const int families[] = {AF_INET, AF_INET6};

// How many of `families` have a loopback address here.
static size_t families_here(void)
{
	struct sockaddr_in6 loopback = {.sin6_family = AF_INET6,
					.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_here = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) == 0;

	if (!is_here)
		leave_out_part("no IPv6 on the loopback interface: %s", strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return is_here ? 2 : 1;
}

static struct pair connect_pair(int family, int receive_bytes)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr *address =
		family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	socklen_t bytes = family == AF_INET ? sizeof(v4) : sizeof(v6);
	int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pair pair = {.client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};

	assert_int_equal(bind(listener, address, bytes), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, address, &bytes), 0);
	if (receive_bytes)
		assert_int_equal(setsockopt(pair.client, SOL_SOCKET, SO_RCVBUF, &receive_bytes,
					    sizeof(receive_bytes)),
				 0);
	assert_int_equal(connect(pair.client, address, bytes), 0);
	pair.server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(pair.server >= 0);
	(void)close(listener);
	return pair;
}

static void close_pair(struct pair *pair)
{
	(void)close(pair->server);
	(void)close(pair->client);
}

static uint64_t count(int fd)
{
	uint64_t ret = 0;

	assert_int_equal(sent_count(fd, &ret), 0);
	return ret;
}

// What the socket takes of so many bytes, in pieces of `piece`.
static uint64_t fill(int fd, size_t bytes, size_t piece)
{
	static const uint8_t zeros[1 << 20];
	uint64_t sent = 0;

	while (sent < bytes) {
		ssize_t put = send(fd, zeros, size_min(piece, bytes - sent), MSG_NOSIGNAL);

		if (put < 0)
			break;
		sent += (uint64_t)put;
	}
	return sent;
}

static void drain(int fd, uint64_t bytes)
{
	uint8_t taken[64 * 1024];

	while (bytes) {
		ssize_t got = recv(fd, taken, size_min(sizeof(taken), bytes), 0);

		assert_true(got > 0);
		bytes -= (uint64_t)got;
	}
}

static void counts_what_was_written(void **state)
{
	(void)state;
	for (size_t i = 0, count_here = families_here(); i < count_here; i++) {
		struct pair pair = connect_pair(families[i], 0);
		uint64_t before = count(pair.server), sent = 0;

		for (size_t bytes = 1; bytes < 1 << 20; bytes = bytes * 3 + 1) {
			uint64_t put = fill(pair.server, bytes, 1448);

			sent += put;
			assert_int_equal(count(pair.server) - before, sent);
			drain(pair.client, put);
			assert_int_equal(count(pair.server) - before, sent);
		}
		close_pair(&pair);
	}
}

static void counts_behind_a_closed_window(void **state)
{
	(void)state;
	for (size_t i = 0, count_here = families_here(); i < count_here; i++) {
		struct pair pair = connect_pair(families[i], 4096);
		uint64_t before = count(pair.server);
		uint64_t sent = fill(pair.server, SIZE_MAX, 1 << 20);

		assert_true(sent > 4096);
		assert_int_equal(count(pair.server) - before, sent);
		drain(pair.client, 1000);
		sent += fill(pair.server, SIZE_MAX, 10);
		assert_int_equal(count(pair.server) - before, sent);
		close_pair(&pair);
	}
}

static void counts_after_the_peer_has_sent(void **state)
{
	(void)state;
	for (size_t i = 0, count_here = families_here(); i < count_here; i++) {
		struct pair pair = connect_pair(families[i], 0);
		uint64_t before = count(pair.server), sent;
		struct pollfd readable = {.fd = pair.server, .events = POLLRDHUP};

		assert_int_equal(fill(pair.client, 5000, 100), 5000);
		sent = fill(pair.server, 300000, 70000);
		assert_int_equal(count(pair.server) - before, sent);
		assert_int_equal(shutdown(pair.client, SHUT_WR), 0);
		assert_int_equal(poll(&readable, 1, -1), 1);
		assert_int_equal(count(pair.server) - before, sent);
		sent += fill(pair.server, 1000, 1000);
		assert_int_equal(count(pair.server) - before, sent);
		drain(pair.client, sent);
		assert_int_equal(count(pair.server) - before, sent);
		close_pair(&pair);
	}
}

static void counts_what_was_spliced(void **state)
{
	(void)state;
	for (size_t i = 0, count_here = families_here(); i < count_here; i++) {
		struct pair pair = connect_pair(families[i], 0);
		uint64_t before = count(pair.server), sent = 0;
		static const uint8_t bytes[40000];
		int ends[2];
		ssize_t put;

		assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
		for (;;) {
			assert_int_equal(write(ends[1], bytes, sizeof(bytes)), sizeof(bytes));
			put = splice(ends[0], NULL, pair.server, NULL, sizeof(bytes),
				     SPLICE_F_NONBLOCK);
			sent += put > 0 ? (uint64_t)put : 0;
			assert_int_equal(count(pair.server) - before, sent);
			if (put != sizeof(bytes))
				break;
		}
		drain(pair.client, sent);
		assert_int_equal(count(pair.server) - before, sent);
		(void)close(ends[0]);
		(void)close(ends[1]);
		close_pair(&pair);
	}
}

struct reading {
	int fd;
	_Atomic bool is_done;
};

static void *read_on(void *data)
{
	struct reading *reading = data;
	uint8_t taken[5000];

	while (recv(reading->fd, taken, sizeof(taken), 0) > 0)
		;
	return NULL;
}

// Acknowledgements come in while it counts.
static void counts_while_the_peer_reads(void **state)
{
	(void)state;
	for (size_t i = 0, count_here = families_here(); i < count_here; i++) {
		struct pair pair = connect_pair(families[i], 0);
		struct reading reading = {.fd = pair.client};
		uint64_t before = count(pair.server), sent = 0;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, read_on, &reading), 0);
		for (int round = 0; round < 3000; round++) {
			sent += fill(pair.server, 50000, 7000);
			assert_int_equal(count(pair.server) - before, sent);
		}
		assert_int_equal(shutdown(pair.server, SHUT_WR), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		close_pair(&pair);
	}
}

static void an_ended_connection_has_no_count(void **state)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	(void)state;
	for (size_t i = 0, count_here = families_here(); i < count_here; i++) {
		struct pair pair = connect_pair(families[i], 0);
		struct pollfd ended = {.fd = pair.server, .events = POLLIN};
		uint64_t none = 0;

		assert_true(fill(pair.server, 10000, 10000) == 10000);
		assert_int_equal(
			setsockopt(pair.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
		(void)close(pair.client);
		assert_int_equal(poll(&ended, 1, -1), 1);
		assert_int_equal(sent_count(pair.server, &none), -ENOTCONN);
		(void)close(pair.server);
	}
}

static void other_sockets_have_no_count(void **state)
{
	uint64_t none = 0;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(sent_count(ends[0], &none), -EOPNOTSUPP);
	(void)close(ends[0]);
	(void)close(ends[1]);
	assert_int_equal(sent_count(-1, &none), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_what_was_written),
		cmocka_unit_test(counts_behind_a_closed_window),
		cmocka_unit_test(counts_after_the_peer_has_sent),
		cmocka_unit_test(counts_what_was_spliced),
		cmocka_unit_test(counts_while_the_peer_reads),
		cmocka_unit_test(an_ended_connection_has_no_count),
		cmocka_unit_test(other_sockets_have_no_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
