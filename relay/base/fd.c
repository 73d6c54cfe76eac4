// SPDX-License-Identifier: MIT
/*
 * File descriptors: closing them once, making them non-blocking, and how many there may be.
 * A failed close(2) is not tried again: on Linux the descriptor is gone all the same, and another
 * thread may already have got its number.
 */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

void fd_close(int *fd)
{
	int saved_errno = errno;

	if (!fd || *fd < 0)
		return;
	close(*fd);
	*fd = -1;
	errno = saved_errno;
}

int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

int fd_limit(uint64_t *ret_soft_raised)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			return -errno;
	}
	*ret_soft_raised = limit.rlim_cur;
	return 0;
}
