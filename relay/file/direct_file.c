// SPDX-License-Identifier: MIT
/*
 * The thread that reads directly.
 *
 * Its one block is copied into the pipe, which then owns the bytes.  Gifting fresh pages instead
 * (vmsplice(2)) was measured and costs more: each of them has to be zeroed, faulted in and pinned
 * (make bench-transfer).  Huge pages make that cheaper, but a slow subscriber would pin 2 MiB each.
 *
 * Each read begins at an aligned offset, whatever the last one gave: after a short one, at the
 * unaligned end of the file, the last block is read again and its known part left out.  So a file
 * that has grown goes on, and the end is where nothing new came.
 */
#include "file/direct_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "base/thread.h"
#include "pipe/pipe_io.h"

enum {
	ALIGN_BYTES = 4096, /* what the logical blocks of disks divide */
	BLOCK_BYTES = 512 * 1024,
	PIPE_SLOTS = 2 * BLOCK_BYTES / 4096,
	PIPE_SLOTS_MIN = 16, /* what a pipe has by itself */
	LARGE_SHARE = 4,     /* of available memory, its fourth part */
};

struct direct_file {
	atomic_uint references; /* the thread and the caller */
	atomic_uint_fast64_t bytes;
	atomic_int error;
	int fd;           /* the thread's, as is all below */
	struct pipe pipe; /* without its reading end */
	uint8_t *block;
};

static void unref(struct direct_file *file)
{
	if (atomic_fetch_sub(&file->references, 1) == 1)
		free(file);
}

/* Puts all of it into the pipe; false when nobody reads there any more. */
static bool put(struct direct_file *file, const uint8_t *bytes, size_t len)
{
	struct pollfd room = {.fd = file->pipe.write_fd, .events = POLLOUT};

	while (len > 0) {
		size_t moved = 0;
		int err = 0;

		switch (pipe_write(&file->pipe, bytes, len, &moved, &err)) {
		case PIPE_IO_OK:
			bytes += moved;
			len -= moved;
			atomic_fetch_add(&file->bytes, moved);
			break;
		case PIPE_IO_FULL:
			(void)poll(&room, 1, -1);
			break;
		case PIPE_IO_EMPTY:
		case PIPE_IO_EOF:
		case PIPE_IO_REFUSED:
		case PIPE_IO_ERROR:
			return false;
		}
	}
	return true;
}

/* The next block, from `from` on.  1 and more of the file, 0 at its end, or -errno; -EPIPE too. */
static int pass_block(struct direct_file *file, uint64_t *from)
{
	uint64_t aligned = *from - *from % ALIGN_BYTES;
	size_t known = (size_t)(*from - aligned);
	ssize_t got = TEMP_FAILURE_RETRY(pread(file->fd, file->block, BLOCK_BYTES, (off_t)aligned));

	if (got < 0)
		return -errno;
	if ((size_t)got <= known)
		return 0;
	*from = aligned + (size_t)got;
	return put(file, file->block + known, (size_t)got - known) ? 1 : -EPIPE;
}

/* The thread's part; what it had is the kernel's again. */
static void close_all(struct direct_file *file)
{
	pipe_close(&file->pipe);
	fd_close(&file->fd);
	free(file->block);
	file->block = NULL;
}

static void *read_file(void *arg)
{
	struct direct_file *file = arg;
	uint64_t from = 0;
	int r;

	do
		r = pass_block(file, &from);
	while (r > 0);
	/* Before the pipe is closed: who sees that looks here. */
	atomic_store(&file->error, -r);
	close_all(file);
	unref(file);
	return NULL;
}

static int open_direct(const char *path, int *ret_fd)
{
	struct statfs fs;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_DIRECT);

	if (fd < 0)
		return -errno;
	/* tmpfs takes the flag since Linux 6.6 and reads its page cache all the same. */
	if (fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)) {
		fd_close(&fd);
		return -EINVAL;
	}
	*ret_fd = fd;
	return 0;
}

int direct_file_start(const char *path, struct direct_file **ret, int *ret_fd)
{
	struct direct_file *file = calloc(1, sizeof(*file));
	pthread_t thread;
	int read_fd;
	int r;

	if (!file)
		return -ENOMEM;
	file->fd = -1;
	file->pipe = PIPE_NONE;
	atomic_init(&file->references, 2);
	r = open_direct(path, &file->fd);
	if (r == 0) {
		file->block = aligned_alloc(ALIGN_BYTES, BLOCK_BYTES);
		r = file->block ? pipe_open(&file->pipe, PIPE_SLOTS) : -ENOMEM;
	}
	if (r == -EDQUOT)
		r = pipe_open(&file->pipe, PIPE_SLOTS_MIN);
	if (r < 0)
		goto fail;
	read_fd = pipe_give_read_end(&file->pipe);
	r = thread_start(read_file, file, &thread);
	if (r < 0) {
		fd_close(&read_fd);
		goto fail;
	}
	pthread_detach(thread);
	*ret = file;
	*ret_fd = read_fd;
	return 0;
fail:
	close_all(file);
	free(file);
	return r;
}

uint64_t direct_file_bytes(const struct direct_file *file)
{
	return atomic_load(&file->bytes);
}

int direct_file_error(const struct direct_file *file)
{
	return atomic_load(&file->error);
}

void direct_file_release(struct direct_file **file)
{
	if (!file || !*file)
		return;
	unref(*file);
	*file = NULL;
}

/* "MemAvailable:   23650 kB" */
static bool read_mem_available(uint64_t *ret_bytes)
{
	FILE *meminfo = fopen("/proc/meminfo", "re");
	static const char key[] = "MemAvailable:";
	char line[128];
	uint64_t kilobytes;
	bool found = false;

	while (meminfo && !found && fgets(line, sizeof(line), meminfo)) {
		char *number = line + sizeof(key) - 1;

		if (strncmp(line, key, sizeof(key) - 1) != 0)
			continue;
		number += strspn(number, " ");
		number[strcspn(number, " \n")] = '\0';
		found = num_parse_count(number, &kilobytes) == 0;
	}
	if (meminfo)
		(void)fclose(meminfo);
	if (found)
		*ret_bytes = kilobytes * 1024;
	return found;
}

uint64_t direct_file_available_memory(void)
{
	uint64_t bytes = 0;
	struct sysinfo info;

	if (!read_mem_available(&bytes) && sysinfo(&info) == 0)
		bytes = (uint64_t)info.freeram * info.mem_unit;
	return bytes;
}

bool direct_file_is_large(uint64_t file_bytes, uint64_t available_bytes)
{
	return file_bytes > available_bytes / LARGE_SHARE;
}
