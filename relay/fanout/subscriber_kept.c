// SPDX-License-Identifier: MIT
/*
 * Subscribers in the records.  Invariant: the place that the state names is never written to, and
 * what is not in a place is only written while the subscriber is LOST, but for what is one word.
 */
#include "fanout/subscriber_kept.h"

#include <stdio.h>
#include <string.h>

#include "net/sent_count.h"
#include "fanout/fanout_parts.h"
#include "net/sockopt.h"

static const char *reason_at(size_t index)
{
	return close_reason_name((enum close_reason)index);
}

static const char *cause_at(size_t index)
{
	return slow_cause_name((enum slow_cause)index);
}

const struct kept_names kept_close_reasons = {reason_at, CLOSE_REASON_COUNT};
const struct kept_names kept_slow_causes = {cause_at, SLOW_CAUSE_COUNT};

#define KEPT_TABLE rendition_record_table
#define KEPT_OF    struct rendition_record
#define KEPT_DEF   "fanout/rendition_record.def"
#include "continuity/kept_table.def"

#define KEPT_TABLE part_now_table
#define KEPT_OF    struct part_now
#define KEPT_DEF   "fanout/part_now.def"
#include "continuity/kept_table.def"

#define KEPT_TABLE part_record_table
#define KEPT_OF    struct part_record
#define KEPT_DEF   "fanout/part_record.def"
#include "continuity/kept_table.def"

#define KEPT_TABLE subscriber_record_table
#define KEPT_OF    struct subscriber_record
#define KEPT_DEF   "fanout/subscriber_record.def"
#include "continuity/kept_table.def"

#define KEPT_TABLE subscriber_kept_table
#define KEPT_OF    struct subscriber_kept
#define KEPT_DEF   "fanout/subscriber_kept.def"
#include "continuity/kept_table.def"

void subscriber_capture(const struct subscriber *subscriber, struct subscriber_kept *ret)
{
	const struct subscriber_input *input = subscriber->input;

	*ret = (struct subscriber_kept){
		.fd = subscriber->fd,
		.is_joining = subscriber->state == SUBSCRIBER_JOINING,
		.must_skip = subscriber->must_skip,
		.is_ending = subscriber_is_ending(subscriber),
		.has_farewell = subscriber->end == END_TOLD,
		.has_from = subscriber->has_from,
		.is_half_closed = list_is_linked(&subscriber->half_node),
		.ends_with_fin = subscriber->ends_with_fin,
		.has_input = input != NULL,
		.on_slow = subscriber->on_slow,
		.slow_cause = subscriber->slow_cause,
		.end_reason = subscriber->end_reason,
		.note_bytes = (unsigned)notes_waiting(&subscriber->notes),
		.id = subscriber->id,
		.joined_ms = subscriber->joined_ms,
		.progress_ms = subscriber->progress_ms,
		.joined_messages = subscriber->joined_messages,
		.skipped = subscriber->skipped,
		.delivered = subscriber_delivered_messages(subscriber),
		.user_timeout_ms = subscriber->user_timeout_ms,
		.end_pos = subscriber->end_pos,
		.until_ns = subscriber->until_ns,
		/* Who waits and has named a session is told of a gap: the session is not handed
		 * on. */
		.from_seq = subscriber->from_session ? 0 : subscriber->from_seq,
		.input_bucket = subscriber->input_bucket,
		.peer = subscriber->peer,
	};
	if (input && input->may_go_on)
		(void)input->may_go_on(subscriber->input_owner, &ret->input_max_bytes);
	ret->is_replaying = subscriber->replay != NULL;
	if (subscriber->replay)
		subscriber->replay->capture(subscriber->replay_owner, &ret->from_files);
}

/* All that was stored before it is there, too, and nothing that is stored behind it is there
 * before. The order of the program is enough for that: the stores of a process that has died are
 * done. */
static void set_state(struct subscriber_record *record, uint32_t word)
{
	atomic_store_explicit(&record->state, word, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

static uint32_t load(const struct subscriber_record *record)
{
	return atomic_load_explicit(&record->state, memory_order_relaxed);
}

void subscriber_record_open(struct subscriber *subscriber)
{
	const struct rendition *rendition = subscriber->rendition;
	const struct feed_records *records = rendition->fanout->records;
	struct subscriber_record *record;
	uint64_t count = 0;

	if (!rendition->record || (size_t)subscriber->fd >= records->subscriber_count)
		return;
	record = &records->subscribers[subscriber->fd];
	if (sockopt_cookie(subscriber->fd, &record->cookie) < 0)
		return;
	record->is_tcp = sent_count(subscriber->fd, &count) == 0;
	record->counted_before = count;
	record->part = (uint32_t)(rendition->fanout->record - records->parts);
	record->rendition = (uint32_t)(rendition->record - rendition->fanout->record->renditions);
	subscriber->record = record;
	subscriber_record_describe(subscriber);
}

void subscriber_record_close(struct subscriber *subscriber)
{
	struct subscriber_record *record = subscriber->record;

	subscriber->record = NULL;
	if (record)
		set_state(record, RECORD_FREE);
}

void subscriber_record_begin(struct subscriber *subscriber)
{
	struct subscriber_record *record = subscriber->record;
	uint32_t state;

	if (!record)
		return;
	state = load(record);
	if ((state & RECORD_STATE_MASK) == RECORD_SETTLED && notes_waiting(&subscriber->notes) == 0)
		set_state(record, (state & ~(uint32_t)RECORD_STATE_MASK) | RECORD_BUSY);
	else
		set_state(record, RECORD_LOST);
}

void subscriber_record_lose(struct subscriber *subscriber)
{
	if (subscriber->record)
		set_state(subscriber->record, RECORD_LOST);
}

/* An ending one is heard no more. */
static bool may_input_go_on(const struct subscriber *subscriber)
{
	const struct subscriber_input *input = subscriber->input;
	uint64_t max_bytes = 0;

	return !input || subscriber_is_ending(subscriber) ||
	       (input->may_go_on && input->may_go_on(subscriber->input_owner, &max_bytes));
}

/* False: they are too many. */
static bool write_notes(struct subscriber_record *record, const struct notes *notes)
{
	size_t waiting = notes_waiting(notes);

	if (waiting == 0 && record->kept.note_bytes == 0)
		return true;
	set_state(record, RECORD_LOST);
	if (waiting > sizeof(record->notes))
		return false;
	if (waiting)
		memcpy(record->notes, notes_begin(notes), waiting);
	record->kept.note_bytes = (uint32_t)waiting;
	record->notes_sum = subscriber_notes_sum(record);
	return true;
}

static void write_place(struct recorded_place *place, const struct subscriber *subscriber)
{
	struct kept_replay from_files;

	if (subscriber->replay) {
		subscriber->replay->capture(subscriber->replay_owner, &from_files);
		place->files = from_files.place;
	} else {
		cursor_capture(&subscriber->cursor, &place->cursor);
	}
	place->sent_bytes = subscriber->sent_bytes;
}

void subscriber_record_settle(struct subscriber *subscriber)
{
	struct subscriber_record *record = subscriber->record;
	uint32_t other;

	if (!record)
		return;
	other = !subscriber_record_place(load(record));
	/* Has no place yet; or has said its last words, which must not be said again; or is in the
	 * middle of what it says. */
	if (subscriber->state == SUBSCRIBER_JOINING || subscriber->end == END_TOLD ||
	    !may_input_go_on(subscriber) || !write_notes(record, &subscriber->notes)) {
		set_state(record, RECORD_LOST);
		return;
	}
	write_place(&record->places[other], subscriber);
	set_state(record, subscriber_record_word(record, RECORD_SETTLED, other));
}

uint64_t subscriber_record_sum(const struct subscriber_record *record)
{
	struct subscriber_kept kept;
	uint64_t sum;

	memcpy(&kept, &record->kept, sizeof(kept));
	kept.note_bytes = 0;
	kept.user_timeout_ms = kept.input_bucket.full_ns = 0;
	kept.is_half_closed = false;
	sum = kept_sum(record->cookie, &kept, sizeof(kept));
	sum = kept_sum_add(sum, record->counted_before, record->is_tcp);
	return kept_sum_add(sum, record->part, record->rendition);
}

void subscriber_record_describe(struct subscriber *subscriber)
{
	struct subscriber_record *record = subscriber->record;
	struct subscriber_kept kept;

	if (!record)
		return;
	set_state(record, RECORD_LOST);
	subscriber_capture(subscriber, &kept);
	memcpy(kept.listener, record->kept.listener, sizeof(kept.listener));
	kept.peer_key = record->kept.peer_key;
	kept.note_bytes = 0;
	record->kept = kept;
	record->notes_sum = subscriber_notes_sum(record);
	record->sum = subscriber_record_sum(record);
}

void subscriber_record_begin_input(struct subscriber *subscriber)
{
	if (subscriber->input)
		subscriber_record_lose(subscriber);
}

void subscriber_record_end_input(struct subscriber *subscriber)
{
	if (subscriber->input)
		subscriber_record_settle(subscriber);
}

void subscriber_record_note_input(struct subscriber *subscriber)
{
	struct subscriber_record *record = subscriber->record;

	if (!record)
		return;
	__atomic_store_n(&record->kept.user_timeout_ms, subscriber->user_timeout_ms,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&record->kept.input_bucket.full_ns, subscriber->input_bucket.full_ns,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&record->kept.is_half_closed, list_is_linked(&subscriber->half_node),
			 __ATOMIC_RELAXED);
}

void subscriber_record_note_accounts(const struct fanout *fanout)
{
	struct part_record *record = fanout->record;

	if (!record)
		return;
	record->counts.metrics.subscribers_total = fanout->metrics->subscribers_total;
	memcpy(record->counts.closed, fanout->closed, sizeof(record->counts.closed));
	record->own_count = fanout->own_count;
}

void subscriber_record_set_place(const struct feed_records *records, int fd, const char *listener,
				 uint64_t peer_key)
{
	struct subscriber_record *record;

	if (!records || fd < 0 || (size_t)fd >= records->subscriber_count)
		return;
	record = &records->subscribers[fd];
	/* Of who had the descriptor before, in another thread, nothing is written any more. */
	if (atomic_load_explicit(&record->state, memory_order_acquire) != RECORD_FREE)
		return;
	(void)snprintf(record->kept.listener, sizeof(record->kept.listener), "%s", listener);
	record->kept.peer_key = peer_key;
}
