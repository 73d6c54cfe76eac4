// SPDX-License-Identifier: MIT
/* Where one engine becomes cheaper than another on this machine. */
#pragma once

#include "intake/engine.h"

enum {
	/* What a measurement can say at least and at most. */
	COPY_BELOW_MIN = 8 * 1024,
	COPY_BELOW_MAX = 64 * 1024,
	COMPACT_READERS_MIN = 2,
	COMPACT_READERS_MAX = 64,
};

/* Measures both thresholds, with pipes and sockets of its own, in some milliseconds.  Where that
 * cannot be done (no pipes, a call is refused), they are the constants that most machines show.
 * Returns whether they were measured. */
bool engine_measure(struct engine_thresholds *ret);
