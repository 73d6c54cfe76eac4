// SPDX-License-Identifier: MIT
/*
 * What a run costs, read from /proc: CPU seconds of the server, of the whole machine (softirq work
 * moves between cores, so the server's own figure misleads), memory and descriptors of the server.
 */
#ifndef BENCH_COST_H
#define BENCH_COST_H

#include <stdint.h>
#include <sys/types.h>

struct cost {
	double server_s; /* utime + stime of the server, all its threads */
	double load_s;   /* of the calling process */
	double system_s; /* all but idle and iowait, all cores */
};

/* Reads them now; a server_pid of 0, or one that has gone, leaves server_s 0. */
void cost_read(pid_t server_pid, struct cost *ret);

/* Cores that others than server and load kept busy, on average over these seconds between two
 * costs. */
double cost_others(const struct cost *from, const struct cost *to, double seconds);

/* Resident bytes of a process; 0 when it cannot be read. */
uint64_t cost_read_rss(pid_t pid);

/* Open descriptors of a process; 0 when they cannot be read. */
uint64_t cost_count_fds(pid_t pid);

#endif
