// SPDX-License-Identifier: MIT
/*
 * read + send, mmap + send, sendfile, splice, and direct I/O + gifted pages.
 *
 * Direct: a second thread reads blocks past the page cache and puts them into a pipe, which holds
 * two of them while the next one is read. direct: into pages that have never been used, which it
 * gifts (vmsplice, SPLICE_F_GIFT) and never writes again, since the kernel may need them until the
 * last acknowledgement: mappings are used once and unmapped. direct-huge: the same with huge pages.
 * direct-copy: one block, used again and again and copied into the pipe by write.
 */
#include "transfer_ways.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	PIPE_BYTES = 1 << 20, /* the most an ordinary user may have */
	BLOCK_BYTES = PIPE_BYTES / 2,
	ALIGN_BYTES = 4096,
	REGION_BLOCKS = 16, /* a mapping serves so many blocks */
};

static size_t at_most(const struct transfer *transfer, uint64_t done)
{
	uint64_t left = transfer->bytes - done;

	return left < transfer->piece ? (size_t)left : transfer->piece;
}

/* The file, for reading; counted. */
static int open_file(struct transfer *transfer, int flags)
{
	int fd = open(transfer->path, O_RDONLY | O_CLOEXEC | flags);

	transfer->calls++;
	return fd < 0 ? -errno : fd;
}

static void close_counted(struct transfer *transfer, int fd)
{
	fd_close(&fd);
	transfer->calls++;
}

static int send_all(struct transfer *transfer, const uint8_t *bytes, size_t count)
{
	for (size_t sent = 0; sent < count;) {
		ssize_t n = send(transfer->socket, bytes + sent, count - sent, MSG_NOSIGNAL);

		transfer->calls++;
		if (n < 0)
			return -errno;
		transfer->copied += (uint64_t)n;
		sent += (size_t)n;
	}
	return 0;
}

static int send_by_read(struct transfer *transfer)
{
	uint8_t *buffer = malloc(transfer->piece);
	int fd = open_file(transfer, 0);
	int r = fd < 0 ? fd : !buffer ? -ENOMEM : 0;

	for (uint64_t done = 0; r == 0 && done < transfer->bytes;) {
		ssize_t n = read(fd, buffer, transfer->piece);

		transfer->calls++;
		if (n <= 0) {
			r = n < 0 ? -errno : -ENODATA;
			break;
		}
		transfer->copied += (uint64_t)n;
		r = send_all(transfer, buffer, (size_t)n);
		done += (uint64_t)n;
	}
	close_counted(transfer, fd);
	free(buffer);
	return r;
}

static int send_by_mmap(struct transfer *transfer)
{
	int fd = open_file(transfer, 0);
	uint8_t *mapping;
	int r = 0;

	if (fd < 0)
		return fd;
	mapping = mmap(NULL, transfer->bytes, PROT_READ, MAP_SHARED, fd, 0);
	transfer->calls++;
	if (mapping == MAP_FAILED)
		r = -errno;
	for (uint64_t done = 0; r == 0 && done < transfer->bytes;) {
		size_t count = at_most(transfer, done);

		r = send_all(transfer, mapping + done, count);
		done += count;
	}
	if (mapping != MAP_FAILED) {
		(void)munmap(mapping, transfer->bytes);
		transfer->calls++;
	}
	close_counted(transfer, fd);
	return r;
}

static int send_by_sendfile(struct transfer *transfer)
{
	int fd = open_file(transfer, 0);
	int r = fd < 0 ? fd : 0;

	for (uint64_t done = 0; r == 0 && done < transfer->bytes;) {
		ssize_t n = sendfile(transfer->socket, fd, NULL, at_most(transfer, done));

		transfer->calls++;
		if (n <= 0)
			r = n < 0 ? -errno : -ENODATA;
		else
			done += (uint64_t)n;
	}
	close_counted(transfer, fd);
	return r;
}

static int open_pipe(struct transfer *transfer, int ends[2])
{
	int size;

	ends[0] = ends[1] = -1;
	transfer->calls += 2;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	size = fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	if (size < 0)
		return -errno;
	return size < PIPE_BYTES ? -EDQUOT : 0;
}

/* Exactly `count` bytes that are, or will be, in the pipe. */
static int splice_out(struct transfer *transfer, int from, size_t count, bool more)
{
	while (count > 0) {
		ssize_t n = splice(from, NULL, transfer->socket, NULL, count,
				   SPLICE_F_MOVE | (more ? SPLICE_F_MORE : 0));

		transfer->calls++;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		count -= (size_t)n;
	}
	return 0;
}

static int send_by_splice(struct transfer *transfer)
{
	int ends[2];
	int r = open_pipe(transfer, ends);
	int fd = open_file(transfer, 0);

	if (r == 0 && fd < 0)
		r = fd;
	for (uint64_t done = 0; r == 0 && done < transfer->bytes;) {
		ssize_t n = splice(fd, NULL, ends[1], NULL, at_most(transfer, done), SPLICE_F_MOVE);

		transfer->calls++;
		if (n <= 0) {
			r = n < 0 ? -errno : -ENODATA;
			break;
		}
		done += (uint64_t)n;
		r = splice_out(transfer, ends[0], (size_t)n, done < transfer->bytes);
	}
	close_counted(transfer, fd);
	close_counted(transfer, ends[0]);
	close_counted(transfer, ends[1]);
	return r;
}

/* ---- direct I/O ---- */

enum direct_kind {
	DIRECT_GIFT,
	DIRECT_GIFT_HUGE,
	DIRECT_COPY,
};

/* The reading thread's; the counts are read after it was joined. */
struct direct {
	const struct transfer *transfer;
	enum direct_kind kind;
	int fd;
	int pipe;
	uint64_t calls;
	uint64_t copied;
	uint8_t *region;
	size_t region_bytes;
	size_t used_bytes;
	int error;
};

static void unmap_region(struct direct *direct)
{
	if (!direct->region)
		return;
	(void)munmap(direct->region, direct->region_bytes);
	direct->calls++;
	direct->region = NULL;
}

static bool map_region(struct direct *direct, size_t bytes)
{
	direct->region_bytes = bytes;
	direct->used_bytes = 0;
	direct->region =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	direct->calls++;
	if (direct->region == MAP_FAILED) {
		direct->region = NULL;
		return false;
	}
	(void)madvise(direct->region, bytes,
		      direct->kind == DIRECT_GIFT_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	direct->calls++;
	return true;
}

/* Room for a block: in pages that were never used, or with DIRECT_COPY in the same as before. */
static uint8_t *next_block(struct direct *direct, size_t block)
{
	uint8_t *bytes;

	if (direct->used_bytes == direct->region_bytes)
		unmap_region(direct);
	if (!direct->region && !map_region(direct, block * REGION_BLOCKS))
		return NULL;
	bytes = direct->region + direct->used_bytes;
	if (direct->kind != DIRECT_COPY)
		direct->used_bytes += block;
	return bytes;
}

static int put(struct direct *direct, uint8_t *bytes, size_t count)
{
	struct iovec piece = {.iov_base = bytes, .iov_len = count};

	while (piece.iov_len > 0) {
		ssize_t n = direct->kind == DIRECT_COPY
				    ? write(direct->pipe, piece.iov_base, piece.iov_len)
				    : vmsplice(direct->pipe, &piece, 1, SPLICE_F_GIFT);

		direct->calls++;
		if (n < 0)
			return -errno;
		if (direct->kind == DIRECT_COPY)
			direct->copied += (uint64_t)n;
		piece.iov_base = (uint8_t *)piece.iov_base + n;
		piece.iov_len -= (size_t)n;
	}
	return 0;
}

static void *read_directly(void *arg)
{
	struct direct *direct = arg;
	uint64_t bytes = direct->transfer->bytes;
	size_t block = direct->transfer->piece;
	int r = 0;

	/* Offsets stay aligned: only the last read of the file is short. */
	for (uint64_t done = 0; r == 0 && done < bytes;) {
		uint8_t *page = next_block(direct, block);
		ssize_t n = page ? pread(direct->fd, page, block, (off_t)done) : -1;

		direct->calls++;
		if (n <= 0) {
			r = !page ? -ENOMEM : n < 0 ? -errno : -ENODATA;
			break;
		}
		done += (uint64_t)n;
		r = done < bytes && n % ALIGN_BYTES ? -EIO : put(direct, page, (size_t)n);
	}
	unmap_region(direct);
	direct->error = r;
	fd_close(&direct->pipe); /* the other thread sees the end, early or not */
	direct->calls++;
	return NULL;
}

static int send_directly(struct transfer *transfer, enum direct_kind kind)
{
	struct direct direct = {.transfer = transfer, .kind = kind};
	pthread_t thread;
	int ends[2];
	int r = open_pipe(transfer, ends);
	int fd = open_file(transfer, O_DIRECT);

	direct.fd = fd;
	direct.pipe = ends[1];
	if (r == 0 && fd < 0)
		r = fd;
	if (r == 0) {
		r = -pthread_create(&thread, NULL, read_directly, &direct);
		for (uint64_t done = 0; r == 0 && done < transfer->bytes;) {
			uint64_t left = transfer->bytes - done;
			size_t count = left < PIPE_BYTES ? (size_t)left : PIPE_BYTES;

			r = splice_out(transfer, ends[0], count, false);
			done += count;
		}
		fd_close(&ends[0]);
		pthread_join(thread, NULL);
		r = direct.error ? direct.error : r;
	}
	transfer->calls += direct.calls + 1;
	transfer->copied += direct.copied;
	close_counted(transfer, fd);
	return r;
}

static int send_by_gift(struct transfer *transfer)
{
	return send_directly(transfer, DIRECT_GIFT);
}

static int send_by_huge_gift(struct transfer *transfer)
{
	return send_directly(transfer, DIRECT_GIFT_HUGE);
}

static int send_by_direct_copy(struct transfer *transfer)
{
	return send_directly(transfer, DIRECT_COPY);
}

const struct transfer_way transfer_ways[] = {
	{"read-4k", 4096, send_by_read},
	{"read-32k", 32768, send_by_read},
	{"mmap", PIPE_BYTES, send_by_mmap},
	{"sendfile", (size_t)1 << 30, send_by_sendfile},
	{"splice", PIPE_BYTES, send_by_splice},
	{"direct", BLOCK_BYTES, send_by_gift},
	{"direct-huge", BLOCK_BYTES, send_by_huge_gift},
	{"direct-copy", BLOCK_BYTES, send_by_direct_copy},
	{NULL, 0, NULL},
};

const struct transfer_way *transfer_way_find(const char *name)
{
	for (const struct transfer_way *way = transfer_ways; way->name; way++)
		if (strcmp(way->name, name) == 0)
			return way;
	return NULL;
}
