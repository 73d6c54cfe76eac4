// SPDX-License-Identifier: MIT
/* writev(2) of pieces; those that lie behind one another in memory become one. */
#include "tools/relaycat/output.h"

#include "tools/shared/stop.h"

#include <errno.h>
#include <poll.h>

enum {
	WAIT_MS = 500, // a stop request that came just before the wait is seen after it
};

void output_init(struct output *output, int fd)
{
	output->fd = fd;
	output->pieces = 0;
}

int output_add(struct output *output, const uint8_t *bytes, size_t size)
{
	struct iovec *last = output->piece + output->pieces - 1;

	if (output->fd < 0 || size == 0)
		return 0;
	if (output->pieces > 0 && (const uint8_t *)last->iov_base + last->iov_len == bytes) {
		last->iov_len += size;
		return 0;
	}
	// writev() only reads what iov_base points to; its type cannot say so.
	output->piece[output->pieces++] = (struct iovec){
		.iov_base = (void *)(uintptr_t)bytes,
		.iov_len = size,
	};
	return output->pieces == OUTPUT_PIECES ? output_flush(output) : 0;
}

/* Waits for a descriptor that somebody else made non-blocking. */
static int wait_writable(const struct output *output)
{
	struct pollfd poll_fd = {.fd = output->fd, .events = POLLOUT};

	if (poll(&poll_fd, 1, WAIT_MS) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

static int write_some(const struct output *output, struct iovec *piece, int pieces,
		      size_t *ret_written)
{
	ssize_t written = writev(output->fd, piece, pieces);

	*ret_written = written > 0 ? (size_t)written : 0;
	if (written >= 0 || errno == EINTR)
		return 0;
	return errno == EAGAIN ? wait_writable(output) : -errno;
}

int output_flush(struct output *output)
{
	struct iovec *piece = output->piece;
	int pieces = output->pieces;

	output->pieces = 0;
	while (pieces > 0) {
		size_t written;
		int r = write_some(output, piece, pieces, &written);

		if (r < 0)
			return r;
		while (pieces > 0 && written >= piece->iov_len) {
			written -= piece->iov_len;
			piece++;
			pieces--;
		}
		if (pieces > 0) {
			piece->iov_base = (uint8_t *)piece->iov_base + written;
			piece->iov_len -= written;
			// A signal makes a blocked write short rather than EINTR.
			if (stop_is_requested())
				return -EINTR;
		}
	}
	return 0;
}
