// SPDX-License-Identifier: MIT
/* The socket options that relay sets, each with its reason (in sockopt.c).
 *
 * Works on connected TCP and unix sockets; what a kind of socket does not have is left out.
 * Non-blocking mode is not set here: a descriptor is born with it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct errmsg;

/* 0 or "" leaves the kernel's default. */
struct sockopt_params {
	uint64_t send_buffer;     /* bytes, as the kernel takes them (it doubles them) */
	uint64_t notsent_lowat;   /* bytes not yet sent above which the socket is not writable */
	uint64_t user_timeout_ms; /* unacknowledged for so long: the peer is gone */
	uint64_t keepalive_ms;    /* silent for so long: the peer is gone */
	char congestion[16];      /* name of a congestion control */
};

/* Apply to a subscriber's socket; a unix socket gets send_buffer only.  All options are tried.
 * Returns 0 or the -errno of the first that failed; `err` names it.  The socket stays usable. */
int sockopt_apply_subscriber(int fd, const struct sockopt_params *params, struct errmsg *err);

/* Apply to a publisher's socket.  keepalive_ms as above.  Returns as above. */
int sockopt_apply_publisher(int fd, uint64_t keepalive_ms, struct errmsg *err);

/* TCP_USER_TIMEOUT (tcp(7)) in milliseconds; 0: there is none, or it is no TCP socket.
 *
 * Linux counts it in two cases: something that was sent is not acknowledged, or the peer's window
 * is closed.  In the second case it counts from the first probe of the window, although the peer
 * may acknowledge each one (tcp_probe_timer(), net/ipv4/tcp_timer.c).  Both end with ETIMEDOUT. */
uint32_t sockopt_user_timeout(int fd);
void sockopt_set_user_timeout(int fd, uint32_t ms);

/* What an option of a socket is that has a number (getsockopt(2)); or -errno: ENOTSOCK, EBADF,
 * ENOPROTOOPT.  Not for options that may be below 0. */
int sockopt_number(int fd, int level, int option);

/* Whether it is a TCP socket; not for -1. */
bool sockopt_is_tcp(int fd);

/* Whether it is a socket that listens. */
bool sockopt_is_listening(int fd);

/* From how many bytes on a TCP socket is readable (SO_RCVLOWAT, socket(7)).  Its end makes it
 * readable all the same, and so does a window that is about to close (tcp_epollin_ready(),
 * net/ipv4/tcp.c, Linux 5.12).  The kernel takes half of the receive buffer at most. */
void sockopt_set_low_water(int fd, uint64_t bytes);

/* It is readable from its first byte on, as every socket is at first. */
void sockopt_clear_low_water(int fd);

/* Makes close() send RST instead of FIN and drop what is queued (SO_LINGER, socket(7)), so that the
 * peer cannot take the end for a clean one.  Cannot fail in a way that matters; does nothing to a
 * unix socket. */
void sockopt_set_reset_on_close(int fd);

/* Makes close() the ordinary one again. */
void sockopt_clear_reset_on_close(int fd);

/* The socket's cookie: no other socket has the same one until the machine starts again (SO_COOKIE,
 * socket(7)).  It tells two sockets apart that had the same descriptor number one after the other.
 * Returns 0 or -errno: ENOTSOCK, EBADF; *ret_cookie then says nothing. */
must_check int sockopt_cookie(int fd, uint64_t *ret_cookie);

/* Whether the descriptor is the socket with this cookie; false for what is no socket, and for
 * -1. */
must_check bool sockopt_has_cookie(int fd, uint64_t cookie);

/* The peer has closed or reset the connection (POLLRDHUP, poll(2)); bytes of it may be unread. */
bool sockopt_is_peer_closed(int fd);
