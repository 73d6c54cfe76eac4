// SPDX-License-Identifier: MIT
/*
 * What relay counts.  metrics.def is the only list: the struct, the names and the printing come
 * from it. Counters only grow; gauges say how things are now and are set by their owner before they
 * are read.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct metrics {
#define METRIC(field, kind, unit, help) uint64_t field;
#include "table/metrics.def"
};

enum metric_kind {
	METRIC_COUNTER,
	METRIC_GAUGE,
};

enum metric_unit {
	METRIC_BYTES,
	METRIC_COUNT,
};

struct metric_row {
	const char *name;
	const char *help;
	enum metric_kind kind;
	enum metric_unit unit;
	size_t offset; /* of the field in struct metrics */
};

/* All rows in order of metrics.def, and their number. */
const struct metric_row *metrics_rows(size_t *ret_count);

/* The value that `row` names. */
uint64_t metrics_value(const struct metrics *metrics, const struct metric_row *row);

/* Adds every value of `part` to `sum`. */
void metrics_add(struct metrics *sum, const struct metrics *part);
