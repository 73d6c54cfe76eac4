// SPDX-License-Identifier: MIT
/* Subscribers of the process before, one by one: read from its records, and attached anew. */
#include "fanout/subscriber_resume.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "net/sent_count.h"
#include "fanout/subscriber_kept.h"
#include "fanout/fanout_parts.h"
#include "net/sockopt.h"

bool record_text_is_good(const char text[RECORD_NAME_BYTES])
{
	return text[0] && memchr(text, '\0', RECORD_NAME_BYTES);
}

bool subscriber_record_is_used(const struct subscriber_record *record)
{
	return (atomic_load(&record->state) & RECORD_STATE_MASK) != RECORD_FREE;
}

/* How many bytes more the socket has got than the place says. */
static int count_more(const struct subscriber_record *record, const struct recorded_place *place,
		      int fd, bool is_busy, uint64_t *ret)
{
	uint64_t count = 0, expected = record->counted_before + place->sent_bytes;
	int r = record->is_tcp ? sent_count(fd, &count) : -EOPNOTSUPP;

	*ret = 0;
	/* One that nobody was sending to stands where it stood, whatever cannot be asked; where the
	 * connection has ended, it will show. */
	if (r < 0)
		return is_busy || (record->is_tcp && r != -ENOTCONN) ? -ESTALE : 0;
	if (count < expected || (!is_busy && count != expected))
		return -EBADMSG;
	*ret = count - expected;
	return 0;
}

static bool is_sound(const struct subscriber_record *record, const struct ring_state *ring)
{
	return !kept_fault(&subscriber_record_table, record) &&
	       !kept_fault(&subscriber_kept_table, &record->kept) &&
	       record->kept.note_bytes <= sizeof(record->notes) &&
	       record->kept.end_pos <= ring->end_pos;
}

int subscriber_record_read(const struct subscriber_record *record, int fd,
			   const struct ring_state *ring, struct subscriber_snapshot *ret)
{
	uint32_t state = atomic_load(&record->state);
	bool is_busy = (state & RECORD_STATE_MASK) == RECORD_BUSY;
	uint32_t number = state >> RECORD_PLACE_SHIFT;
	const struct recorded_place *place;
	struct cursor_state cursor;
	uint64_t more = 0;
	int r;

	if (!is_busy && (state & RECORD_STATE_MASK) != RECORD_SETTLED)
		return -ESTALE;
	if (number > 1 || !is_sound(record, ring) || !sockopt_has_cookie(fd, record->cookie))
		return -EBADMSG;
	place = &record->places[number];
	if (kept_fault(&cursor_kept_table, &place->cursor))
		return -EBADMSG;
	cursor = place->cursor;
	if (cursor_state_fault(&cursor, ring))
		return is_busy ? -ESTALE : -EBADMSG;
	r = count_more(record, place, fd, is_busy, &more);
	if (r < 0)
		return r;
	/* Nobody who had notes to get was marked as busy. */
	if (more && (record->kept.note_bytes || cursor_state_advance(&cursor, ring, more) < 0))
		return -ESTALE;
	*ret = (struct subscriber_snapshot){
		.kept = record->kept,
		.cursor = cursor,
		.counts_anew = true,
		.note = (uint8_t *)(uintptr_t)record->notes,
	};
	ret->fd = fd;
	ret->is_joining = ret->must_skip = ret->has_farewell = ret->has_from = false;
	ret->progress_ms = clock_mono_ns() / NS_PER_MS;
	ret->skipped = ret->delivered = 0;
	return 0;
}

static void take_over(struct subscriber *subscriber, struct subscriber_snapshot *state)
{
	subscriber->input = state->input;
	subscriber->input_owner = state->input_owner;
	state->input = NULL;
	subscriber->id = state->id;
	subscriber->joined_ms = state->joined_ms;
	subscriber->progress_ms = state->progress_ms;
	subscriber->joined_messages = state->joined_messages;
	subscriber->skipped = state->skipped;
	subscriber->input_bucket = state->input_bucket;
	subscriber->user_timeout_ms = (uint32_t)state->user_timeout_ms;
	subscriber->ends_with_fin = state->ends_with_fin;
	subscriber->on_slow = (enum on_slow)state->on_slow;
	subscriber->must_skip = state->must_skip;
	subscriber->slow_cause = (enum slow_cause)state->slow_cause;
	if (state->is_ending)
		subscriber->end = state->has_farewell ? END_TOLD : END_READS_OUT;
	subscriber->end_reason = (enum close_reason)state->end_reason;
	subscriber->end_pos = state->end_pos;
	subscriber_set_until(subscriber, state->until_ns);
	subscriber->has_from = state->has_from;
	subscriber->from_seq = state->from_seq;
}

void subscriber_resume(struct rendition *rendition, struct subscriber_snapshot *state,
		       const struct ring_restored *restored)
{
	struct fanout *fanout = rendition->fanout;
	struct subscriber *subscriber = subscriber_new(rendition, state->fd, &state->quota, false);

	state->fd = -1;
	if (!subscriber) {
		subscriber_free_input(state->input, state->input_owner);
		state->input = NULL;
		fanout->closed[CLOSE_NO_MEMORY]++;
		fanout->metrics->delivered_messages += state->delivered;
		return;
	}
	take_over(subscriber, state);
	cursor_restore(&subscriber->cursor, &state->cursor, restored);
	if (state->counts_anew) {
		subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
		/* It may have joined behind the last note. */
		fanout->metrics->subscribers_total =
			u64_max(fanout->metrics->subscribers_total, fanout->metrics->subscribers);
	}
	fanout->metrics->subscribers_resumed++;
	if (state->is_half_closed)
		list_append(&fanout->half_closed, &subscriber->half_node);
	else
		ev_io_start(fanout->loop, &subscriber->read_watcher);
	if (state->is_joining) {
		subscriber_set_state(subscriber, SUBSCRIBER_JOINING);
		fanout->events.on_wanted(fanout->events.owner);
	} else {
		/* A pass finds out whether it is idle. */
		subscriber_set_state(subscriber, SUBSCRIBER_READY);
	}
	/* What it was to be told must not get lost in silence. */
	if (!notes_add(&subscriber->notes, state->note, state->note_bytes, NOTES_OWN_MAX)) {
		subscriber_close(subscriber, CLOSE_NO_MEMORY);
		return;
	}
	subscriber_record_set_place(fanout->records, subscriber->fd, state->listener,
				    state->peer_key);
	subscriber_record_open(subscriber);
	subscriber_record_settle(subscriber);
}
