// SPDX-License-Identifier: MIT
/*
 * How long a loop keeps what comes in waiting: the time from one wait for events to the next, as a
 * histogram.  Nothing is served later than one such turn because of relay.
 */
#pragma once

#include <ev.h>
#include <stdint.h>

enum {
	LOOP_LAG_BUCKETS = 14
};

/* Upper bounds of the buckets, inclusive, in microseconds; the last one has none. */
extern const uint64_t loop_lag_bounds_us[LOOP_LAG_BUCKETS - 1];

struct loop_lag_counts {
	uint64_t buckets[LOOP_LAG_BUCKETS];
	uint64_t sum_us;
	uint64_t max_us;
};

/* Two watchers; what they count belongs to the loop's thread. */
struct loop_lag {
	struct loop_lag_counts counts; /* ro */
	uint64_t woke_ns;              /* private */
	ev_check woke;                 /* private */
	ev_prepare sleeps;             /* private */
};

/* Neither keeps the loop alive. */
void loop_lag_start(struct loop_lag *lag, struct ev_loop *loop);
void loop_lag_stop(struct loop_lag *lag, struct ev_loop *loop);

uint64_t loop_lag_total(const struct loop_lag_counts *counts);

/* The upper bound of the bucket in which the share (0 to 1) of turns is reached, never more than
 * the longest turn; 0 when there was none. */
uint64_t loop_lag_quantile_us(const struct loop_lag_counts *counts, double share);
