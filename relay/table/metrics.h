// SPDX-License-Identifier: MIT
/*
 * What relay counts for each feed.  metrics.def is the only list: the struct, the names and the
 * printing come from it.  Counters only grow.  Gauges say how things are now; their owner sets them
 * before they are read.
 *
 * So it is with all of table/: a .def file has a row for each thing, and what a column means stands
 * at its top.  The header of the same name makes the rows into an enum or a struct.
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

/* Adds every value of `more` to `sum`. */
void metrics_add(struct metrics *sum, const struct metrics *more);
