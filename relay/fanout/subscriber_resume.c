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
	       record->sum == subscriber_record_sum(record) &&
	       record->notes_sum == subscriber_notes_sum(record) &&
	       record->kept.end_pos <= ring->end_pos;
}

/* Moves on by `more` bytes from the place that was written down.  0; -ESTALE: nobody knows where
 * that is; -EBADMSG: it is no place. */
static int find_place(const struct recorded_place *place, const struct ring_state *ring,
		      uint64_t more, struct subscriber_snapshot *ret)
{
	struct replay_place *files = &ret->from_files.place;

	if (!ret->is_replaying) {
		ret->cursor = place->cursor;
		return cursor_state_advance(&ret->cursor, ring, more) < 0 ? -ESTALE : 0;
	}
	*files = place->files;
	if (kept_fault(&subscriber_kept_table, &ret->kept))
		return -EBADMSG;
	files->sent += more;
	files->is_inside |= more > 0;
	return 0;
}

/* In memory of which any byte may be anything. */
static int check_place(const struct subscriber_record *record, const struct recorded_place *place,
		       const struct ring_state *ring, bool is_busy)
{
	if (record->kept.is_replaying)
		return 0;
	if (kept_fault(&cursor_kept_table, &place->cursor))
		return -EBADMSG;
	if (cursor_state_fault(&place->cursor, ring))
		return is_busy ? -ESTALE : -EBADMSG;
	return 0;
}

int subscriber_record_read(const struct subscriber_record *record, int fd,
			   const struct ring_state *ring, struct subscriber_snapshot *ret)
{
	uint32_t state = atomic_load(&record->state);
	bool is_busy = (state & RECORD_STATE_MASK) == RECORD_BUSY;
	uint32_t number = subscriber_record_place(state);
	const struct recorded_place *place;
	uint64_t more = 0;
	int r;

	if (!is_busy && (state & RECORD_STATE_MASK) != RECORD_SETTLED)
		return -ESTALE;
	if (state != subscriber_record_word(record, state & RECORD_STATE_MASK, number) ||
	    !is_sound(record, ring) || !sockopt_has_cookie(fd, record->cookie))
		return -EBADMSG;
	place = &record->places[number];
	r = check_place(record, place, ring, is_busy);
	if (r == 0)
		r = count_more(record, place, fd, is_busy, &more);
	/* Nobody who had notes to get was marked as busy. */
	if (r == 0 && more && record->kept.note_bytes)
		r = -ESTALE;
	if (r < 0)
		return r;
	*ret = (struct subscriber_snapshot){
		.kept = record->kept,
		.counts_anew = true,
		.note = (uint8_t *)(uintptr_t)record->notes,
	};
	r = find_place(place, ring, more, ret);
	if (r < 0)
		return r;
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
	subscriber->peer = state->peer;
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

/* Its place, and the accounts that begin there. */
static void put_in_place(struct subscriber *subscriber, const struct subscriber_snapshot *state,
			 const struct ring_restored *restored)
{
	const struct fanout *fanout = fanout_of(subscriber);

	subscriber->delay_ns = state->from_files.delay_ns;
	if (state->replay)
		subscriber_attach_replay(subscriber, state->replay, state->replay_owner);
	else
		cursor_restore(&subscriber->cursor, &state->cursor, restored);
	if (!state->counts_anew)
		return;
	subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
	/* It may have joined behind the last note. */
	fanout->metrics->subscribers_total =
		u64_max(fanout->metrics->subscribers_total, fanout->metrics->subscribers);
}

/* A pass finds out whether one that reads the ring is idle. */
static void wake(struct subscriber *subscriber, const struct subscriber_snapshot *state)
{
	struct fanout *fanout = fanout_of(subscriber);

	if (state->is_joining || state->replay)
		fanout->events.on_wanted(fanout->events.owner);
	subscriber_set_state(subscriber, state->is_joining ? SUBSCRIBER_JOINING
					 : state->replay   ? SUBSCRIBER_BLOCKED
							   : SUBSCRIBER_READY);
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
		subscriber_free_replay(state->replay, state->replay_owner);
		state->replay = NULL;
		fanout->closed[CLOSE_NO_MEMORY]++;
		fanout->metrics->delivered_messages += state->delivered;
		return;
	}
	take_over(subscriber, state);
	put_in_place(subscriber, state, restored);
	fanout->metrics->subscribers_resumed++;
	if (state->is_half_closed)
		list_append(&fanout->half_closed, &subscriber->half_node);
	else
		ev_io_start(fanout->loop, &subscriber->read_watcher);
	wake(subscriber, state);
	state->replay = NULL;
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
