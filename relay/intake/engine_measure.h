// SPDX-License-Identifier: MIT
/* Where one engine becomes cheaper than another on this machine. */
#pragma once

#include "intake/engine.h"

enum {
	/* What a measurement can say at least and at most.  It is made in warm caches, where
	 * copying is cheaper than among many subscribers, and the pages of a socket pair are
	 * too. */
	COPY_BELOW_MIN = 8 * 1024,
	COPY_BELOW_MAX = 32 * 1024,
	COMPACT_READERS_MIN = 8,
	COMPACT_READERS_MAX = 64,
};

/* Measures both thresholds, with pipes and sockets of its own, in some milliseconds.  Where that
 * cannot be done (no pipes, a call is refused), they are the constants that most machines show.
 * Returns whether they were measured. */
bool engine_measure(struct engine_thresholds *ret);
