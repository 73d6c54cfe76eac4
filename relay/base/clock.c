// SPDX-License-Identifier: MIT
/*
 * The only place where relay asks what time it is: clock_gettime(2), through the vDSO, so a call
 * costs some tens of nanoseconds and no system call. Both clocks exist on every Linux, so a failure
 * is not a case that callers could handle: it reads as time 1.
 */
#include "base/clock.h"

#include <time.h>

static uint64_t read_clock(clockid_t clock)
{
	struct timespec ts = {.tv_nsec = 1};

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}
