// SPDX-License-Identifier: MIT
/*
 * Upgrade: everybody reads what the publishers send as fast as it is taken, while relay's program
 * is run anew again and again. In the end everybody must have come as far as the publishers have.
 */
#include "soak.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOINS_PER_TICK 5
#define TICK_NS        NS_PER_MS
#define SETTLE_NS      (2 * NS_PER_S)
#define LULL_NS        (20 * NS_PER_S) /* without a byte for anybody: nothing more comes */

struct upgrade {
	struct crowd crowd;
	uint64_t quiet_before_ns; /* longest quiet without any upgrade, for comparison */
	uint64_t bytes_before;
	uint64_t behind; /* members that did not come to the end */
};

static int join_all(struct crowd *crowd)
{
	uint64_t tick_ns = clock_mono_ns();
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < crowd->params->subscribers; i++) {
		r = crowd_join(crowd, i, true);
		if (r == 0 && i % JOINS_PER_TICK == 0)
			r = crowd_run(crowd, tick_ns += TICK_NS);
	}
	return r;
}

static uint64_t count_behind(const struct crowd *crowd)
{
	uint64_t behind = 0;

	for (uint64_t i = 0; i < crowd->params->subscribers; i++) {
		const struct member *member = &crowd->members[i];

		behind += member->fd < 0 || !member->check.is_located ||
			  member->check.offset != crowd->feeds[member->feed].offset;
	}
	return behind;
}

static int take_rest(struct upgrade *upgrade)
{
	int r = 0;

	upgrade->crowd.is_quiet = true;
	do {
		r = crowd_run(&upgrade->crowd, clock_mono_ns() + NS_PER_S / 2);
		upgrade->behind = count_behind(&upgrade->crowd);
	} while (r == 0 && upgrade->behind && clock_mono_ns() - upgrade->crowd.heard_ns < LULL_NS);
	return r;
}

/* Tells relay. A command runs beside the crowd, and has ended when the next one is due. */
static int start_upgrade(const struct soak_params *params, pid_t *shell)
{
	char name[] = "sh", option[] = "-c";
	char *arguments[] = {name, option, params->command, NULL};
	int status = 0;

	if (!params->command)
		return kill(params->relay_pid, SIGUSR2) < 0 ? -errno : 0;
	if (*shell && (waitpid(*shell, &status, 0) < 0 || status))
		return -EIO;
	return -posix_spawn(shell, "/bin/sh", NULL, NULL, arguments, environ);
}

static int run_plan(struct upgrade *upgrade)
{
	struct crowd *crowd = &upgrade->crowd;
	const struct soak_params *params = crowd->params;
	uint64_t step_ns = (uint64_t)(params->seconds * 1e9) / params->upgrades;
	int r = join_all(crowd);
	pid_t shell = 0;

	crowd->is_full_rate = true;
	if (r == 0)
		r = crowd_run(crowd, clock_mono_ns() + SETTLE_NS);
	crowd->longest_quiet_ns = 0;
	if (r == 0)
		r = crowd_run(crowd, clock_mono_ns() + 2 * step_ns);
	upgrade->quiet_before_ns = crowd->longest_quiet_ns;
	upgrade->bytes_before = crowd->bytes;
	crowd->longest_quiet_ns = 0;
	for (uint64_t i = 0; r == 0 && i < params->upgrades; i++) {
		r = start_upgrade(params, &shell);
		if (r == 0)
			r = crowd_run(crowd, clock_mono_ns() + step_ns);
	}
	if (shell)
		(void)waitpid(shell, NULL, 0);
	return r < 0 ? r : take_rest(upgrade);
}

int soak_run_upgrade(const struct soak_params *params)
{
	struct upgrade *upgrade = calloc(1, sizeof(*upgrade));
	struct crowd *crowd;
	int r;

	if (!upgrade)
		return -ENOMEM;
	crowd = &upgrade->crowd;
	r = crowd_open(crowd, params);
	if (r == 0)
		r = run_plan(upgrade);
	if (r < 0)
		fprintf(stderr, "relay-soak: %s\n", strerror(-r));
	printf("{\"plan\": \"upgrade\", \"upgrades\": %llu, \"bytes\": %llu, \"foreign\": %llu, "
	       "\"gaps\": %llu, \"cut_off\": %llu, \"behind\": %llu, ",
	       (unsigned long long)params->upgrades, (unsigned long long)crowd->bytes,
	       (unsigned long long)crowd->foreign, (unsigned long long)crowd->gaps,
	       (unsigned long long)crowd->cut_off, (unsigned long long)upgrade->behind);
	printf("\"bytes_under_upgrades\": %llu, \"quiet_before_ms\": %.1f, \"quiet_ms\": %.1f}\n",
	       (unsigned long long)(crowd->bytes - upgrade->bytes_before),
	       (double)upgrade->quiet_before_ns / 1e6, (double)crowd->longest_quiet_ns / 1e6);
	crowd_close(crowd);
	free(upgrade);
	return r;
}
