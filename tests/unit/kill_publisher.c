// SPDX-License-Identifier: MIT
/* The kernel knows how many bytes a TCP socket has received, and how many of them nobody
 * has taken yet. */
#include "tests/unit/kill_publisher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/sockopt.h"

static uint64_t count_taken(int fd)
{
	struct tcp_info info = {0};
	uint64_t before;
	int unread;

	do { // more may arrive meanwhile
		socklen_t bytes = sizeof(info);

		before = info.tcpi_bytes_received;
		assert_int_equal(ioctl(fd, FIONREAD, &unread), 0);
		assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
	} while (info.tcpi_bytes_received != before);
	return before - (uint64_t)unread;
}

bool kill_check_publisher(const struct part_record *part, int fd, uint64_t end_pos)
{
	uint64_t sum = atomic_load(&part->source_sum);

	if (sum == 0)
		return false;
	assert_int_equal(sum, part_source_sum(part));
	assert_int_equal(part->source_fd, fd);
	assert_true(sockopt_has_cookie(fd, part->source_cookie));
	assert_int_equal(count_taken(fd), end_pos);
	return true;
}
