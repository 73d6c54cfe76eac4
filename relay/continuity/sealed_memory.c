// SPDX-License-Identifier: MIT
/* The seal against more seals is always one of them. */
#include "continuity/sealed_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

int sealed_memory_write(int fd, const void *bytes, size_t count)
{
	size_t done = 0;

	while (done < count) {
		ssize_t put =
			TEMP_FAILURE_RETRY(write(fd, (const uint8_t *)bytes + done, count - done));

		if (put < 0)
			return -errno;
		done += (size_t)put;
	}
	return 0;
}

int sealed_memory_finish(int fd)
{
	return seal(fd, F_SEAL_WRITE);
}

int sealed_memory_copy(const char *name, const void *bytes, size_t count, int *ret_fd)
{
	int r = sealed_memory_begin(name, ret_fd);

	if (r == 0)
		r = sealed_memory_write(*ret_fd, bytes, count);
	if (r == 0)
		r = sealed_memory_finish(*ret_fd);
	if (r < 0)
		fd_close(ret_fd);
	return r;
}

int sealed_memory_map(int fd, uint8_t **ret, size_t *ret_bytes)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat about;
	void *map;

	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &about) < 0 || about.st_size == 0)
		return -EBADMSG;
	map = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	(void)madvise(map, (size_t)about.st_size, MADV_DONTDUMP);
	*ret = map;
	*ret_bytes = (size_t)about.st_size;
	return 0;
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
