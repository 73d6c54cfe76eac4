// SPDX-License-Identifier: MIT
/* Sums over the parts of a feed. */
#include "feed/feed_report.h"

#include "base/compiler.h"
#include "feed/feed.h"
#include "feed/feed_kept.h"

static void add_all(uint64_t *sum, const uint64_t *part, int count)
{
	for (int i = 0; i < count; i++)
		sum[i] += part[i];
}

void feed_report_add(struct feed_report *sum, const struct feed *feed, bool with_subscribers)
{
	struct metrics metrics = feed->metrics;

	if (with_subscribers)
		feed_read_metrics(feed, &metrics);
	feed_record_note_counts(&feed->fanout, feed->source_ends,
				with_subscribers ? metrics.delivered_messages : 0);
	metrics_add(&sum->metrics, &metrics);
	add_all(sum->closed, feed->fanout.closed, CLOSE_REASON_COUNT);
	add_all(sum->source_ends, feed->source_ends, CLOSE_REASON_COUNT);
	add_all(sum->skipped_by, feed->fanout.skipped_by, SLOW_CAUSE_COUNT);
	add_all(sum->closed_slow_by, feed->fanout.closed_slow_by, SLOW_CAUSE_COUNT);
	if (feed->params.is_branch)
		return;
	sum->is_source_up = feed->publish.sequence.is_source_up;
	sum->session = feed->publish.sequence.session;
	sum->next_seq = feed->publish.sequence.next_seq;
	sum->choice = feed->intake.choice;
}
