// SPDX-License-Identifier: MIT
/*
 * One object's allowance of one line a second, for what may come in floods.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* All zero is a fresh one. */
struct log_rate {
	uint64_t last_ns; /* when a line was last allowed; 0 = never */
	uint64_t suppressed;
};

/* May this object's owner log a line at now_ns (monotonic, which may lag behind that of the line
 * before)?  On true, *ret_suppressed is how many lines were refused since the last true, to be
 * mentioned in this one; on false it is 0. */
bool log_allow(struct log_rate *rate, uint64_t now_ns, uint64_t *ret_suppressed);

/* The same with one line a minute, for what goes on for hours. */
bool log_allow_each_minute(struct log_rate *rate, uint64_t now_ns, uint64_t *ret_suppressed);

/* To be asked again and again: have lines been refused, and may one be logged now?  Then that line
 * is their sum: *ret_suppressed says how many they are.  So the last of a flood are told even when
 * nothing follows. */
bool log_sum_is_due(struct log_rate *rate, uint64_t now_ns, uint64_t *ret_suppressed);
