// SPDX-License-Identifier: MIT
/*
 * vmsplice(2) without SPLICE_F_GIFT: a slot of the pipe for each piece. splice(2) to a socket then
 * makes a fragment of each slot, up to 17 in one buffer of the kernel, which is also what a card
 * makes of one burst.
 */
#include "loose.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20)

/* Does a piece take a whole slot? A pipe of one slot takes one of two pieces, or both. */
static int check_slots(const struct loose *loose)
{
	struct iovec two[2] = {loose->pieces[0], loose->pieces[0]};
	ssize_t taken;

	if (fcntl(loose->pipe[1], F_SETPIPE_SZ, 1) < 0)
		return -errno;
	taken = vmsplice(loose->pipe[1], two, 2, SPLICE_F_NONBLOCK);
	if (taken < 0)
		return -errno;
	for (ssize_t left = taken; left > 0;) {
		char waste[PIPE_BUF];
		ssize_t n = read(loose->pipe[0], waste, sizeof(waste));

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left -= n;
	}
	return taken == (ssize_t)two[0].iov_len ? 0 : -EOPNOTSUPP;
}

int loose_open(struct loose *loose, const uint8_t *chunk, uint64_t chunk_bytes,
	       uint64_t piece_bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int r;

	*loose = LOOSE_CLOSED;
	if (piece_bytes < 1 || piece_bytes > page)
		return -EINVAL;
	loose->count = (chunk_bytes + piece_bytes - 1) / piece_bytes;
	loose->pieces = calloc(loose->count, sizeof(*loose->pieces));
	loose->pages = mmap(NULL, loose->count * page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!loose->pieces || loose->pages == MAP_FAILED)
		return -ENOMEM;
	for (uint64_t i = 0, at = 0; i < loose->count; i++, at += piece_bytes) {
		uint64_t left = chunk_bytes - at;

		loose->pieces[i].iov_base = loose->pages + i * page;
		loose->pieces[i].iov_len = left < piece_bytes ? left : piece_bytes;
		memcpy(loose->pieces[i].iov_base, chunk + at, loose->pieces[i].iov_len);
	}
	if (pipe2(loose->pipe, O_NONBLOCK | O_CLOEXEC) < 0)
		return -errno;
	r = check_slots(loose);
	if (r == 0 && fcntl(loose->pipe[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
		r = -errno;
	return r;
}

void loose_close(struct loose *loose)
{
	fd_close(&loose->pipe[0]);
	fd_close(&loose->pipe[1]);
	if (loose->pages && loose->pages != MAP_FAILED)
		munmap(loose->pages, loose->count * (uint64_t)sysconf(_SC_PAGESIZE));
	free(loose->pieces);
	*loose = LOOSE_CLOSED;
}

/* Puts pieces into the empty pipe, up to the end of the chunk. Returns 0, or -1 with errno. */
static int fill(struct loose *loose)
{
	uint64_t count = loose->count - loose->next;
	ssize_t taken = vmsplice(loose->pipe[1], loose->pieces + loose->next,
				 count < IOV_MAX ? count : IOV_MAX, SPLICE_F_NONBLOCK);

	if (taken < 0)
		return -1;
	loose->held = (uint64_t)taken;
	/* Slots are taken whole, so only whole pieces are. */
	for (uint64_t left = loose->held; left; loose->next++)
		left -= loose->pieces[loose->next].iov_len;
	loose->next %= loose->count;
	return 0;
}

ssize_t loose_send(struct loose *loose, int socket_fd)
{
	ssize_t n;

	if (!loose->held && fill(loose) < 0)
		return -1;
	n = splice(loose->pipe[0], NULL, socket_fd, NULL, loose->held, SPLICE_F_NONBLOCK);
	if (n > 0)
		loose->held -= (uint64_t)n;
	return n;
}
