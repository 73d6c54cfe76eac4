// SPDX-License-Identifier: MIT
/* A loop for tests that wait: when nothing comes of it, the test fails instead of hanging. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ev.h>

static inline void on_ceiling(struct ev_loop *loop, struct ev_timer *ceiling, int revents)
{
	(void)revents;
	ev_break(loop, EVBREAK_ALL);
	fail_msg("nothing came of it within %d s", (int)(intptr_t)ceiling->data);
}

/* A new loop.  A test that is still in it after so many seconds has failed. */
static inline struct ev_loop *begin_loop(struct ev_timer *ceiling, int seconds)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);

	assert_non_null(loop);
	ev_timer_init(ceiling, on_ceiling, seconds, 0.0);
	ceiling->data = (void *)(intptr_t)seconds;
	ev_timer_start(loop, ceiling);
	return loop;
}

/* Nothing that was stopped may be left in the loop: it ends at once. */
static inline void end_loop(struct ev_loop *loop, struct ev_timer *ceiling)
{
	ev_timer_stop(loop, ceiling);
	assert_int_equal(ev_run(loop, EVRUN_NOWAIT), 0);
	ev_loop_destroy(loop);
}

/* Of a rig with such a loop. */
#define run_until(rig, condition)                                                                  \
	do {                                                                                       \
		while (!(condition))                                                               \
			ev_run((rig)->loop, EVRUN_ONCE);                                           \
	} while (0)
