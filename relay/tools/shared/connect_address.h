// SPDX-License-Identifier: MIT
/* Where the other side is: tcp:HOST:PORT, HOST:PORT, tcp:[V6]:PORT, [V6]:PORT or unix:PATH, and a
 * stream socket to it, connected or accepted.
 *
 * Sockets are non-blocking and close-on-exec, TCP with TCP_NODELAY; they belong to the caller.
 * Waiting ends early, with -EINTR, when stop_is_requested(). */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

struct connect_address {
	const char *text; // as it was given; not copied
	const char *file; // NULL: a socket.  To be read in place of one; the caller's
	bool is_unix;
	char host[256]; // a name or an address, without brackets
	char port[32];  // a number or a service
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
};

/* 0, or -EINVAL with the reason.  Names are looked up later. */
must_check int connect_address_parse(const char *text, struct connect_address *ret_address,
				     struct errmsg *error);

/* Connects, to the first of the host's addresses that answers.  Tries again until `retry_ms` are
 * over; with 0, once.  Opens a file, once.  Returns the socket or the file, or -errno with the
 * reason. */
must_check int connect_address_open(const struct connect_address *address, uint64_t retry_ms,
				    struct errmsg *error);

/* Listens; port 0 is any free port.  A socket file that nobody listens on any more is replaced.
 * Returns the listening socket, or -errno with the reason. */
must_check int connect_address_listen(const struct connect_address *address, struct errmsg *error);

/* Where a listening socket really is, in the form that connect_address_parse() reads. */
void connect_address_print_local(int listen_fd, char *buf, size_t size);

/* Waits for one peer.  Returns its socket, or -errno with the reason. */
must_check int connect_address_accept(int listen_fd, struct errmsg *error);

/* For a unix address: removes the socket file.  Call it only after a listen that succeeded. */
void connect_address_unlink(const struct connect_address *address);

/* Waits for events of poll(2) on a socket; -1 with no events just waits.  0 when there is one,
 * -ETIMEDOUT after limit_ms, -EINTR, or -errno. */
must_check int connect_address_wait(int fd, short events, uint64_t limit_ms);
