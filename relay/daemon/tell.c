// SPDX-License-Identifier: MIT
/* The line of `systemctl status`. */
#include "daemon/tell.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/num.h"
#include "daemon/notify.h"
#include "serve/served_feed.h"
#include "serve/service.h"

void tell_draining(const struct service *service, uint64_t end_ms)
{
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
	uint64_t left_ms = u64_max(end_ms, now_ms) - now_ms;

	notify_status("draining: %llu subscribers left, for %llu s at most",
		      (unsigned long long)service->subscribers,
		      (unsigned long long)(left_ms + 999) / 1000);
}

void tell_status(const struct service *service, bool has_reload_failed)
{
	uint64_t in = 0, out = 0, gaps = 0;
	char in_text[32], out_text[32];
	struct list_node *node;
	size_t feeds = 0;

	list_for_each (&service->feeds, node) {
		const struct served_feed *served = served_feed_at(node);

		feeds++;
		in += served->rates.in_bytes;
		out += served->rates.out_bytes;
		gaps += served->report.metrics.gaps;
	}
	num_print_rate(in_text, sizeof(in_text), in);
	num_print_rate(out_text, sizeof(out_text), out);
	notify_status("%s%zu feed%s, %llu subscriber%s, in %s, out %s, %llu skips",
		      has_reload_failed ? "the last reload failed, see the journal; " : "", feeds,
		      feeds == 1 ? "" : "s", (unsigned long long)service->subscribers,
		      service->subscribers == 1 ? "" : "s", in_text, out_text,
		      (unsigned long long)gaps);
}
