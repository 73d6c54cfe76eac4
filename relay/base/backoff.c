// SPDX-License-Identifier: MIT
/* The delays are drawn from 0.5-1 s, 1-2 s, 2-4 s ... 15-30 s (of a maximum of 30 s): half of each
 * is jitter, which is enough to spread relays apart and still never asks a dead publisher twice at
 * once. */
#include "base/backoff.h"

void backoff_reset(struct backoff *backoff)
{
	backoff->low_ms = 0;
}

uint32_t backoff_next_ms(struct backoff *backoff, uint32_t max_ms, uint32_t random)
{
	uint32_t longest_low_ms = max_ms / 2 > BACKOFF_MIN_MS ? max_ms / 2 : BACKOFF_MIN_MS;
	uint32_t low_ms = backoff->low_ms ? backoff->low_ms : BACKOFF_MIN_MS;

	if (low_ms > longest_low_ms)
		low_ms = longest_low_ms;
	backoff->low_ms = low_ms >= longest_low_ms / 2 ? longest_low_ms : low_ms * 2;
	return low_ms + random % (low_ms + 1);
}
