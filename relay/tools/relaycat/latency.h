// SPDX-License-Identifier: MIT
/* Latencies in a log-linear histogram: 32 steps for each power of two, so a quantile is at most
 * 3 % off, at any value, in a fixed 15 KiB.
 *
 * Pure: no clock.  The unit is the caller's; the tools use nanoseconds. */
#pragma once

#include <stdint.h>

enum {
	LATENCY_STEPS = 32, // for each power of two
	LATENCY_BUCKETS = 60 * LATENCY_STEPS,
	LATENCY_TEXT_BYTES = 96,
};

struct latency {
	uint64_t total; // values added
	uint64_t max;   // exact
	uint64_t bucket[LATENCY_BUCKETS];
};

/* Also how to start anew. */
void latency_init(struct latency *latency);

/* The same value `times` times. */
void latency_add(struct latency *latency, uint64_t value, uint64_t times);

/* The value that `permille` of 1000 values do not exceed, rounded up to its step and at most max;
 * 0 when nothing was added. */
uint64_t latency_quantile(const struct latency *latency, unsigned permille);

/* "latency p50=12.3us p99=45.6us max=78.9us", of nanoseconds.  Returns buf. */
const char *latency_print(const struct latency *latency, char buf[LATENCY_TEXT_BYTES]);
