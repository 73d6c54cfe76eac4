// SPDX-License-Identifier: MIT
/*
 * The socket calls of the bench: numeric IPv4 addresses on loopback only, and the pinning of a
 * process to a core. A returned fd belongs to the caller.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <netinet/in.h>
#include <stdint.h>

/* Parses "[tcp:]127.0.0.1:PORT". Returns 0 or -EINVAL; addresses outside 127.0.0.0/8 are refused.
 */
int wire_parse_address(const char *text, struct sockaddr_in *ret);

/* Listens on a free loopback port. Returns a non-blocking fd or -errno; ret gets the address. */
int wire_listen(const char *congestion, struct sockaddr_in *ret);

/*
 * Connects, blocking, then makes the socket non-blocking. rcvbuf 0 and congestion "" leave what the
 * system has. Returns the fd or -errno.
 */
int wire_connect(const struct sockaddr_in *address, uint64_t rcvbuf, const char *congestion);

void wire_set_nodelay(int fd);

/* Pins the calling process to one core; -1 does nothing. Returns 0 or -errno. */
int wire_pin(int cpu);

#endif
