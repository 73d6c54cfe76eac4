// SPDX-License-Identifier: MIT
/*
 * Descriptors in a message of a unix socket (SCM_RIGHTS, unix(7)).  The receiver gets duplicates;
 * the sender's own ones stay open.
 */
#pragma once

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/compiler.h"

enum {
	FD_MESSAGE_MAX = 253, /* descriptors in one message: SCM_MAX_FD, unix(7) */
};

/* Sends the message with `count` descriptors: 1 to FD_MESSAGE_MAX.  The caller has set the address
 * and the data, a byte at least.  Flags as of sendmsg(2).  Returns 0 or -errno, and then nothing
 * was sent.  Async-signal-safe. */
int fd_message_send(int socket, struct msghdr *message, const int *fds, size_t count, int flags);

/* Receives a message into the data that the caller has set.  The descriptors in it are the
 * caller's: *ret_count of them, at most FD_MESSAGE_MAX, all close-on-exec.  Flags as of recvmsg(2).
 * Returns the bytes of data, 0 at the end, or -errno with nothing received.  MSG_CTRUNC in
 * msg_flags says that there were more descriptors than may be open here. */
must_check ssize_t fd_message_receive(int socket, struct msghdr *message, int fds[FD_MESSAGE_MAX],
				      size_t *ret_count, int flags);
