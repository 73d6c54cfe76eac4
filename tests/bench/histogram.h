// SPDX-License-Identifier: MIT
/*
 * A log-linear histogram of nanoseconds: 64 equal steps in each power of two, so a percentile is
 * right within 1.6 %. Fixed memory, no allocation; 0..2^63 all have a place.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEP_BITS 6
#define HISTOGRAM_STEPS     (1u << HISTOGRAM_STEP_BITS)
#define HISTOGRAM_CELLS     ((64 - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS)

struct histogram {
	uint64_t cells[HISTOGRAM_CELLS];
	uint64_t count;
	uint64_t max;
};

void histogram_add(struct histogram *histogram, uint64_t value);

/*
 * The value that `share` (0..1) of all values do not exceed: the upper edge of its step, and never
 * more than the largest value seen. 0 for an empty histogram.
 */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
