// SPDX-License-Identifier: MIT
/* What is there is looked at behind the open, so that it is the same thing. */
#include "source/open_path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"

static int open_path(const char *kind, const char *path, int *ret_fd, struct stat *ret_stat,
		     struct errmsg *err)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, ret_stat) < 0) {
		int r = -errno;

		errmsg_errno(err, -r, "%s:%s", kind, path);
		fd_close(&fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int open_fifo(const char *path, int *ret_fd, struct errmsg *err)
{
	struct stat stat;
	int r = open_path("fifo", path, ret_fd, &stat, err);

	if (r < 0 || S_ISFIFO(stat.st_mode))
		return r;
	errmsg_set(err, "fifo:%s: not a fifo", path);
	fd_close(ret_fd);
	return -EINVAL;
}

int open_regular(const char *path, int *ret_fd, uint64_t *ret_bytes, struct errmsg *err)
{
	struct stat stat;
	int r = open_path("file", path, ret_fd, &stat, err);

	if (r < 0)
		return r;
	*ret_bytes = (uint64_t)stat.st_size;
	if (S_ISREG(stat.st_mode))
		return 0;
	errmsg_set(err, "file:%s: not a regular file", path);
	fd_close(ret_fd);
	return -EINVAL;
}
