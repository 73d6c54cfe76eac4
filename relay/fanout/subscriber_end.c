// SPDX-License-Identifier: MIT
/*
 * The end of a subscriber: last words, and whether it must look like the end of the stream or like
 * a break.  Invariant: no socket is closed by FIN in the middle of a packet or a note.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "fanout/subscriber_kept.h"
#include "fanout/fanout_parts.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"

enum {
	RETRY_LEAST_MS = 1000,
	RETRY_MS = 3000, /* as browsers do by themselves (Chromium: 3 s, Firefox: 5 s) */
	RETRY_AFTER_END_MS = 10000,
};

bool subscriber_has_finished(const struct subscriber *subscriber)
{
	return subscriber_is_ending(subscriber) && subscriber->cursor.pos >= subscriber->end_pos &&
	       notes_waiting(&subscriber->notes) == 0;
}

/* Of one with replay: does its socket have a part of a packet? */
static bool is_inside_replay(const struct subscriber *subscriber)
{
	return subscriber->replay->is_inside(subscriber->replay_owner);
}

/* Forced out, or with a packet half sent: the end must not look like a clean one. */
static bool must_reset(const struct subscriber *subscriber, enum close_reason reason)
{
	enum close_kind kind = close_reason_row(reason)->kind;

	if (kind == CLOSE_KIND_PEER)
		return false;
	if (notes_waiting(&subscriber->notes))
		return true;
	if (subscriber->replay)
		return subscriber->end != END_BY_INPUT || is_inside_replay(subscriber);
	if (subscriber_has_finished(subscriber) || subscriber->end == END_TOLD)
		return false;
	if (subscriber->end == END_BY_INPUT)
		return !cursor_is_at_packet_start(&subscriber->cursor);
	if (kind == CLOSE_KIND_CLEAN)
		return cursor_unread_time(&subscriber->cursor, &subscriber->rendition->ring) != 0;
	return true;
}

void subscriber_give_back(const struct subscriber_quota *quota)
{
	if (quota->on_closed)
		quota->on_closed(quota->owner);
}

size_t subscriber_tell(struct subscriber *subscriber, const struct packet *packet)
{
	const struct encoder *encoder = subscriber->rendition->encoder;
	bool is_greeting = encoder->greeting && packet->type == PACKET_HEARTBEAT;
	uint8_t header[ENCODER_HEADER_MAX];
	size_t length = is_greeting
				? encoder->greeting(encoder, packet,
						    subscriber_retry_ms(subscriber, false), header)
				: encoder->header(encoder, packet, header);

	subscriber_record_lose(subscriber);
	if (!notes_add(&subscriber->notes, header, length, NOTES_OWN_MAX))
		subscriber_close(subscriber, CLOSE_NO_MEMORY);
	return length;
}

enum send_outcome subscriber_serve_notes(struct subscriber *subscriber, int *ret_err)
{
	struct notes *notes = &subscriber->notes;
	size_t sent = 0;
	enum send_outcome outcome;

	if (!notes_waiting(notes))
		return SEND_DONE;
	outcome = send_note(subscriber, notes_begin(notes), notes_waiting(notes), &sent, ret_err);
	if (sent) {
		notes_advance(notes, sent);
		subscriber->progress_ms = clock_mono_ns() / NS_PER_MS;
	}
	return outcome;
}

/* Numbers that follow one another spread evenly (by the golden ratio; Knuth, TAOCP 3, 6.4). */
uint32_t subscriber_retry_ms(const struct subscriber *subscriber, bool is_end)
{
	uint32_t spread = (uint32_t)subscriber->id * 2654435769u;
	uint32_t most = is_end ? RETRY_AFTER_END_MS : RETRY_MS;

	return RETRY_LEAST_MS + (uint32_t)((uint64_t)spread * (most - RETRY_LEAST_MS) >> 32);
}

/* Returns its bytes; 0: there are no last words, or they are there or sent already. */
static size_t write_farewell(const struct subscriber *subscriber, enum close_reason reason,
			     uint8_t words[ENCODER_HEADER_MAX])
{
	const struct encoder *encoder = subscriber->rendition->encoder;
	const struct packet place = {
		.type = PACKET_HEARTBEAT,
		.session = cursor_unread_session(&subscriber->cursor),
		.first_seq = cursor_unread_seq(&subscriber->cursor),
		.time_ns = clock_wall_ns(),
	};
	uint32_t retry_ms = subscriber_retry_ms(subscriber, reason != CLOSE_MOVED);

	if (!encoder->farewell || subscriber->end == END_TOLD)
		return 0;
	return encoder->farewell(encoder, reason, &place, retry_ms, words);
}

bool subscriber_add_farewell(struct subscriber *subscriber, enum close_reason reason)
{
	uint8_t words[ENCODER_HEADER_MAX];
	size_t length = write_farewell(subscriber, reason, words);

	if (!length)
		return false;
	subscriber_record_lose(subscriber);
	if (!notes_add(&subscriber->notes, words, length, NOTES_OWN_MAX))
		return false;
	subscriber->end = END_TOLD;
	return true;
}

/* Nothing is cut short by what it is sent now, as far as that is known. */
static bool is_between_packets(const struct subscriber *subscriber)
{
	/* With replay it is always BLOCKED, and the end is still to come. */
	if (subscriber->replay)
		return subscriber->end == END_BY_INPUT && !is_inside_replay(subscriber);
	return subscriber->state != SUBSCRIBER_BLOCKED &&
	       cursor_is_at_packet_start(&subscriber->cursor);
}

/* A farewell is for those. */
static bool has_read_all(const struct subscriber *subscriber)
{
	return cursor_unread_time(&subscriber->cursor, &subscriber->rendition->ring) == 0;
}

/* Before a close: what is left to say, if nothing is cut short by it and the socket takes it at
 * once; what it does not take shows as notes that wait. */
static void say_last_words(struct subscriber *subscriber, enum close_reason reason)
{
	int err = 0;

	if (!is_between_packets(subscriber))
		return;
	if (subscriber->end != END_BY_INPUT &&
	    (!has_read_all(subscriber) || !subscriber_add_farewell(subscriber, reason)))
		return;
	(void)subscriber_serve_notes(subscriber, &err);
}

static bool can_take_farewell(const struct subscriber *subscriber)
{
	return subscriber->end != END_BY_INPUT && !notes_waiting(&subscriber->notes) &&
	       is_between_packets(subscriber) && has_read_all(subscriber);
}

int subscriber_capture_farewell(const struct subscriber *subscriber, enum close_reason reason,
				struct farewells *ret)
{
	uint8_t words[ENCODER_HEADER_MAX];
	size_t length =
		can_take_farewell(subscriber) ? write_farewell(subscriber, reason, words) : 0;

	return farewells_add(ret, subscriber->fd, words, length);
}

/* ---- an end that is known ---- */

void subscriber_set_end(struct subscriber *subscriber, enum close_reason reason, uint64_t end_pos)
{
	if (subscriber->end == END_NONE)
		subscriber->end = END_READS_OUT;
	subscriber->end_reason = reason;
	subscriber->end_pos = end_pos;
	subscriber_record_describe(subscriber);
}

void subscriber_set_until(struct subscriber *subscriber, uint64_t until_ns)
{
	subscriber->until_ns = until_ns;
	if (until_ns)
		list_append(&fanout_of(subscriber)->until, &subscriber->until_node);
}

void subscriber_look_for_end(struct subscriber *subscriber)
{
	uint64_t pos;

	if (subscriber->end > END_READS_OUT)
		return;
	pos = cursor_find_later(&subscriber->cursor, &subscriber->rendition->ring,
				subscriber->until_ns);
	if (pos == UINT64_MAX || (subscriber->end == END_READS_OUT && subscriber->end_pos <= pos))
		return;
	subscriber_set_end(subscriber, CLOSE_UNTIL, pos);
}

/* ---- the end ---- */

void subscriber_free_input(const struct subscriber_input *input, void *owner)
{
	if (input && input->free)
		input->free(owner);
}

void subscriber_free_replay(const struct subscriber_replay *replay, void *owner)
{
	if (replay)
		replay->free(owner);
}

void subscriber_free(struct subscriber *subscriber)
{
	subscriber_free_input(subscriber->input, subscriber->input_owner);
	free(subscriber);
}

enum slow_cause subscriber_find_cause(const struct subscriber *subscriber)
{
	if (subscriber->state != SUBSCRIBER_BLOCKED)
		return CAUSE_RELAY;
	return slow_cause_of(subscriber->fd);
}

/* What holds a slow one back, counted; NULL: it is not closed for that. */
static const char *count_cause(struct subscriber *subscriber, enum close_reason reason)
{
	enum slow_cause cause;

	if (!close_reason_row(reason)->is_slow)
		return NULL;
	cause = subscriber_find_cause(subscriber);
	fanout_of(subscriber)->closed_slow_by[cause]++;
	return slow_cause_name(cause);
}

void subscriber_end_replay(struct subscriber *subscriber)
{
	const struct subscriber_replay *replay = subscriber->replay;

	subscriber->replay = NULL;
	subscriber->is_resting = false;
	list_remove(&subscriber->replay_node);
	subscriber_free_replay(replay, subscriber->replay_owner);
}

/* It is CLOSED; what is its own beside the socket, the quota and the input is given up. */
static void leave(struct subscriber *subscriber)
{
	struct fanout *fanout = fanout_of(subscriber);

	fanout->metrics->delivered_messages += subscriber_delivered_messages(subscriber);
	notes_free(&subscriber->notes);
	cursor_leave(&subscriber->cursor);
	list_remove(&subscriber->half_node);
	list_remove(&subscriber->until_node);
	subscriber_end_replay(subscriber);
	ev_io_stop(fanout->loop, &subscriber->read_watcher);
	subscriber_set_state(subscriber, SUBSCRIBER_CLOSED);
}

static void end(struct subscriber *subscriber, enum close_reason reason)
{
	struct fanout *fanout = fanout_of(subscriber);

	fanout->events.on_close(fanout->events.owner, subscriber, reason,
				count_cause(subscriber, reason));
	subscriber_record_close(subscriber);
	say_last_words(subscriber, reason);
	if (must_reset(subscriber, reason))
		sockopt_set_reset_on_close(subscriber->fd);
	leave(subscriber);
	peer_socket_close(&subscriber->fd);
	fanout->closed[reason]++;
	subscriber_count(subscriber, -1);
	subscriber_record_note_accounts(fanout);
	subscriber_give_back(&subscriber->quota);
	fanout_check_wait(fanout);
}

void subscriber_close(struct subscriber *subscriber, enum close_reason reason)
{
	if (subscriber->state != SUBSCRIBER_CLOSED)
		end(subscriber, reason);
}

/* Its end is not what the ring had at some moment. */
static bool can_go_back(const struct subscriber *subscriber)
{
	return subscriber->quota.on_behind &&
	       (subscriber->end == END_NONE ||
		(subscriber->end == END_READS_OUT && subscriber->end_reason == CLOSE_UNTIL));
}

void subscriber_go_back(struct subscriber *subscriber)
{
	struct fanout *fanout = fanout_of(subscriber);
	const struct subscriber_params params = {
		.id = subscriber->id,
		.on_slow = subscriber->on_slow,
		.has_from = true,
		.from_session = cursor_unread_session(&subscriber->cursor),
		.from_seq = cursor_unread_seq(&subscriber->cursor),
		.until_ns = subscriber->until_ns,
		.ends_with_fin = subscriber->ends_with_fin,
		.input = subscriber->input,
		.input_owner = subscriber->input_owner,
		.peer = subscriber->peer,
		.quota = subscriber->quota,
		.before =
			{
				.is_there = true,
				.is_half_closed = list_is_linked(&subscriber->half_node),
				.user_timeout_ms = subscriber->user_timeout_ms,
				.joined_ms = subscriber->joined_ms,
				.progress_ms = subscriber->progress_ms,
				.input_bucket = subscriber->input_bucket,
			},
	};
	int fd = subscriber->fd;

	if (!can_go_back(subscriber)) {
		subscriber_close(subscriber, CLOSE_LAG);
		return;
	}
	fanout->metrics->fell_back++;
	subscriber_record_close(subscriber);
	leave(subscriber);
	subscriber->fd = -1;
	subscriber->input = NULL;
	subscriber_count(subscriber, -1);
	params.quota.on_behind(params.quota.owner, fd, &params);
	fanout_check_wait(fanout);
}
