// SPDX-License-Identifier: MIT
/*
 * Opening pipes of a verified size, and closing them.
 *
 * The one place that calls pipe2(2) and F_SETPIPE_SZ.  An unprivileged user whose pipes use up the
 * quota still gets pipes, but of two slots and without an error: everything that assumes equal
 * sizes would then go wrong far from here, so the size is asked for again and checked.
 */
#include "pipe/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/fd.h"

// 0 and *ret_slots, or -errno.
static int resize_to_slots(int fd, unsigned slots, unsigned *ret_slots)
{
	const unsigned long slot_bytes = (unsigned long)sysconf(_SC_PAGESIZE);

	if (slots == 0 || slots > INT_MAX / slot_bytes)
		return -EINVAL;
	// EPERM: over the quota or pipe-max-size.  What the pipe has may be enough all the same.
	if (fcntl(fd, F_SETPIPE_SZ, (int)(slots * slot_bytes)) < 0 && errno != EPERM)
		return -errno;
	const int granted_bytes = fcntl(fd, F_GETPIPE_SZ);
	if (granted_bytes < 0)
		return -errno;
	*ret_slots = (unsigned)((unsigned long)granted_bytes / slot_bytes);
	return *ret_slots < slots ? -EDQUOT : 0;
}

int pipe_open(struct pipe *p, unsigned slots)
{
	int ends[2];

	*p = PIPE_NONE;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	p->read_fd = ends[0];
	p->write_fd = ends[1];

	const int r = resize_to_slots(p->write_fd, slots, &p->slots);
	if (r < 0)
		pipe_close(p);
	return r;
}

bool pipe_is_open(const struct pipe *p)
{
	return p->read_fd >= 0;
}

int pipe_give_read_end(struct pipe *p)
{
	const int fd = p->read_fd;

	p->read_fd = -1;
	return fd;
}

void pipe_close(struct pipe *p)
{
	fd_close(&p->read_fd);
	fd_close(&p->write_fd);
	*p = PIPE_NONE;
}
