// SPDX-License-Identifier: MIT
/* Making the file, warming and cooling it. */
#include "transfer_file.h"

#include "base/fd.h"
#include "tools/shared/positions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PIECE_BYTES = 1 << 20
};

int transfer_file_make(const char *path, uint64_t bytes)
{
	uint8_t *piece = malloc(PIECE_BYTES);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : !piece ? -ENOMEM : 0;

	for (uint64_t done = 0; r == 0 && done < bytes;) {
		size_t count = bytes - done < PIECE_BYTES ? (size_t)(bytes - done) : PIECE_BYTES;
		ssize_t n;

		positions_fill(TRANSFER_SEED, done, piece, count);
		n = write(fd, piece, count);
		if (n < 0)
			r = -errno;
		else
			done += (uint64_t)n;
	}
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	fd_close(&fd);
	free(piece);
	return r;
}

int transfer_file_warm(const char *path)
{
	uint8_t *piece = malloc(PIECE_BYTES);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : !piece ? -ENOMEM : 0;
	ssize_t n = 1;

	while (r == 0 && n > 0) {
		n = read(fd, piece, PIECE_BYTES);
		r = n < 0 ? -errno : 0;
	}
	fd_close(&fd);
	free(piece);
	return r;
}

int transfer_file_cool(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	else
		r = -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	fd_close(&fd);
	return r;
}

int transfer_file_cached(const char *path, double *ret_share)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char *in_core = NULL;
	size_t pages, cached = 0;
	void *mapping;
	struct stat st;
	int r = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		fd_close(&fd);
		return r;
	}
	pages = ((size_t)st.st_size + page - 1) / page;
	in_core = malloc(pages + 1);
	mapping = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	fd_close(&fd);
	if (!in_core || mapping == MAP_FAILED || mincore(mapping, (size_t)st.st_size, in_core) < 0)
		r = in_core ? -errno : -ENOMEM;
	for (size_t i = 0; r == 0 && i < pages; i++)
		cached += in_core[i] & 1;
	if (mapping != MAP_FAILED)
		(void)munmap(mapping, (size_t)st.st_size);
	free(in_core);
	if (r == 0)
		*ret_share = (double)cached / (double)pages;
	return r;
}
