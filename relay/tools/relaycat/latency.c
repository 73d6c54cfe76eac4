// SPDX-License-Identifier: MIT
/* The histogram.  Values below LATENCY_STEPS have a bucket each; above, the bucket is the power
 * of two and the five bits after the leading one.  Every value has exactly one bucket. */
#include "tools/relaycat/latency.h"

#include "base/compiler.h"

#include <stdio.h>
#include <string.h>

enum {
	STEP_BITS = 5,
};

_Static_assert(1 << STEP_BITS == LATENCY_STEPS, "steps are whole bits");

static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < LATENCY_STEPS)
		return (unsigned)value;
	shift = 63 - (unsigned)__builtin_clzll(value) - STEP_BITS;
	// The leading one, still in the shifted value, is what makes room for the bucket row
	// before.
	return shift * LATENCY_STEPS + (unsigned)(value >> shift);
}

static uint64_t largest_in_bucket(unsigned bucket)
{
	unsigned shift;

	if (bucket < LATENCY_STEPS)
		return bucket;
	shift = bucket / LATENCY_STEPS - 1;
	return ((uint64_t)(bucket - shift * LATENCY_STEPS) << shift) + ((1ULL << shift) - 1);
}

void latency_init(struct latency *latency)
{
	memset(latency, 0, sizeof *latency);
}

void latency_add(struct latency *latency, uint64_t value, uint64_t times)
{
	latency->bucket[bucket_of(value)] += times;
	latency->total += times;
	latency->max = u64_max(latency->max, value);
}

uint64_t latency_quantile(const struct latency *latency, unsigned permille)
{
	uint64_t wanted =
		latency->total / 1000 * permille + (latency->total % 1000 * permille + 999) / 1000;
	uint64_t seen = 0;

	if (latency->total == 0)
		return 0;
	for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
		seen += latency->bucket[i];
		if (seen > 0 && seen >= wanted)
			return u64_min(largest_in_bucket(i), latency->max);
	}
	return latency->max;
}

const char *latency_print(const struct latency *latency, char buf[LATENCY_TEXT_BYTES])
{
	double us = 1000.0;

	(void)snprintf(buf, LATENCY_TEXT_BYTES, "latency p50=%.1fus p99=%.1fus max=%.1fus",
		       (double)latency_quantile(latency, 500) / us,
		       (double)latency_quantile(latency, 990) / us, (double)latency->max / us);
	return buf;
}
