// SPDX-License-Identifier: MIT
/*
 * The floors that relay is compared with: the barest fan-out loops there can be, without slow
 * handling, framing, ring or limits, each in a forked process on a core of its own.
 *   copy:   recv a piece, send it to each subscriber
 *   splice: splice a segment into a pipe, then tee + splice it to each subscriber
 *   pair:   recv a piece, send it through a socket pair into a pipe, whose slots are then dense
 *           however the piece came, then tee + splice it to each subscriber
 * A subscriber that takes no more is waited for, so one of them can stall the others; the load of
 * the bench reads all of them without pause.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "bench.h"

/*
 * Forks the loop that params->floor names, listening on two free loopback ports; writes them and
 * the process id into *params. The process ends when its publisher does, or with the caller.
 * Returns 0 or -errno.
 */
int floor_start(struct bench_params *params);

/* Kills the process of floor_start() and waits for it. */
void floor_stop(const struct bench_params *params);

#endif
