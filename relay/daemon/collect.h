// SPDX-License-Identifier: MIT
/*
 * Collecting what the workers have counted, and holding them to max_pinned together.
 * Each function asks every worker once and waits; a worker answers between two turns of its loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/loop_lag.h"

struct relay;

/* Brings served->report of every feed up to date; with_subscribers as in feed_report_add(). */
void collect_reports(struct relay *relay, bool with_subscribers);

/* Once a second: the rates of every feed. */
void collect_rates(struct relay *relay, uint64_t now_ms);

/* Once a second: what slow subscribers hold together; above `max_bytes` those that hold most are
 * closed.  Returns what they hold after that. */
uint64_t collect_pinned(struct relay *relay, uint64_t max_bytes);

/* Of the worker with this index. */
void collect_loop_lag(struct relay *relay, unsigned index, struct loop_lag_counts *ret);
