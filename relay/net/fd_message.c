// SPDX-License-Identifier: MIT
/* The kernel puts all descriptors of a message into one control message. */
#include "net/fd_message.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

union control {
	struct cmsghdr header; /* for its alignment */
	uint8_t bytes[CMSG_SPACE(sizeof(int) * FD_MESSAGE_MAX) + CMSG_SPACE(sizeof(struct ucred))];
};

/* NULL: there are none.  Credentials stand before them (SO_PASSCRED, unix(7)). */
static const struct cmsghdr *find_descriptors(struct msghdr *message)
{
	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
		if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS)
			return at;
	}
	return NULL;
}

int fd_message_send(int socket, struct msghdr *message, const int *fds, size_t count, int flags)
{
	union control control = {.bytes = {0}};
	ssize_t sent;

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int) * count);
	memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * count);
	message->msg_control = control.bytes;
	message->msg_controllen = CMSG_SPACE(sizeof(int) * count);
	sent = TEMP_FAILURE_RETRY(sendmsg(socket, message, flags));
	message->msg_control = NULL;
	return sent < 0 ? -errno : 0;
}

ssize_t fd_message_receive(int socket, struct msghdr *message, int fds[FD_MESSAGE_MAX],
			   size_t *ret_count, int flags)
{
	union control control;
	const struct cmsghdr *header;
	ssize_t got;

	*ret_count = 0;
	message->msg_control = control.bytes;
	message->msg_controllen = sizeof(control.bytes);
	got = TEMP_FAILURE_RETRY(recvmsg(socket, message, flags | MSG_CMSG_CLOEXEC));
	header = got < 0 ? NULL : find_descriptors(message);
	if (header) {
		*ret_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(header), *ret_count * sizeof(int));
	}
	message->msg_control = NULL;
	return got < 0 ? -errno : got;
}
