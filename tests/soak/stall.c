// SPDX-License-Identifier: MIT
/*
 * Stall: thousands that never read, beside a few that do. TCP memory is the machine's, so what the
 * stalled ones hold on their own side (SO_MEMINFO) is told apart from it; what is left is relay's
 * side, and whatever else the machine does.
 */
#include "soak.h"

#include "base/clock.h"
#include "tests/bench/cost.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define JOINS_PER_TICK 5
#define TICK_NS        NS_PER_MS
#define SETTLE_NS      (2 * NS_PER_S)
#define RECOVERY_NS    (5 * NS_PER_S)

struct sample {
	uint64_t rss, tcp;
	struct soak_fds fds;
};

struct stall {
	struct crowd crowd;
	struct sample before, most, after;
	uint64_t client_tcp;    /* held by the stalled ones' own sockets at the end */
	uint64_t stalled_alive; /* at the end: not closed by relay */
	uint64_t readers_alive;
};

static void take_sample(const struct stall *stall, struct sample *ret)
{
	ret->rss = cost_read_rss(stall->crowd.params->relay_pid);
	soak_count_fds(stall->crowd.params->relay_pid, &ret->fds);
	ret->tcp = soak_read_tcp_memory();
}

/* rss and tcp only: counting descriptors takes a while. */
static void note_most(struct stall *stall)
{
	uint64_t rss = cost_read_rss(stall->crowd.params->relay_pid), tcp = soak_read_tcp_memory();

	stall->most.rss = rss > stall->most.rss ? rss : stall->most.rss;
	stall->most.tcp = tcp > stall->most.tcp ? tcp : stall->most.tcp;
}

static int join_all(struct stall *stall)
{
	struct crowd *crowd = &stall->crowd;
	uint64_t tick_ns = clock_mono_ns();
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < crowd->params->subscribers; i++) {
		r = crowd_join(crowd, i, i < crowd->params->readers);
		if (r == 0 && i % JOINS_PER_TICK == 0)
			r = crowd_run(crowd, tick_ns += TICK_NS);
	}
	return r;
}

static void look_at_stalled(struct stall *stall)
{
	const struct soak_params *params = stall->crowd.params;

	for (uint64_t i = 0; i < params->subscribers; i++) {
		uint32_t memory[SK_MEMINFO_VARS] = {0};
		socklen_t length = sizeof(memory);
		struct tcp_info state;
		int fd = stall->crowd.members[i].fd;

		if (i < params->readers) {
			stall->readers_alive += fd >= 0 && stall->crowd.members[i].has_first;
			continue;
		}
		if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) == 0)
			stall->client_tcp +=
				memory[SK_MEMINFO_RMEM_ALLOC] + memory[SK_MEMINFO_FWD_ALLOC];
		length = sizeof(state);
		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &length) == 0)
			stall->stalled_alive += state.tcpi_state == TCP_ESTABLISHED;
	}
}

static int run_plan(struct stall *stall)
{
	struct crowd *crowd = &stall->crowd;
	const struct soak_params *params = crowd->params;
	int r = crowd_run(crowd, clock_mono_ns() + SETTLE_NS);

	take_sample(stall, &stall->before);
	if (r == 0)
		r = join_all(stall);
	for (uint64_t i = 0; r == 0 && i < (uint64_t)params->seconds; i++) {
		r = crowd_run(crowd, clock_mono_ns() + NS_PER_S);
		note_most(stall);
	}
	soak_count_fds(params->relay_pid, &stall->most.fds);
	look_at_stalled(stall);
	for (uint64_t i = params->readers; i < params->subscribers; i++)
		crowd_leave(crowd, i, i % 2);
	if (r == 0)
		r = crowd_run(crowd, clock_mono_ns() + RECOVERY_NS);
	take_sample(stall, &stall->after);
	return r;
}

static void print_result(const struct stall *stall)
{
	const struct crowd *crowd = &stall->crowd;
	double stalled = (double)(crowd->params->subscribers - crowd->params->readers);
	double tcp = (double)stall->most.tcp - (double)stall->before.tcp;

	printf("{\"plan\": \"stall\", \"stalled\": %.0f, \"stalled_alive\": %llu, \"readers\": "
	       "%llu, "
	       "\"readers_alive\": %llu, ",
	       stalled, (unsigned long long)stall->stalled_alive,
	       (unsigned long long)crowd->params->readers,
	       (unsigned long long)stall->readers_alive);
	printf("\"bytes\": %llu, \"foreign\": %llu, \"gaps\": %llu, \"cut_off\": %llu, ",
	       (unsigned long long)crowd->bytes, (unsigned long long)crowd->foreign,
	       (unsigned long long)crowd->gaps, (unsigned long long)crowd->cut_off);
	printf("\"rss_before\": %llu, \"rss_most\": %llu, \"rss_after\": %llu, ",
	       (unsigned long long)stall->before.rss, (unsigned long long)stall->most.rss,
	       (unsigned long long)stall->after.rss);
	printf("\"sockets_before\": %llu, \"sockets_full\": %llu, \"sockets_after\": %llu, ",
	       (unsigned long long)stall->before.fds.sockets,
	       (unsigned long long)stall->most.fds.sockets,
	       (unsigned long long)stall->after.fds.sockets);
	printf("\"others_before\": %llu, \"others_full\": %llu, \"others_after\": %llu, ",
	       (unsigned long long)stall->before.fds.others,
	       (unsigned long long)stall->most.fds.others,
	       (unsigned long long)stall->after.fds.others);
	printf("\"tcp_before\": %llu, \"tcp_most\": %llu, \"tcp_after\": %llu, ",
	       (unsigned long long)stall->before.tcp, (unsigned long long)stall->most.tcp,
	       (unsigned long long)stall->after.tcp);
	printf("\"tcp_per_stalled\": %.0f, \"tcp_client_per_stalled\": %.0f}\n", tcp / stalled,
	       (double)stall->client_tcp / stalled);
}

int soak_run_stall(const struct soak_params *params)
{
	struct stall *stall = calloc(1, sizeof(*stall));
	int r;

	if (!stall)
		return -ENOMEM;
	r = crowd_open(&stall->crowd, params);
	if (r == 0)
		r = run_plan(stall);
	if (r == 0)
		print_result(stall);
	else
		fprintf(stderr, "relay-soak: stall: %s\n", strerror(-r));
	crowd_close(&stall->crowd);
	free(stall);
	return r;
}
