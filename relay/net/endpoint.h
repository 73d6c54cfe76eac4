// SPDX-License-Identifier: MIT
/* An address as the operator writes it, and as relay prints it.
 *
 *   tcp:HOST:PORT   tcp:[V6]:PORT   tcp:*:PORT   tcp::PORT   unix:PATH   unix:@ABSTRACT
 * systemd:NAME
 *
 * An endpoint that endpoint_parse() returned is well formed; whether its name resolves or its path
 * can be bound is only known when it is used.  Names are looked up here for listening only, where
 * blocking at start and reload is fine; for connecting, net/resolver.h does not block. */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/compiler.h"

struct errmsg;

enum endpoint_kind {
	ENDPOINT_TCP,
	ENDPOINT_UNIX,
	ENDPOINT_PASSED, /* a socket that the service manager made and listens on */
};

struct endpoint {
	enum endpoint_kind kind;
	char host[256]; /* tcp: name or address without brackets; "" means any address; passed: its
			   name there */
	char port[8];   /* tcp: "0" to "65535" */
	char path[108]; /* unix: a first '@' stands for the zero byte of an abstract name */
	int passed_fd;  /* passed: the socket, whose owner is elsewhere; of another kind: one that
			   listens there already; -1 after endpoint_parse() */
};

/* Room for every text that the print functions make, with its zero byte. */
#define ENDPOINT_TEXT_BYTES 320

/* A socket address that is ready for bind() or connect(). */
struct endpoint_address {
	struct sockaddr_storage storage;
	socklen_t bytes;
};

/* Read `text` into *ret, which is left alone on failure.
 * Returns 0 or -EINVAL; `err` then says what is wrong and what was expected. */
int endpoint_parse(const char *text, struct endpoint *ret, struct errmsg *err) must_check;

/* The text that endpoint_parse() would read again; "any address" is printed as "*". */
void endpoint_print(char *buf, size_t size, const struct endpoint *endpoint);

/* The address of the other end of `fd`, or of this end: "tcp:127.0.0.1:5555", "tcp:[::1]:5555",
 * "unix:/path", "unix:" for an unnamed one, "unknown" when the kernel does not tell.  An IPv4 peer
 * of a dual-stack socket is printed as IPv4. */
void endpoint_print_peer(char *buf, size_t size, int fd);
void endpoint_print_local(char *buf, size_t size, int fd);

/* The address of the other end as IPv6, IPv4 at ::ffff:0:0/96.  Returns 0; -EAFNOSUPPORT for a unix
 * socket; or what getpeername(2) says, -ENOTCONN when the peer has reset already. */
int endpoint_peer_address(int fd, struct in6_addr *ret) must_check;

/* The address of the other end of `fd`.  bytes is 0 when the kernel does not tell. */
void endpoint_peer(int fd, struct endpoint_address *ret);

/* As endpoint_print_peer() and endpoint_peer_address(), of an address that is known: one that a
 * PROXY header named, perhaps.  Without bytes: "unknown", -ENOTCONN. */
void endpoint_print_address(char *buf, size_t size, const struct endpoint_address *address);
int endpoint_address_ip(const struct endpoint_address *address, struct in6_addr *ret) must_check;

/* The socket address of a unix endpoint. */
void endpoint_unix_address(const struct endpoint *endpoint, struct endpoint_address *ret);

/* Listen on `endpoint`: non-blocking, close-on-exec.  A name is looked up, which may block; of
 * several addresses the first that can be bound is taken.  Any address means IPv6 and IPv4 on one
 * socket (IPv4 alone where the kernel has no IPv6).  A socket file on which nothing answers any
 * more is replaced; the new one has mode 0660.  Of a passed socket *ret_fd is a duplicate, so
 * closing it does not stop the service manager's socket; -EINVAL when it is no listening stream
 * socket. *ret_fd is the caller's.  Returns 0 or -errno; `err` is "listen ADDRESS: reason". */
int endpoint_listen(const struct endpoint *endpoint, int backlog, int *ret_fd,
		    struct errmsg *err) must_check;

/* Remove the socket file of a unix endpoint if nothing answers on it.  To be called after the last
 * listening descriptor was closed; a file that somebody else listens on by now, or that still has
 * a listening duplicate elsewhere, stays.  Nothing is done for the other kinds. */
void endpoint_unlink(const struct endpoint *endpoint);
