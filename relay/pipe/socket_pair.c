// SPDX-License-Identifier: MIT
/*
 * Sends of 32 KiB into an AF_UNIX stream socket, and a splice out of its other end.
 *
 * unix_stream_sendmsg() of Linux gives each call of up to 32 KiB a buffer of its own.  One of
 * exactly 32 KiB lies in one fragment of 8 pages in a row.  A longer one has a head of some 3.7 KB
 * in front of the fragment, which splice(2) has to copy, and which takes a slot (Linux 6.1 to
 * 6.18).  Where 8 pages in a row cannot be had, the kernel takes smaller fragments.
 */
#include "pipe/socket_pair.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum {
	FRAGMENT_BYTES = 32 * 1024,
	/* Room for some 12 fragments.  The kernel doubles it for its own overhead, and grants an
	 * ordinary user net.core.wmem_max (212,992 bytes) at most (socket(7)). */
	ROOM_BYTES = 256 * 1024,
};

int socket_pair_open(struct socket_pair *pair)
{
	const int room = ROOM_BYTES;
	int ends[2];

	*pair = SOCKET_PAIR_NONE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	pair->send_fd = ends[0];
	pair->splice_fd = ends[1];
	/* Without it there is less room, and each use takes more rounds. */
	(void)setsockopt(pair->send_fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return 0;
}

bool socket_pair_is_open(const struct socket_pair *pair)
{
	return pair->send_fd >= 0;
}

static enum pipe_io outcome_of_send(int err, int *ret_err)
{
	*ret_err = err;
	if (err == EAGAIN)
		return PIPE_IO_FULL;
	return err == EPERM || err == ENOSYS ? PIPE_IO_REFUSED : PIPE_IO_ERROR;
}

enum pipe_io socket_pair_send(struct socket_pair *pair, const uint8_t *bytes, size_t len,
			      size_t *ret_bytes, int *ret_err)
{
	size_t done = 0;

	/* What went in stays in, so an errno after the first piece is left for the next call. */
	while (done < len) {
		const ssize_t n = TEMP_FAILURE_RETRY(send(pair->send_fd, bytes + done,
							  size_min(len - done, FRAGMENT_BYTES),
							  MSG_DONTWAIT | MSG_NOSIGNAL));

		if (n < 0 && done == 0)
			return outcome_of_send(errno, ret_err);
		if (n < 0)
			break;
		pair->held_bytes += (size_t)n;
		done += (size_t)n;
	}
	*ret_bytes = done;
	return PIPE_IO_OK;
}

enum pipe_io socket_pair_splice(struct socket_pair *pair, struct pipe *to, size_t *ret_bytes,
				int *ret_err)
{
	const enum pipe_io outcome =
		pipe_splice_in(to, pair->splice_fd, pair->held_bytes, ret_bytes, ret_err);

	if (outcome == PIPE_IO_OK)
		pair->held_bytes -= *ret_bytes;
	return outcome;
}

void socket_pair_close(struct socket_pair *pair)
{
	fd_close(&pair->send_fd);
	fd_close(&pair->splice_fd);
	*pair = SOCKET_PAIR_NONE;
}
