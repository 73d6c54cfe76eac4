// SPDX-License-Identifier: MIT
/* Lines about subscribers, limited in their rate. */
#include "feed/subscriber_log.h"

#include "base/clock.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"

void subscriber_log_skip(struct subscriber_log *log, const struct subscriber *subscriber,
			 const struct skip *skip)
{
	uint64_t suppressed = 0;

	if (log_allow(&log->skips, clock_mono_ns(), &suppressed))
		log_warn("subscriber skipped feed=%s format=%s subscriber=%llu from=%llu to=%llu "
			 "bytes=%llu cause=%s suppressed=%llu",
			 log->feed, encoder_name(subscriber->rendition->encoder),
			 (unsigned long long)subscriber->id, (unsigned long long)skip->from,
			 (unsigned long long)skip->to, (unsigned long long)skip->bytes,
			 slow_cause_name(skip->cause), (unsigned long long)suppressed);
}

void subscriber_log_close(struct subscriber_log *log, const struct subscriber *subscriber,
			  enum close_reason reason, const char *cause)
{
	uint64_t lag = subscriber->rendition->ring.end_pos - subscriber->cursor.pos;
	uint64_t suppressed = 0;

	if (close_reason_row(reason)->is_usual) {
		log_debug("subscriber closed feed=%s subscriber=%llu reason=%s", log->feed,
			  (unsigned long long)subscriber->id, close_reason_name(reason));
		return;
	}
	if (!log_allow(&log->closes, clock_mono_ns(), &suppressed))
		return;
	log_warn("subscriber closed feed=%s format=%s subscriber=%llu reason=%s (%s)%s%s "
		 "lag_bytes=%llu delivered_messages=%llu suppressed=%llu",
		 log->feed, encoder_name(subscriber->rendition->encoder),
		 (unsigned long long)subscriber->id, close_reason_name(reason),
		 close_reason_text(reason), cause ? " cause=" : "", cause ? cause : "",
		 (unsigned long long)lag,
		 (unsigned long long)subscriber_delivered_messages(subscriber),
		 (unsigned long long)suppressed);
}

void subscriber_log_tick(struct subscriber_log *log, uint64_t now_ns)
{
	uint64_t suppressed;

	if (log_sum_is_due(&log->skips, now_ns, &suppressed))
		log_warn("subscriber skipped feed=%s, more of them suppressed=%llu", log->feed,
			 (unsigned long long)suppressed);
	if (log_sum_is_due(&log->closes, now_ns, &suppressed))
		log_warn("subscriber closed feed=%s, more of them suppressed=%llu", log->feed,
			 (unsigned long long)suppressed);
}
