// SPDX-License-Identifier: MIT
/*
 * Descriptors for whoever reads what another process has left in a process that has the same ones.
 */
#pragma once

#include "continuity/kept_fds.h"

enum {
	SAME_FDS = 1024, /* more than a test has open */
};

struct same_fds {
	int32_t numbers[SAME_FDS];
	int fds[SAME_FDS];
	struct kept_fds list;
};

/* All numbers, each of which is itself.  They are not closed. */
static inline struct kept_fds *same_fds(struct same_fds *same)
{
	for (int i = 0; i < SAME_FDS; i++)
		same->numbers[i] = same->fds[i] = i;
	same->list =
		(struct kept_fds){.numbers = same->numbers, .fds = same->fds, .count = SAME_FDS};
	return &same->list;
}
