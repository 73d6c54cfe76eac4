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

/* For reading only, so that who writes there gets an error. Where there is no /dev/null, a mere
 * place (O_PATH, open(2)): it can neither be read nor written. */
void fd_hold_standard(void)
{
	for (int want = STDIN_FILENO; want <= STDERR_FILENO; want++) {
		if (fcntl(want, F_GETFD) >= 0)
			continue;
		/* It gets the lowest number that is free (open(2)). */
		if (open("/dev/null", O_RDONLY) < 0)
			(void)open("/", O_PATH | O_DIRECTORY);
	}
}

int fd_limit(uint64_t *ret_soft_raised)
{
	struct rlimit limit;
	rlim_t soft;

	*ret_soft_raised = FD_LIMIT_UNKNOWN;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	soft = limit.rlim_cur;
	*ret_soft_raised = soft;
	if (soft >= limit.rlim_max)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	*ret_soft_raised = limit.rlim_cur;
	return 0;
}
