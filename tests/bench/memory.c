// SPDX-License-Identifier: MIT
/*
 * Memory mode: what an idle subscriber costs the server in resident memory and in descriptors.
 * Socket buffers are the kernel's and not in it.
 */
#include "base/clock.h"
#include "base/fd.h"
#include "bench.h"
#include "cost.h"
#include "reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ACCEPT_LIMIT_NS (10 * NS_PER_S)
#define SETTLE_NS       (300 * NS_PER_MS)

/* Until the server holds `wanted` descriptors, then a little longer. False when it never does. */
static bool wait_accepted(pid_t pid, uint64_t wanted)
{
	uint64_t start_ns = clock_mono_ns();
	struct timespec pause = {.tv_nsec = 20 * (long)NS_PER_MS};
	struct timespec settle = {.tv_nsec = (long)SETTLE_NS};

	while (cost_count_fds(pid) < wanted) {
		if (clock_mono_ns() - start_ns > ACCEPT_LIMIT_NS)
			return false;
		nanosleep(&pause, NULL);
	}
	nanosleep(&settle, NULL);
	return true;
}

static void print_result(const struct bench_params *params, uint64_t rss_before,
			 uint64_t fds_before)
{
	uint64_t rss_after = cost_read_rss(params->server_pid);
	uint64_t fds_after = cost_count_fds(params->server_pid);
	double subscribers = (double)params->subscribers;

	printf("{\"mode\": \"memory\", \"subscribers\": %llu, ",
	       (unsigned long long)params->subscribers);
	printf("\"rss_before\": %llu, \"rss_after\": %llu, \"rss_per_subscriber\": %.1f, ",
	       (unsigned long long)rss_before, (unsigned long long)rss_after,
	       ((double)rss_after - (double)rss_before) / subscribers);
	printf("\"fds_per_subscriber\": %.3f}\n",
	       ((double)fds_after - (double)fds_before) / subscribers);
}

int bench_run_memory(const struct bench_params *params)
{
	uint64_t rss_before = cost_read_rss(params->server_pid);
	uint64_t fds_before = cost_count_fds(params->server_pid);
	int *fds = malloc(params->subscribers * sizeof(*fds));
	int publisher = -1, r;

	if (!fds)
		return -ENOMEM;
	r = reader_connect(params, params->subscribers, fds, &publisher);
	if (r == 0 && !wait_accepted(params->server_pid, fds_before + params->subscribers)) {
		fprintf(stderr, "relay-bench: the server did not accept all subscribers\n");
		r = -ETIMEDOUT;
	}
	if (r == 0)
		print_result(params, rss_before, fds_before);
	for (uint64_t i = 0; i < params->subscribers; i++)
		fd_close(&fds[i]);
	fd_close(&publisher);
	free(fds);
	return r;
}
