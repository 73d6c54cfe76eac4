// SPDX-License-Identifier: MIT
/* `tries` is 0 only before the first try of all, and right after a loss.  What tells the two apart
 * is opened_ns: the clock is never 0. */
#include "tools/shared/reconnect.h"

#include "base/clock.h"

void reconnect_init(struct reconnect *reconnect, uint64_t now_ns)
{
	*reconnect = (struct reconnect){.lost_ns = now_ns};
}

uint32_t reconnect_next_ms(struct reconnect *reconnect, uint32_t random)
{
	if (reconnect->tries++ == 0 && reconnect->opened_ns == 0)
		return 0;
	return backoff_next_ms(&reconnect->backoff, BACKOFF_MAX_MS, random);
}

void reconnect_opened(struct reconnect *reconnect, uint64_t now_ns)
{
	reconnect->opened_ns = now_ns;
}

void reconnect_lost(struct reconnect *reconnect, uint64_t now_ns)
{
	if (now_ns - reconnect->opened_ns >= RECONNECT_SETTLED_MS * NS_PER_MS)
		backoff_reset(&reconnect->backoff);
	reconnect->tries = 0;
	reconnect->lost_ns = now_ns;
}
