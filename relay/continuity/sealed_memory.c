// SPDX-License-Identifier: MIT
/* The seal against more seals is always one of them. */
#include "continuity/sealed_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

static int seal(int fd, int more)
{
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | more;

	return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

int sealed_memory_begin(const char *name, int *ret_fd)
{
	*ret_fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return *ret_fd < 0 ? -errno : 0;
}

int sealed_memory_finish(int fd)
{
	return seal(fd, F_SEAL_WRITE);
}

int sealed_memory_new(const char *name, uint64_t bytes, int *ret_fd)
{
	int r = sealed_memory_begin(name, ret_fd);

	if (r == 0 && ftruncate(*ret_fd, (off_t)bytes) < 0)
		r = -errno;
	if (r == 0)
		r = seal(*ret_fd, 0);
	if (r < 0)
		fd_close(ret_fd);
	return r;
}
