// SPDX-License-Identifier: MIT
/*
 * The plans of relay-soak. Each prints one line of JSON with what it saw, and judges nothing:
 * tests/soak/run does.
 */
#ifndef SOAK_SOAK_H
#define SOAK_SOAK_H

#include "crowd.h"

/* `subscribers` join, then `churn` a second leave and others join, then all leave. Returns 0, or
 * -errno after a line on stderr. */
int soak_run_churn(const struct soak_params *params);

/* `readers` of the subscribers read, the others stand still from the start, then all of those go.
 * Same contract. */
int soak_run_stall(const struct soak_params *params);

/* All join and read at full rate while relay is told `upgrades` times, evenly over `seconds`, to
 * run its program anew; then they take the rest. Same contract. */
int soak_run_upgrade(const struct soak_params *params);

/* Bytes of TCP memory in use on the whole machine (/proc/net/sockstat); 0 when it cannot be read.
 */
uint64_t soak_read_tcp_memory(void);

struct soak_fds {
	uint64_t sockets, others; /* others: pipes of the rings, mostly */
};

/* The descriptors that relay holds now (/proc/PID/fd). */
void soak_count_fds(pid_t pid, struct soak_fds *ret);

/* Runs the crowd until relay holds at most `sockets` sockets, or for limit_ns; *ret is what it
 * holds then. */
void soak_wait_sockets(struct crowd *crowd, uint64_t sockets, uint64_t limit_ns,
		       struct soak_fds *ret);

#endif
