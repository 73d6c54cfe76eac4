// SPDX-License-Identifier: MIT
/*
 * How a feed is, as a sum over its home and its branches.  Each part is added in the loop of its
 * own; the sum belongs to who asked.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fanout/slow_cause.h"
#include "intake/engine.h"
#include "table/close_reason.h"
#include "table/metrics.h"

struct feed;

struct feed_report {
	struct metrics metrics;
	uint64_t closed[CLOSE_REASON_COUNT];       /* subscribers, by reason */
	uint64_t source_ends[CLOSE_REASON_COUNT];  /* publishers, by reason  */
	uint64_t skipped_by[SLOW_CAUSE_COUNT];     /* skips, by cause */
	uint64_t closed_slow_by[SLOW_CAUSE_COUNT]; /* slow subscribers closed, by cause */

	/* Of the home. */
	bool is_source_up;
	uint32_t session;
	uint64_t next_seq;
	struct engine_choice choice;
};

/* Adds one part.  with_subscribers: also what takes a walk over all of them (delivered_messages,
 * subscribers_blocked, and the gauges of rings); else these are not there. */
void feed_report_add(struct feed_report *sum, const struct feed *feed, bool with_subscribers);
