// SPDX-License-Identifier: MIT
/* One line in so long a time. */
#include "base/log_rate.h"

#include "base/clock.h"

static bool allow_each(struct log_rate *rate, uint64_t now_ns, uint64_t interval_ns,
		       uint64_t *ret_suppressed)
{
	*ret_suppressed = 0;
	if (rate->last_ns && now_ns < rate->last_ns + interval_ns) {
		rate->suppressed++;
		return false;
	}
	*ret_suppressed = rate->suppressed;
	rate->suppressed = 0;
	rate->last_ns = now_ns;
	return true;
}

bool log_allow(struct log_rate *rate, uint64_t now_ns, uint64_t *ret_suppressed)
{
	return allow_each(rate, now_ns, NS_PER_S, ret_suppressed);
}

bool log_allow_each_minute(struct log_rate *rate, uint64_t now_ns, uint64_t *ret_suppressed)
{
	return allow_each(rate, now_ns, 60 * NS_PER_S, ret_suppressed);
}

bool log_sum_is_due(struct log_rate *rate, uint64_t now_ns, uint64_t *ret_suppressed)
{
	*ret_suppressed = 0;
	return rate->suppressed && now_ns >= rate->last_ns + NS_PER_S &&
	       log_allow(rate, now_ns, ret_suppressed);
}
