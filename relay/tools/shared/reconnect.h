// SPDX-License-Identifier: MIT
/* When to try again, for a program that outlives the other side.
 *
 * A pause comes before every try but the first.  It grows as base/backoff.h says, and is short
 * again only after a connection that held for RECONNECT_SETTLED_MS.  So a peer that accepts and
 * hangs up at once is asked as rarely as one that is not there.
 *
 * Pure: no clock, no source of randomness.  Times are monotonic nanoseconds. */
#pragma once

#include "base/backoff.h"

#include <stdint.h>

enum {
	RECONNECT_SETTLED_MS = 10000, // as a feed's connector waits before it trusts a publisher
};

struct reconnect {
	struct backoff backoff;
	uint32_t tries;     // since there was a connection
	uint64_t lost_ns;   // when it was lost; at first, when it was wanted
	uint64_t opened_ns; // when the last one was there
};

void reconnect_init(struct reconnect *reconnect, uint64_t now_ns);

/* Counts a try, and returns the milliseconds to wait before it; `random` is any 32 random bits. */
uint32_t reconnect_next_ms(struct reconnect *reconnect, uint32_t random);

/* There is a connection. */
void reconnect_opened(struct reconnect *reconnect, uint64_t now_ns);

/* It is lost. */
void reconnect_lost(struct reconnect *reconnect, uint64_t now_ns);
