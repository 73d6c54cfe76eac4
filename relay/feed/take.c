// SPDX-License-Identifier: MIT
/* Taking in: one packet after the other, each served before the next one comes. */
#include "base/clock.h"
#include "feed/feed_parts.h"

bool feed_can_take(const struct feed *feed)
{
	return !fanout_is_busy(&feed->fanout) && !feed->publish.crossings.is_held &&
	       !feed->is_draining;
}

/* What the packet before has cost until now, to whom it belongs. */
static void report_pass(struct feed *feed)
{
	struct fanout_pass *cost = &feed->fanout.pass;

	if (feed->is_measured)
		intake_note_cost(&feed->intake, feed->publish.crossings.engine,
				 feed->publish.crossings.size_class, cost->delivered_bytes,
				 cost->spent_ns);
	feed->is_measured = false;
	fanout_reset_cost(&feed->fanout);
}

enum intake_result feed_take(struct feed *feed, const struct source *source, int *ret_err)
{
	uint64_t start_ns = clock_mono_ns();
	uint64_t packets = feed->metrics.in_packets;
	enum intake_result result;

	report_pass(feed);
	result = intake_take(&feed->intake, source, ret_err);
	feed->is_measured = feed->metrics.in_packets == packets + 1;
	feed_serve_packet(feed, start_ns);
	return result;
}

void feed_serve_packet(struct feed *feed, uint64_t start_ns)
{
	fanout_serve(&feed->fanout, start_ns);
	crossings_hold(&feed->publish.crossings);
}
