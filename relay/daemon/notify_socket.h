// SPDX-License-Identifier: MIT
/*
 * The socket on which the service manager listens, $NOTIFY_SOCKET (sd_notify(3)).
 *
 * sd_notify(3) itself is not used: it waits while the queue of that socket is full, without an end
 * when nobody reads it.
 */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include "base/compiler.h"

struct notify_socket {
	struct sockaddr_un address;
	socklen_t address_bytes;
	int fd; /* -1: none; the owner's */
};

/* How long notify_socket_send() waits at most, where it may wait. */
#define NOTIFY_SOCKET_MS 5000

/* Opens one: 0; -EOPNOTSUPP without a service manager, or with an address that is none of a unix
 * socket; -errno. */
int notify_socket_open(struct notify_socket *ret) must_check;

/* Sends one text, with a descriptor unless fd is -1.  flags: MSG_DONTWAIT, or 0 to wait for a time.
 * 0; -EAGAIN when the queue is full; -errno.  Async-signal-safe (signal-safety(7)). */
int notify_socket_send(const struct notify_socket *socket, const char *text, int fd, int flags);
