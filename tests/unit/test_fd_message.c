// SPDX-License-Identifier: MIT
/* net/fd_message.c between the two ends of a unix socket; and what sockopt.c says of cookies and of
 * closing by reset. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "net/fd_message.h"
#include "net/sockopt.h"
#include "tests/unit/fd_count.h"

static bool is_same_file(int a, int b)
{
	struct stat one, other;

	return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_ino == other.st_ino;
}

static void as_many_as_there_may_be_arrive_in_order(void **state)
{
	int pair[2], pipes[2], sent[FD_MESSAGE_MAX], got[FD_MESSAGE_MAX];
	char letter = 'x';
	struct iovec piece = {.iov_base = &letter, .iov_len = sizeof(letter)};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	size_t count = 0;
	int before = count_fds();

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe(pipes), 0);
	for (size_t i = 0; i < ARRAY_LEN(sent); i++)
		sent[i] = pair[i % 2];
	sent[7] = pipes[0];
	assert_int_equal(fd_message_send(pair[0], &message, sent, ARRAY_LEN(sent), 0), 0);
	letter = '-';
	assert_int_equal(fd_message_receive(pair[1], &message, got, &count, MSG_DONTWAIT), 1);
	assert_int_equal(letter, 'x');
	assert_int_equal(count, ARRAY_LEN(sent));
	for (size_t i = 0; i < count; i++) {
		assert_true(is_same_file(got[i], sent[i]));
		assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
		fd_close(&got[i]);
	}
	assert_int_equal(fd_message_receive(pair[1], &message, got, &count, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(count, 0);
	for (size_t i = 0; i < ARRAY_LEN(pair); i++) {
		fd_close(&pair[i]);
		fd_close(&pipes[i]);
	}
	assert_int_equal(count_fds(), before);
}

static void a_message_without_descriptors_brings_none(void **state)
{
	int pair[2], got[FD_MESSAGE_MAX];
	char letter = '-';
	struct iovec piece = {.iov_base = &letter, .iov_len = sizeof(letter)};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	size_t count = 1;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(send(pair[0], "y", 1, 0), 1);
	assert_int_equal(fd_message_receive(pair[1], &message, got, &count, 0), 1);
	assert_int_equal(letter, 'y');
	assert_int_equal(count, 0);
	fd_close(&pair[0]);
	assert_int_equal(fd_message_receive(pair[1], &message, got, &count, 0), 0);
	fd_close(&pair[1]);
}

static void a_number_that_is_used_again_has_another_cookie(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), again;
	uint64_t cookie = 0;

	(void)state;
	assert_int_equal(sockopt_cookie(fd, &cookie), 0);
	assert_true(sockopt_has_cookie(fd, cookie));
	assert_false(sockopt_has_cookie(-1, cookie));
	assert_int_equal(close(fd), 0);
	again = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(again, fd);
	assert_false(sockopt_has_cookie(again, cookie));
	fd_close(&again);
	assert_int_equal(sockopt_cookie(-1, &cookie), -EBADF);
}

static void closing_by_reset_is_set_and_cleared(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct linger linger = {.l_onoff = 0};
	socklen_t bytes = sizeof(linger);

	(void)state;
	sockopt_set_reset_on_close(fd);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &bytes), 0);
	assert_true(linger.l_onoff);
	assert_int_equal(linger.l_linger, 0);
	sockopt_clear_reset_on_close(fd);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &bytes), 0);
	assert_false(linger.l_onoff);
	fd_close(&fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_as_there_may_be_arrive_in_order),
		cmocka_unit_test(a_message_without_descriptors_brings_none),
		cmocka_unit_test(a_number_that_is_used_again_has_another_cookie),
		cmocka_unit_test(closing_by_reset_is_set_and_cleared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
