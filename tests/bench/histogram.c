// SPDX-License-Identifier: MIT
/*
 * The log-linear histogram. Values below 64 have a cell each; above, the highest set bit picks the
 * power of two and the six bits after it the step.
 */
#include "histogram.h"

static unsigned int cell_of(uint64_t value)
{
	unsigned int shift;

	if (value < HISTOGRAM_STEPS)
		return (unsigned int)value;
	shift = 63u - (unsigned int)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
	return (shift + 1) * HISTOGRAM_STEPS + (unsigned int)((value >> shift) - HISTOGRAM_STEPS);
}

static uint64_t cell_upper_edge(unsigned int cell)
{
	unsigned int shift;

	if (cell < HISTOGRAM_STEPS)
		return cell;
	shift = cell / HISTOGRAM_STEPS - 1;
	return (((uint64_t)(cell % HISTOGRAM_STEPS) + HISTOGRAM_STEPS + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->cells[cell_of(value)]++;
	histogram->count++;
	if (value > histogram->max)
		histogram->max = value;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
	uint64_t wanted = (uint64_t)((double)histogram->count * share + 0.5);
	uint64_t seen = 0;

	for (unsigned int cell = 0; cell < HISTOGRAM_CELLS; cell++) {
		seen += histogram->cells[cell];
		if (seen && seen >= wanted) {
			uint64_t edge = cell_upper_edge(cell);

			return edge < histogram->max ? edge : histogram->max;
		}
	}
	return histogram->max;
}
