// SPDX-License-Identifier: MIT
/* net/sockopt.c: what is set is what was given, and what has no such option is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/errmsg.h"
#include "base/fd.h"
#include "net/sockopt.h"
#include "tests/unit/fd_count.h"

static int set_up(void **state)
{
	*state = (void *)(intptr_t)count_fds();
	return 0;
}

static int tear_down(void **state)
{
	assert_int_equal(count_fds(), (int)(intptr_t)*state);
	return 0;
}

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

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sockopt_sets_what_it_is_given),
		TEST(sockopt_spares_unix_sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
