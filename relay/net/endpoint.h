// SPDX-License-Identifier: MIT
/*
 * An address as the operator writes it, and as relay prints it.  Read this header first in net/,
 * the folder of sockets.
 *
 *   tcp:HOST:PORT    tcp:[V6]:PORT     tcp:*:PORT    tcp::PORT
 *   unix:PATH        unix:@ABSTRACT    systemd:NAME
 *
 *   listener.h, listen_socket.h                  connections that come in
 *   connector.h, resolver.h                      connections that go out
 *   access.h, peer_count.h, peer_rate.h          who may connect, how many, and how often
 *   peer_socket.h, fd_message.h                  descriptors that come beside bytes
 *   sockopt.h, proxy_protocol.h                  what the kernel and a proxy are asked and told
 *
 * endpoint_parse() returns a well-formed endpoint.  Whether its name can be looked up, or its path
 * be bound, shows only when it is used.
 *
 * A name is looked up for listening by net/listen_socket.h: that blocks, and only at the start and
 * at a reload.  To connect, use net/resolver.h, which does not block.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/compiler.h"

struct errmsg;

#define ENDPOINT_FILE_MODE   0660
#define ENDPOINT_GROUP_BYTES 33 /* groupadd(8) takes 32 */

enum endpoint_kind {
	ENDPOINT_TCP,
	ENDPOINT_UNIX,
	ENDPOINT_PASSED, /* a socket that the service manager made and listens on */
};

struct endpoint {
	enum endpoint_kind kind;
	char host[256]; /* tcp: name, or address without brackets; "" means any address.  passed:
			   the name that the service manager gave it */
	char port[8];   /* tcp: "0" to "65535" */
	char path[108]; /* unix: a first '@' stands for the zero byte of an abstract name */
	int passed_fd;  /* never owned; -1 after endpoint_parse().  passed: the socket.  tcp, unix:
			   a socket that listens there already; -1: none */

	/* How it is listened on.  The values of endpoint_parse() stand behind each. */
	bool is_ipv6_only;                /* tcp, of [::]: IPv4 is listened on apart; false */
	mode_t mode;                      /* unix, of the file; ENDPOINT_FILE_MODE */
	char group[ENDPOINT_GROUP_BYTES]; /* unix, of the file; "": that of the process */
};

/* Room for every text that the print functions make, with its zero byte. */
#define ENDPOINT_TEXT_BYTES 320

/* A socket address that is ready for bind() or connect(). */
struct endpoint_address {
	struct sockaddr_storage storage;
	socklen_t bytes;
};

/* The address of a peer where there are very many of them. */
struct peer_address {
	struct in6_addr ip; /* as of endpoint_address_ip(); all zero: unknown */
	uint32_t port;
};

/* Read `text` into *ret.  Returns 0; or -EINVAL, and then `err` says what is wrong and what was
 * expected, and *ret has not changed. */
int endpoint_parse(const char *text, struct endpoint *ret, struct errmsg *err) must_check;

/* The text that endpoint_parse() would read again; "any address" is printed as "*". */
void endpoint_print(char *buf, size_t size, const struct endpoint *endpoint);

/* The address of this end of `fd` as text: "tcp:127.0.0.1:5555", "tcp:[::1]:5555", "unix:/path";
 * "unix:" for a unix socket without a name; "unknown" when the kernel does not tell. */
void endpoint_print_local(char *buf, size_t size, int fd);

/* The address of the other end of `fd`.  bytes is 0 when the kernel does not tell. */
void endpoint_peer(int fd, struct endpoint_address *ret);

/* The address of a peer, in the same words; "unknown" where its bytes are 0.  An IPv4 peer of a
 * dual-stack socket is printed as IPv4.
 *
 * A unix peer chooses its name.  Blanks and all but printable ASCII become ?, so that a name is one
 * word of a line of the log, and one field of the journal. */
void endpoint_print_address(char *buf, size_t size, const struct endpoint_address *address);

/* The address as IPv6, IPv4 and zones as in base/cidr.h.  Returns 0; -EAFNOSUPPORT for a unix
 * socket; -ENOTCONN without bytes. */
int endpoint_address_ip(const struct endpoint_address *address, struct in6_addr *ret) must_check;

/* The same with the port; unknown where it is no IP address. */
void endpoint_pack_peer(const struct endpoint_address *address, struct peer_address *ret);

/* The other way round.  False: unknown, and *ret has not changed. */
bool endpoint_unpack_peer(const struct peer_address *peer, struct endpoint_address *ret) must_check;

/* The socket address of a unix endpoint. */
void endpoint_unix_address(const struct endpoint *endpoint, struct endpoint_address *ret);

/* Remove the socket file of a unix endpoint if nothing answers on it.  To be called after the last
 * listening descriptor was closed.  The file stays when another process listens on it by now, or
 * when a duplicate of the descriptor still listens.  Nothing is done for the other kinds. */
void endpoint_unlink(const struct endpoint *endpoint);
