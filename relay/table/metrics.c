// SPDX-License-Identifier: MIT
/* The table of metrics, made from metrics.def, and what walks over it. */
#include "table/metrics.h"

static const struct metric_row rows[] = {
#define METRIC(field, kind, unit, help)                                                            \
	{#field, help, METRIC_##kind, METRIC_##unit, offsetof(struct metrics, field)},
#include "table/metrics.def"
};

const struct metric_row *metrics_rows(size_t *ret_count)
{
	*ret_count = sizeof(rows) / sizeof(rows[0]);
	return rows;
}

uint64_t metrics_value(const struct metrics *metrics, const struct metric_row *row)
{
	return *(const uint64_t *)(const void *)((const char *)metrics + row->offset);
}

void metrics_add(struct metrics *sum, const struct metrics *more)
{
#define METRIC(field, kind, unit, help) sum->field += more->field;
#include "table/metrics.def"
}
