// SPDX-License-Identifier: MIT
/* One thread for each closing that may last: one that hangs keeps no other one waiting. */
#include "net/peer_socket.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/thread.h"
#include "net/fd_message.h"
#include "net/sockopt.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* asm/socket.h of Linux 6.16 */
#endif

enum {
	DISCARD_BYTES = 4096,
	DISCARD_READS = 64, /* what has come is bounded by them, not by the peer */
};

/* What a thread is to close; owned by it. */
struct closing {
	size_t count;
	int fds[FD_MESSAGE_MAX];
};

static void *close_all(void *arg)
{
	struct closing *closing = arg;

	for (size_t i = 0; i < closing->count; i++)
		fd_close(&closing->fds[i]);
	free(closing);
	return NULL;
}

/* Without memory or a thread they are closed here. */
static void close_apart(const int *fds, size_t count)
{
	struct closing here = {.count = count};
	struct closing *apart = malloc(sizeof(*apart));
	pthread_t thread;

	memcpy(here.fds, fds, count * sizeof(*fds));
	if (apart) {
		*apart = here;
		if (thread_start(close_all, apart, &thread) == 0) {
			(void)pthread_detach(thread);
			return;
		}
		free(apart);
	}
	for (size_t i = 0; i < count; i++)
		fd_close(&here.fds[i]);
}

void peer_socket_refuse_descriptors(int fd)
{
	static const int off = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

bool peer_socket_may_have_descriptors(int fd)
{
	int passes = sockopt_number(fd, SOL_SOCKET, SO_PASSRIGHTS);

	/* Since 6.16 EOPNOTSUPP for what is not unix; before that ENOPROTOOPT for all. */
	return passes > 0 || (passes == -ENOPROTOOPT && !sockopt_is_tcp(fd));
}

ssize_t peer_socket_receive(int fd, void *bytes, size_t count, int flags)
{
	struct iovec piece = {.iov_base = bytes, .iov_len = count};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	int fds[FD_MESSAGE_MAX];
	size_t fd_count;
	ssize_t got = fd_message_receive(fd, &message, fds, &fd_count, flags);

	if (fd_count > 0) {
		/* That which lingers would hold up the end of this process. */
		for (size_t i = 0; i < fd_count; i++)
			sockopt_clear_reset_on_close(fds[i]);
		close_apart(fds, fd_count);
		got = -EPROTO;
	}
	if (got < 0)
		errno = (int)-got;
	return got < 0 ? -1 : got;
}

void peer_socket_discard(int fd)
{
	uint8_t bytes[DISCARD_BYTES];

	for (int i = 0; i < DISCARD_READS; i++) {
		if (peer_socket_receive(fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
			break;
	}
}

void peer_socket_finish(int fd)
{
	(void)shutdown(fd, SHUT_WR);
	peer_socket_discard(fd);
}

/* Descriptors come with bytes, and after this there come no more. */
static bool has_nothing_queued(int fd)
{
	int queued = 0;

	return shutdown(fd, SHUT_RD) == 0 && ioctl(fd, FIONREAD, &queued) == 0 && queued == 0;
}

void peer_socket_close(int *fd)
{
	int saved_errno = errno;

	/* Nobody can say what waits at a socket that listens. */
	if (*fd >= 0 && peer_socket_may_have_descriptors(*fd) &&
	    (sockopt_is_listening(*fd) || !has_nothing_queued(*fd))) {
		close_apart(fd, 1);
		*fd = -1;
	}
	fd_close(fd);
	errno = saved_errno;
}
