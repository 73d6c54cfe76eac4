// SPDX-License-Identifier: MIT
/*
 * Listening sockets: one for each address that an endpoint means.
 *
 * A configuration is applied with the sockets of the one before still open, so that it can be
 * undone.  Linux lets nobody bind an address while another socket listens on a part of it
 * (tcp:*:7001 beside tcp:127.0.0.1:7001).  Sockets of our own do not stand in the way: at the same
 * address the socket is used on, and beside another one both have SO_REUSEPORT while the new one is
 * bound (socket(7); since Linux 3.9 it may be set on a socket that listens already).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "net/endpoint.h"

struct errmsg;

/* Addresses of one name that are listened on. */
#define LISTEN_SOCKETS_MAX 8

struct listen_socket {
	int fd;
	/* Of a unix socket: the file that it made.  inode 0: none, or not known. */
	dev_t device;
	ino_t inode;
};

struct listen_sockets {
	struct listen_socket list[LISTEN_SOCKETS_MAX];
	size_t count;       /* 0: closed */
	bool is_absent;     /* an address that this machine does not have yet is among them */
	bool has_made_file; /* of a unix socket; false for a duplicate of one that was there */
};

/* The listening sockets that this process has, whoever uses them. */
struct own_sockets {
	struct listen_socket *list;
	size_t count;
	/* Where each of them listens: own_sockets_look().  NULL: each is asked when it matters. */
	struct endpoint_address *addresses;
};

/* Asks all of them now, once: with thousands, asking each for each address takes long.  To be freed
 * by the caller.  0 or -ENOMEM. */
int own_sockets_look(struct own_sockets *own) must_check;

/* Listens on `endpoint`: non-blocking, close-on-exec.
 *
 * A name is looked up, which may block, and all its addresses are listened on.  One that the
 * machine does not have is passed over while there is another.  Any address means IPv6 and IPv4 on
 * one socket, or IPv4 alone where the kernel has no IPv6.  An address written in numbers that this
 * machine does not have yet is listened on all the same (IP_FREEBIND, ip(7)): is_absent.
 *
 * A socket file on which nothing answers any more is replaced.  The new one has the endpoint's mode
 * and group.  Of a passed socket, and of one in `own` at the same address, there is a duplicate.
 *
 * own: NULL for none.  *ret is the caller's.  Returns 0 or -errno, with nothing left open; `err` is
 * "listen ADDRESS: reason". */
int listen_sockets_open(const struct endpoint *endpoint, int backlog, const struct own_sockets *own,
			struct listen_sockets *ret, struct errmsg *err) must_check;

/* Closes them; their files stay.  Idempotent. */
void listen_sockets_close(struct listen_sockets *sockets);

/* Is the file of the endpoint the one that the socket made?  Always true where there is no file, or
 * where it is not known. */
bool listen_socket_has_file(const struct listen_socket *socket, const struct endpoint *endpoint);

/* Gives the file of a unix endpoint its mode and group again, after listening on it in another way
 * has been given up.  What cannot be set stays as it is. */
void listen_restore_file(const struct endpoint *endpoint);

/* Is its host written in numbers, so that no name has to be looked up? */
bool listen_is_literal(const struct endpoint *endpoint);

/* *ret: the group of this name, or -1 for "".  0, or -errno with the reason. */
int listen_find_group(const char *name, gid_t *ret, struct errmsg *why) must_check;

/* The addresses that a TCP endpoint means, as they would be bound.  At most `max` of them are
 * written.  Returns how many; or -errno with the reason, "unknown name" and the like. */
ssize_t listen_addresses(const struct endpoint *endpoint, struct endpoint_address *ret, size_t max,
			 struct errmsg *err) must_check;

/* Would the two keep each other from listening?  Of [::], is_ipv6_only says whether it takes IPv4
 * too. */
bool listen_addresses_clash(const struct endpoint_address *a, bool a_is_ipv6_only,
			    const struct endpoint_address *b, bool b_is_ipv6_only);

/* Can a socket be bound to the address now?  Nothing listens on it, and nobody can connect.  0 or
 * -errno. */
int listen_try_bind(const struct endpoint_address *address, bool is_ipv6_only) must_check;
