// SPDX-License-Identifier: MIT
/* How long to wait before the next try: doubling, with jitter, so that many relays that lost the
 * same publisher do not come back to it in step.
 *
 * Pure: no clock, no source of randomness.  Every delay lies between BACKOFF_MIN_MS and
 * the caller's maximum, or is BACKOFF_MIN_MS. */
#pragma once

#include <stdint.h>

#define BACKOFF_MIN_MS 500u
#define BACKOFF_MAX_MS 30000u

struct backoff {
	uint32_t low_ms; /* the next delay is between this and its double; 0: no try failed yet */
};

/* Back to the shortest delay.  A zeroed struct is the same. */
void backoff_reset(struct backoff *backoff);

/* The next delay in milliseconds; max_ms: the longest there is, such as BACKOFF_MAX_MS; `random` is
 * any 32 random bits. */
uint32_t backoff_next_ms(struct backoff *backoff, uint32_t max_ms, uint32_t random);
