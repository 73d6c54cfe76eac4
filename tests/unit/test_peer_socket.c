// SPDX-License-Identifier: MIT
/*
 * net/peer_socket.c: descriptors that a peer sends.  Their closing shows at the other end of a
 * pipe, which comes to its end then; that nobody waits for it shows with a TCP socket that lingers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "net/fd_message.h"
#include "net/peer_socket.h"
#include "tests/unit/fd_count.h"
#include "tests/unit/leave_out.h"
#include "tests/unit/tcp_pair.h"

enum {
	LINGER_S = 1000, // longer than a test may last
};

struct pair {
	int relay, peer;
	int pipe[2];
	int fds_at_start;
};

static struct pair begin(void)
{
	struct pair pair = {.fds_at_start = count_fds()};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends),
			 0);
	pair.relay = ends[0];
	pair.peer = ends[1];
	assert_int_equal(pipe2(pair.pipe, O_CLOEXEC), 0);
	return pair;
}

static void end(struct pair *pair)
{
	fd_close(&pair->peer);
	fd_close(&pair->pipe[0]);
	fd_close(&pair->pipe[1]);
	peer_socket_close(&pair->relay);
	assert_int_equal(pair->relay, -1);
	assert_int_equal(await_fds(pair->fds_at_start), pair->fds_at_start);
}

static int give(const struct pair *pair, const int *fds, size_t count)
{
	char letter = 'x';
	struct iovec piece = {.iov_base = &letter, .iov_len = sizeof(letter)};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

	return fd_message_send(pair->peer, &message, fds, count, MSG_NOSIGNAL);
}

// Nobody has its writing end any more.
static void await_end(struct pair *pair)
{
	struct pollfd end = {.fd = pair->pipe[0], .events = POLLIN};

	fd_close(&pair->pipe[1]);
	assert_int_equal(poll(&end, 1, -1), 1);
	assert_true(end.revents & POLLHUP);
}

static void bytes_come_as_they_are(void **state)
{
	struct pair pair = begin();
	char bytes[8] = "";

	(void)state;
	assert_int_equal(send(pair.peer, "hello", 5, 0), 5);
	assert_int_equal(peer_socket_receive(pair.relay, bytes, 2, 0), 2);
	assert_int_equal(peer_socket_receive(pair.relay, bytes + 2, 6, MSG_DONTWAIT), 3);
	assert_string_equal(bytes, "hello");
	assert_int_equal(peer_socket_receive(pair.relay, bytes, 8, 0), -1);
	assert_int_equal(errno, EAGAIN);
	fd_close(&pair.peer);
	assert_int_equal(peer_socket_receive(pair.relay, bytes, 8, 0), 0);
	end(&pair);
}

static void descriptors_are_an_error_and_closed(void **state)
{
	struct pair pair = begin();
	int many[FD_MESSAGE_MAX];
	char bytes[8];

	(void)state;
	for (size_t i = 0; i < FD_MESSAGE_MAX; i++)
		many[i] = pair.pipe[1];
	assert_int_equal(send(pair.peer, "before", 6, 0), 6);
	assert_int_equal(give(&pair, many, FD_MESSAGE_MAX), 0);
	assert_true(peer_socket_may_have_descriptors(pair.relay));
	assert_int_equal(peer_socket_receive(pair.relay, bytes, 6, 0), 6);
	assert_int_equal(peer_socket_receive(pair.relay, bytes, 8, 0), -1);
	assert_int_equal(errno, EPROTO);
	await_end(&pair);
	end(&pair);
}

static void what_is_queued_is_closed_with_the_socket(void **state)
{
	struct pair pair = begin();

	(void)state;
	assert_int_equal(give(&pair, &pair.pipe[1], 1), 0);
	peer_socket_close(&pair.relay);
	assert_int_equal(pair.relay, -1);
	await_end(&pair);
	end(&pair);
}

// A TCP socket whose peer does not read, and that waits for it when it is closed.
static int make_lingering(int *ret_peer)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = LINGER_S};
	const struct tcp_pair pair = tcp_pair_open(0);
	static const char junk[65536];

	*ret_peer = pair.accepted;
	while (send(pair.connected, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(setsockopt(pair.connected, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
			 0);
	return pair.connected;
}

// Both would last longer than the test may: the receiving, and the closing with one more queued.
static void nobody_waits_for_one_that_lingers(void **state)
{
	struct pair pair = begin();
	int peers[2], fds[2];
	char byte;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		fds[i] = make_lingering(&peers[i]);
		assert_int_equal(give(&pair, &fds[i], 1), 0);
		assert_int_equal(close(fds[i]), 0);
	}
	assert_int_equal(peer_socket_receive(pair.relay, &byte, 1, 0), -1);
	assert_int_equal(errno, EPROTO);
	peer_socket_close(&pair.relay);
	/* Now the thread that closes comes to its end. */
	for (size_t i = 0; i < 2; i++)
		fd_close(&peers[i]);
	end(&pair);
}

static void who_is_refused_gets_an_error(void **state)
{
	struct pair pair = begin();

	(void)state;
	peer_socket_refuse_descriptors(pair.relay);
	if (peer_socket_may_have_descriptors(pair.relay)) {
		end(&pair);
		leave_out("SO_PASSRIGHTS needs Linux 6.16");
	}
	assert_int_equal(give(&pair, &pair.pipe[1], 1), -EPERM);
	assert_int_equal(send(pair.peer, "x", 1, 0), 1);
	end(&pair);
}

static void only_unix_sockets_have_descriptors(void **state)
{
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	peer_socket_refuse_descriptors(tcp);
	peer_socket_refuse_descriptors(ends[0]);
	assert_false(peer_socket_may_have_descriptors(tcp));
	assert_false(peer_socket_may_have_descriptors(ends[0]));
	assert_false(peer_socket_may_have_descriptors(-1));
	peer_socket_close(&tcp);
	assert_int_equal(tcp, -1);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_as_they_are),
		cmocka_unit_test(descriptors_are_an_error_and_closed),
		cmocka_unit_test(what_is_queued_is_closed_with_the_socket),
		cmocka_unit_test(nobody_waits_for_one_that_lingers),
		cmocka_unit_test(who_is_refused_gets_an_error),
		cmocka_unit_test(only_unix_sockets_have_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
