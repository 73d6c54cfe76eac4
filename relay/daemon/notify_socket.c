// SPDX-License-Identifier: MIT
/* One datagram for each text. */
#include "daemon/notify_socket.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "net/fd_message.h"

static int find_address(struct notify_socket *ret)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t length = path ? strlen(path) : 0;

	if (length < 2 || length >= sizeof(ret->address.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return -EOPNOTSUPP;
	ret->address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->address.sun_path, path, length);
	if (path[0] == '@')
		ret->address.sun_path[0] = '\0'; /* abstract, unix(7) */
	ret->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return 0;
}

int notify_socket_open(struct notify_socket *ret)
{
	const struct timeval most = {.tv_sec = NOTIFY_SOCKET_MS / 1000};
	int r;

	*ret = (struct notify_socket){.fd = -1};
	r = find_address(ret);
	if (r < 0)
		return r;
	ret->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ret->fd < 0)
		return -errno;
	(void)setsockopt(ret->fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
	return 0;
}

int notify_socket_send(const struct notify_socket *socket, const char *text, int fd, int flags)
{
	struct iovec piece = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr message = {
		.msg_name = (void *)(uintptr_t)&socket->address,
		.msg_namelen = socket->address_bytes,
		.msg_iov = &piece,
		.msg_iovlen = 1,
	};

	if (fd >= 0)
		return fd_message_send(socket->fd, &message, &fd, 1, MSG_NOSIGNAL | flags);
	return sendmsg(socket->fd, &message, MSG_NOSIGNAL | flags) < 0 ? -errno : 0;
}
