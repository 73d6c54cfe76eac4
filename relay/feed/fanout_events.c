// SPDX-License-Identifier: MIT
/* What a feed answers its fan-out, and what it does when it is told of something. */
#include "base/clock.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"
#include "feed/feed_parts.h"

static struct fanout_source get_source(void *owner)
{
	const struct feed *feed = owner;

	return (struct fanout_source){
		.session = feed->publish.sequence.session,
		.is_up = feed->publish.sequence.is_source_up,
		.is_awake = feed->publish.is_awake,
		.is_draining = feed->is_draining,
	};
}

static void on_wanted(void *owner)
{
	const struct feed *feed = owner;

	if (feed->events.on_wanted)
		feed->events.on_wanted(feed->events.owner);
}

static void on_count(void *owner)
{
	const struct feed *feed = owner;

	if (feed->events.on_count)
		feed->events.on_count(feed->events.owner);
}

static void on_skip(void *owner, const struct subscriber *subscriber, const struct skip *skip)
{
	struct feed *feed = owner;
	uint64_t suppressed = 0;

	if (log_allow(&feed->skip_log, clock_mono_ns(), &suppressed))
		log_warn("subscriber skipped feed=%s format=%s subscriber=%llu from=%llu to=%llu "
			 "bytes=%llu cause=%s suppressed=%llu",
			 feed->params.name, subscriber->rendition->encoder->name,
			 (unsigned long long)subscriber->id, (unsigned long long)skip->from,
			 (unsigned long long)skip->to, (unsigned long long)skip->bytes,
			 slow_cause_name(skip->cause), (unsigned long long)suppressed);
}

static void on_close(void *owner, const struct subscriber *subscriber, enum close_reason reason,
		     const char *cause)
{
	uint64_t lag = subscriber->rendition->ring.end_pos - subscriber->cursor.pos;
	struct feed *feed = owner;
	uint64_t suppressed = 0;

	if (close_reason_row(reason)->is_usual) {
		log_debug("subscriber closed feed=%s subscriber=%llu reason=%s", feed->params.name,
			  (unsigned long long)subscriber->id, close_reason_name(reason));
		return;
	}
	if (!log_allow(&feed->close_log, clock_mono_ns(), &suppressed))
		return;
	log_warn("subscriber closed feed=%s format=%s subscriber=%llu reason=%s (%s)%s%s "
		 "lag_bytes=%llu delivered_messages=%llu suppressed=%llu",
		 feed->params.name, subscriber->rendition->encoder->name,
		 (unsigned long long)subscriber->id, close_reason_name(reason),
		 close_reason_text(reason), cause ? " cause=" : "", cause ? cause : "",
		 (unsigned long long)lag,
		 (unsigned long long)subscriber_delivered_messages(subscriber),
		 (unsigned long long)suppressed);
}

static void on_ready(void *owner)
{
	struct feed *feed = owner;

	feed->must_tell_ready = true;
}

static void on_turn_end(void *owner)
{
	struct feed *feed = owner;

	if (!feed->must_tell_ready || !feed_can_take(feed))
		return;
	feed->must_tell_ready = false;
	if (feed->events.on_ready)
		feed->events.on_ready(feed->events.owner);
}

struct fanout_events feed_fanout_events(struct feed *feed)
{
	return (struct fanout_events){
		.owner = feed,
		.get_source = get_source,
		.on_wanted = on_wanted,
		.on_count = on_count,
		.on_skip = on_skip,
		.on_close = on_close,
		.on_ready = on_ready,
		.on_turn_end = on_turn_end,
	};
}
