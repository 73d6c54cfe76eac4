// SPDX-License-Identifier: MIT
/*
 * Subscribers that get what the ring does not have any more, until the ring has what comes next.
 *
 * They wait for their socket even if it has room (BLOCKED), so each of them gets its share in each
 * round of the loop, and no pass over the others waits for them.
 */
#include "base/clock.h"
#include "fanout/fanout_parts.h"
#include "fanout/subscriber_kept.h"

/* In the session of *place.  Where the files have nothing more, the next session is that of the
 * ring, which it may have from its first message on. */
static bool can_go_on(const struct subscriber *subscriber, const struct stream_place *place,
		      bool is_at_end)
{
	const struct fanout_source source = fanout_source_of(subscriber);
	const struct ring *ring = &subscriber->rendition->ring;

	if (!source.is_awake)
		return false;
	if (place->session == source.session)
		return place->sequence >= cursor_oldest_seq(ring) &&
		       place->sequence <= ring->next_seq;
	return is_at_end && cursor_oldest_seq(ring) == SEQUENCE_FIRST;
}

/* From here on it is as others who have begun with this message. */
static void go_on(struct subscriber *subscriber, const struct stream_place *place)
{
	const struct ring *ring = &subscriber->rendition->ring;
	bool is_same = place->session == fanout_source_of(subscriber).session;
	uint64_t sequence = is_same ? place->sequence : cursor_oldest_seq(ring);
	const struct packet end = {
		.type = PACKET_END,
		.session = place->session,
		.first_seq = place->sequence,
		.time_ns = clock_wall_ns(),
	};

	subscriber_end_replay(subscriber);
	if (!is_same)
		(void)subscriber_tell(subscriber, &end);
	if (subscriber->state == SUBSCRIBER_CLOSED)
		return;
	/* Cannot fail: can_go_on() has found it there. */
	if (cursor_join_seq(&subscriber->cursor, ring, sequence) < 0)
		cursor_join_live(&subscriber->cursor, ring);
	subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
	subscriber_set_state(subscriber, SUBSCRIBER_READY);
	subscriber_record_describe(subscriber);
	fanout_continue_pass(fanout_of(subscriber));
}

/* It has all that it asked for.  From here on it is as others who have read all, and are to be told
 * of the end. */
static void come_to_end(struct subscriber *subscriber)
{
	subscriber_end_replay(subscriber);
	list_remove(&subscriber->until_node);
	cursor_join_live(&subscriber->cursor, &subscriber->rendition->ring);
	subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
	subscriber_set_end(subscriber, CLOSE_UNTIL, subscriber->cursor.pos);
	subscriber_set_state(subscriber, SUBSCRIBER_READY);
	fanout_continue_pass(fanout_of(subscriber));
}

static void count(struct subscriber *subscriber, const struct replay_progress *progress)
{
	struct metrics *metrics = fanout_of(subscriber)->metrics;

	if (progress->sent)
		subscriber->progress_ms = clock_mono_ns() / NS_PER_MS;
	subscriber->sent_bytes += progress->sent;
	metrics->replayed_bytes += progress->sent;
	metrics->gaps += progress->missed > 0;
	metrics->skipped_messages += progress->missed;
}

static void take_outcome(struct subscriber *subscriber, enum replay_outcome outcome,
			 const struct replay_progress *progress)
{
	bool is_at_end = outcome == REPLAY_AT_END;

	if ((is_at_end || outcome == REPLAY_SEAM) &&
	    can_go_on(subscriber, &progress->place, is_at_end)) {
		go_on(subscriber, &progress->place);
	} else if (outcome == REPLAY_OVER) {
		come_to_end(subscriber);
	} else if (outcome == REPLAY_GONE) {
		subscriber_close(subscriber, CLOSE_LAG);
	} else if (outcome == REPLAY_FAILED) {
		subscriber_close(subscriber, close_reason_from_errno(progress->err));
	} else {
		/* Then a tick wakes it, and a packet if it does not rest. */
		bool waits = outcome == REPLAY_AT_END || outcome == REPLAY_RESTS;

		subscriber->is_resting = outcome == REPLAY_RESTS;
		subscriber->rests_at = progress->place;
		subscriber_set_state(subscriber, waits ? SUBSCRIBER_IDLE : SUBSCRIBER_BLOCKED);
	}
}

void subscriber_serve_replay(struct subscriber *subscriber)
{
	const struct subscriber_replay *replay = subscriber->replay;
	struct replay_progress progress = {0};
	enum send_outcome told = SEND_DONE;
	enum replay_outcome outcome;
	int err = 0;

	if (!replay->is_inside(subscriber->replay_owner))
		told = subscriber_serve_notes(subscriber, &err);
	if (told == SEND_FAILED) {
		subscriber_close(subscriber, close_reason_from_errno(err));
		return;
	}
	if (told == SEND_BLOCKED) {
		subscriber_set_state(subscriber, SUBSCRIBER_BLOCKED);
		return;
	}
	outcome = replay->send(subscriber->replay_owner, subscriber->fd, &progress);
	count(subscriber, &progress);
	take_outcome(subscriber, outcome, &progress);
}

/* It need not rest any longer. */
static void wake(void *owner)
{
	struct subscriber *subscriber = owner;

	if (subscriber->state == SUBSCRIBER_IDLE)
		subscriber_set_state(subscriber, SUBSCRIBER_BLOCKED);
}

void subscriber_attach_replay(struct subscriber *subscriber, const struct subscriber_replay *replay,
			      void *owner)
{
	subscriber->replay = replay;
	subscriber->replay_owner = owner;
	if (replay->attend)
		replay->attend(owner, wake, subscriber);
	list_append(&fanout_of(subscriber)->replaying, &subscriber->replay_node);
	/* It holds nothing. */
	cursor_leave(&subscriber->cursor);
	cursor_join_live(&subscriber->cursor, &subscriber->rendition->ring);
	cursor_leave(&subscriber->cursor);
	subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
}

/* It has come back with a message that is gone, and is told what it misses. */
static void tell_missed(struct subscriber *subscriber, const struct subscriber_params *params)
{
	const struct stream_place *place = &params->place;
	bool is_same = params->from_session == place->session;
	const struct packet gap = {
		.type = PACKET_GAP,
		.session = place->session,
		.first_seq = is_same ? params->from_seq : 0,
		.time_ns = place->sequence,
	};

	(void)subscriber_tell(subscriber, &gap);
}

void subscriber_begin_replay(struct subscriber *subscriber, const struct subscriber_params *params)
{
	const struct packet begin = {
		.type = PACKET_HEARTBEAT,
		.session = params->place.session,
		.first_seq = params->place.sequence,
		.time_ns = clock_wall_ns() - params->delay_ns,
	};

	subscriber_attach_replay(subscriber, params->replay, params->replay_owner);
	subscriber->delay_ns = params->delay_ns;
	(void)subscriber_tell(subscriber, &begin);
	if (subscriber->state != SUBSCRIBER_CLOSED && params->has_missed)
		tell_missed(subscriber, params);
	if (subscriber->state == SUBSCRIBER_CLOSED)
		return;
	subscriber_set_state(subscriber, SUBSCRIBER_BLOCKED);
	subscriber_record_describe(subscriber);
}

/* It has read all that it was to have, so it has not been held up since. */
static void end_rest(struct subscriber *subscriber, uint64_t now_ms)
{
	subscriber->progress_ms = now_ms;
	subscriber_set_state(subscriber, SUBSCRIBER_BLOCKED);
}

/* The feed may live, but what it has is not old enough. */
static void tell_alive(struct subscriber *subscriber, uint64_t now_ms)
{
	const struct encoder *encoder = subscriber->rendition->encoder;
	uint64_t heartbeat_ms = fanout_of(subscriber)->params->heartbeat_ms;
	const struct packet heartbeat = {
		.type = PACKET_HEARTBEAT,
		.session = subscriber->rests_at.session,
		.first_seq = subscriber->rests_at.sequence,
		.time_ns = clock_wall_ns() - subscriber->delay_ns,
	};
	uint8_t header[ENCODER_HEADER_MAX];
	size_t length;

	if (!subscriber->delay_ns || !heartbeat_ms || !heartbeat.session ||
	    now_ms - subscriber->progress_ms < heartbeat_ms)
		return;
	length = encoder->header(encoder, &heartbeat, header);
	if (!length)
		return;
	subscriber_record_lose(subscriber);
	if (notes_add(&subscriber->notes, header, length, NOTES_OWN_MAX))
		end_rest(subscriber, now_ms);
	else
		subscriber_close(subscriber, CLOSE_NO_MEMORY);
}

void fanout_check_replays(struct fanout *fanout, uint64_t now_ms)
{
	struct list_node *node, *next;

	list_for_each_safe (&fanout->replaying, node, next) {
		struct subscriber *subscriber = list_entry(node, struct subscriber, replay_node);

		if (subscriber->replay->is_cut_off(subscriber->replay_owner))
			subscriber_close(subscriber, CLOSE_LAG);
		else if (subscriber->state != SUBSCRIBER_IDLE)
			continue;
		else if (subscriber->is_resting &&
			 subscriber->replay->rests(subscriber->replay_owner))
			tell_alive(subscriber, now_ms);
		else
			end_rest(subscriber, now_ms);
	}
}
