// SPDX-License-Identifier: MIT
/*
 * Subscribers: their states, being served, and what happens to the slow ones.
 * Their end is subscriber_end.c.  How bytes get into a socket is send.c's affair, when passes run
 * is pass.c's.
 */
#include "fanout/subscriber.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "fanout/subscriber_kept.h"
#include "fanout/fanout_parts.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"

enum {
	VISIT_SEGMENTS = 16, /* served to one at most before the others have their turn */
	INPUT_READ_BYTES = 4096,
};

/* What a newcomer wants to know first: the session and the sequence to come, and whether anything
 * will.  Who begins in the past reads there that the source went down. */
static void greet(struct subscriber *subscriber)
{
	struct fanout_source source = fanout_source_of(subscriber);
	struct packet packet = {
		.type = PACKET_HEARTBEAT,
		.session = cursor_unread_session(&subscriber->cursor),
		.first_seq = cursor_unread_seq(&subscriber->cursor),
		.time_ns = clock_wall_ns(),
	};

	(void)subscriber_tell(subscriber, &packet);
	if (source.is_up || subscriber->state == SUBSCRIBER_CLOSED ||
	    subscriber->cursor.pos != subscriber->rendition->ring.end_pos)
		return;
	packet.type = PACKET_SOURCE_DOWN;
	(void)subscriber_tell(subscriber, &packet);
}

/* Messages from `from` on, and before `to`.  False: these are none. */
static bool tell_gap(struct subscriber *subscriber, uint32_t session, uint64_t from, uint64_t to)
{
	const struct packet gap = {
		.type = PACKET_GAP,
		.session = session,
		.first_seq = from,
		.time_ns = to,
	};

	if (to > from)
		(void)subscriber_tell(subscriber, &gap);
	return to > from;
}

/* From this position on it gets nothing yet. */
static uint64_t held_from(const struct subscriber *subscriber)
{
	return subscriber->is_relays_own ? UINT64_MAX : subscriber->rendition->held_from;
}

/* There is more, but it is not on the disk. */
static bool waits_for_disk(const struct subscriber *subscriber)
{
	return subscriber->cursor.pos >= held_from(subscriber) &&
	       !subscriber_has_finished(subscriber);
}

/* Returns the sequence that comes next there. */
static uint64_t join_live(struct subscriber *subscriber)
{
	cursor_leave(&subscriber->cursor);
	if (!subscriber->is_relays_own)
		return rendition_join_live(subscriber->rendition, &subscriber->cursor);
	cursor_join_live(&subscriber->cursor, &subscriber->rendition->ring);
	return subscriber->rendition->ring.next_seq;
}

/* Jumps to the live edge and says what is missed. */
static void skip(struct subscriber *subscriber)
{
	struct fanout *fanout = fanout_of(subscriber);
	const struct ring *ring = &subscriber->rendition->ring;
	const struct cursor *cursor = &subscriber->cursor;
	uint32_t session = cursor_unread_session(cursor);
	uint64_t read = cursor_messages_read(cursor);
	uint64_t of_session = u64_max(ring->sequence_messages, read) - read;
	struct skip skip = {
		.from = cursor_unread_seq(cursor),
		.bytes = cursor->pos,
		.cause = subscriber->must_skip ? subscriber->slow_cause
					       : subscriber_find_cause(subscriber),
	};
	bool is_told = false, is_at_end;
	uint32_t session_there;
	uint64_t missed;

	subscriber_record_lose(subscriber);
	subscriber->must_skip = false;
	skip.to = join_live(subscriber);
	skip.bytes = cursor->pos - skip.bytes;
	is_at_end = cursor->pos == ring->end_pos;
	missed = (is_at_end ? ring->message_count : cursor_messages_read(cursor)) - read;
	session_there = is_at_end ? ring->session : cursor_unread_session(cursor);
	subscriber->skipped += missed;
	fanout->metrics->skipped_messages += missed;
	if (session != session_there) {
		is_told = tell_gap(subscriber, session, skip.from, skip.from + of_session);
		skip.from = ring->sequence_first;
	}
	is_told |= tell_gap(subscriber, session_there, skip.from, skip.to);
	if (!is_told) /* nothing but news was missed */
		return;
	fanout->metrics->gaps++;
	fanout->metrics->skipped_bytes += skip.bytes;
	fanout->skipped_by[skip.cause]++;
	fanout->events.on_skip(fanout->events.owner, subscriber, &skip);
}

/* It is behind the ring or over a limit.  But for a close, that waits until the packet in hand is
 * finished. */
static void leave_the_past(struct subscriber *subscriber)
{
	if (subscriber->on_slow == ON_SLOW_DISCONNECT)
		subscriber_close(subscriber, CLOSE_LAG);
	else if (!cursor_is_at_packet_start(&subscriber->cursor))
		return;
	else if (subscriber->on_slow == ON_SLOW_REPLAY)
		subscriber_go_back(subscriber);
	else
		skip(subscriber);
}

/* Where to stop in the segment: not behind the packet in hand when something has to be done there.
 */
static size_t limit_of(const struct subscriber *subscriber)
{
	const struct cursor *cursor = &subscriber->cursor;
	size_t limit = held_from(subscriber) - cursor->pos;

	if (subscriber->must_skip || notes_waiting(&subscriber->notes))
		limit = segment_packet_rest(cursor_segment(cursor), cursor_offset(cursor));
	if (subscriber_is_ending(subscriber))
		limit = size_min(limit, subscriber->end_pos - cursor->pos);
	return limit;
}

/* All has been read, or all that it was to get.  True: the last words are still to be sent. */
static bool come_to_rest(struct subscriber *subscriber)
{
	if (subscriber->end == END_READS_OUT &&
	    subscriber_add_farewell(subscriber, subscriber->end_reason))
		return true;
	subscriber->must_skip = false;
	subscriber_set_state(subscriber, SUBSCRIBER_IDLE);
	return false;
}

/* From where the cursor is.  False: it is at rest, or closed. */
static bool serve_packets(struct subscriber *subscriber, enum send_outcome *ret_outcome,
			  int *ret_err)
{
	struct ring *ring = &subscriber->rendition->ring;
	enum cursor_lag lag = cursor_settle(&subscriber->cursor, ring);
	uint64_t pos;

	*ret_outcome = SEND_DONE;
	if (subscriber->until_ns)
		subscriber_look_for_end(subscriber);
	if (lag == CURSOR_UNREAD && waits_for_disk(subscriber)) {
		subscriber_set_state(subscriber, SUBSCRIBER_IDLE);
		return false;
	}
	if (lag == CURSOR_BEHIND || (lag == CURSOR_UNREAD && subscriber->must_skip)) {
		leave_the_past(subscriber);
		if (subscriber->state == SUBSCRIBER_CLOSED)
			return false;
		if (!subscriber->must_skip || lag == CURSOR_BEHIND)
			return true;
	}
	if (lag == CURSOR_LIVE || subscriber_has_finished(subscriber))
		return come_to_rest(subscriber);
	pos = subscriber->cursor.pos;
	*ret_outcome = send_segment(subscriber, limit_of(subscriber), ret_err);
	if (subscriber->cursor.pos != pos)
		subscriber->progress_ms = clock_mono_ns() / NS_PER_MS;
	return true;
}

/* One step: returns true when there may be more to do at once. */
static bool serve_step(struct subscriber *subscriber)
{
	enum send_outcome outcome = SEND_DONE;
	int err = 0;

	if (cursor_is_at_packet_start(&subscriber->cursor))
		outcome = subscriber_serve_notes(subscriber, &err);
	if (outcome == SEND_DONE && !serve_packets(subscriber, &outcome, &err))
		return false;
	if (outcome == SEND_FAILED)
		subscriber_close(subscriber, close_reason_from_errno(err));
	else if (outcome == SEND_BLOCKED)
		subscriber_set_state(subscriber, SUBSCRIBER_BLOCKED);
	return outcome == SEND_DONE;
}

void subscriber_serve(struct subscriber *subscriber)
{
	int steps = 0;

	if (subscriber->record)
		subscriber_record_begin(subscriber);
	if (subscriber->replay) {
		subscriber_serve_replay(subscriber);
		subscriber_record_settle(subscriber);
		return;
	}
	while (steps < VISIT_SEGMENTS && serve_step(subscriber))
		steps++;
	if (subscriber->state == SUBSCRIBER_IDLE && subscriber_has_finished(subscriber))
		subscriber_close(subscriber, subscriber->end_reason);
	if (subscriber->record)
		subscriber_record_settle(subscriber);
}

/* True: epoll_ctl(2) has no room to watch it, so that it would not be heard any more. */
static bool close_unwatched(struct subscriber *subscriber, int events)
{
	if (events & EV_ERROR)
		subscriber_close(subscriber, CLOSE_NO_MEMORY);
	return events & EV_ERROR;
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct subscriber *subscriber = container_of(watcher, struct subscriber, write_watcher);
	struct fanout *fanout = fanout_of(subscriber);
	uint64_t start_ns = clock_mono_ns();

	(void)loop;
	if (close_unwatched(subscriber, events))
		return;
	subscriber_serve(subscriber);
	fanout->pass.spent_ns += clock_mono_ns() - start_ns;
	fanout_check_wait(fanout);
}

bool subscriber_spend_input(struct subscriber *subscriber, size_t count)
{
	bool has_enough = token_bucket_try_take(&subscriber->input_bucket, clock_mono_ns(), count);

	subscriber_record_note_input(subscriber);
	return has_enough;
}

void subscriber_return_input(struct subscriber *subscriber, size_t count)
{
	token_bucket_give_back(&subscriber->input_bucket, count);
	subscriber_record_note_input(subscriber);
}

static void take_input(struct subscriber *subscriber, uint8_t *bytes, size_t count)
{
	enum close_reason reason;

	fanout_of(subscriber)->metrics->subscriber_input += count;
	if (!subscriber->input) {
		if (!subscriber_spend_input(subscriber, count))
			subscriber_close(subscriber, CLOSE_INPUT);
		return;
	}
	subscriber->is_in_input = true;
	reason = subscriber->input->on_bytes(subscriber->input_owner, subscriber, bytes, count);
	subscriber->is_in_input = false;
	if (reason != CLOSE_REASON_COUNT) {
		subscriber->end = END_BY_INPUT;
		subscriber_close(subscriber, reason);
		return;
	}
	subscriber_record_end_input(subscriber);
	if (subscriber->state == SUBSCRIBER_IDLE && notes_waiting(&subscriber->notes))
		subscriber_serve(subscriber);
}

/* A half-closed one goes on receiving (nc with its input at an end does that); a closed one shows
 * itself at the next send. */
static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct subscriber *subscriber = container_of(watcher, struct subscriber, read_watcher);
	uint8_t bytes[INPUT_READ_BYTES];
	ssize_t got;

	if (close_unwatched(subscriber, events))
		return;
	subscriber_record_begin_input(subscriber);
	got = peer_socket_receive(subscriber->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (got > 0) {
		take_input(subscriber, bytes, (size_t)got);
	} else if (got == 0 && subscriber->ends_with_fin) {
		subscriber_close(subscriber, CLOSE_PEER_CLOSED);
	} else if (got == 0) {
		ev_io_stop(loop, watcher);
		list_append(&fanout_of(subscriber)->half_closed, &subscriber->half_node);
		subscriber_record_note_input(subscriber);
		subscriber_record_end_input(subscriber);
	} else if (errno != EAGAIN && errno != EINTR) {
		subscriber_close(subscriber, close_reason_from_errno(errno));
	} else {
		subscriber_record_end_input(subscriber);
	}
}

bool subscriber_send_note(struct subscriber *subscriber, const uint8_t *bytes, size_t count)
{
	if (subscriber->state == SUBSCRIBER_CLOSED ||
	    !notes_add(&subscriber->notes, bytes, count, NOTES_MAX))
		return false;
	if (subscriber->state == SUBSCRIBER_IDLE && !subscriber->is_in_input) {
		subscriber_set_state(subscriber, SUBSCRIBER_READY);
		fanout_continue_pass(fanout_of(subscriber));
	}
	return true;
}

/* Of one with has_from.  It is told what it misses; where the format cannot say it, it is
 * closed. */
static void place_by_sequence(struct subscriber *subscriber)
{
	const struct ring *ring = &subscriber->rendition->ring;
	struct packet gap = {
		.type = PACKET_GAP,
		.session = fanout_source_of(subscriber).session,
	};
	bool is_known = !subscriber->from_session || subscriber->from_session == gap.session;
	uint64_t oldest = u64_max(cursor_oldest_seq(ring), subscriber->oldest_seq);

	cursor_leave(&subscriber->cursor);
	if (is_known && subscriber->from_seq >= oldest &&
	    cursor_join_seq(&subscriber->cursor, ring, subscriber->from_seq) == 0)
		return;
	if (cursor_join_seq(&subscriber->cursor, ring, oldest) < 0)
		(void)join_live(subscriber);
	gap.first_seq = is_known ? subscriber->from_seq : 0;
	gap.time_ns = cursor_unread_seq(&subscriber->cursor);
	if (subscriber_tell(subscriber, &gap) == 0)
		subscriber_close(subscriber, CLOSE_LAG);
}

static void place_cursor(struct subscriber *subscriber, const struct subscriber_params *params)
{
	const struct ring *ring = &subscriber->rendition->ring;
	uint64_t now_ns = clock_mono_ns();
	uint64_t since_ns = 0;

	if (params->burst_ms && params->burst_ms < now_ns / NS_PER_MS)
		since_ns = now_ns - params->burst_ms * NS_PER_MS;
	if (params->since_ns) {
		/* A branch that sleeps may not have it; it is placed anew then. */
		if (cursor_join_since(&subscriber->cursor, ring, params->since_ns) < 0)
			(void)join_live(subscriber);
	} else if (params->burst_key_frame)
		cursor_join_key_frame(&subscriber->cursor, ring);
	else if (params->burst_bytes || params->burst_ms)
		cursor_join_past(&subscriber->cursor, ring, params->burst_bytes, since_ns);
	else
		(void)join_live(subscriber);
	subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
}

/* To where the next interval begins, or else to the newest one.  False: the ring has lost that. */
static bool move_to_interval(struct subscriber *subscriber)
{
	const struct encoder *encoder = subscriber->rendition->encoder;
	const struct ring *ring = &subscriber->rendition->ring;
	size_t whole = encoder->interval_bytes + encoder->block_bytes;
	uint64_t pos = subscriber->cursor.pos;

	if (encoder_can_begin(encoder, pos))
		return true;
	pos += whole - pos % whole;
	if (pos > ring->end_pos)
		pos -= whole;
	cursor_leave(&subscriber->cursor);
	return cursor_join_position(&subscriber->cursor, ring, pos);
}

/* It stands where it begins, but for one with has_from. */
static void start(struct subscriber *subscriber)
{
	if (subscriber->has_from) {
		place_by_sequence(subscriber);
		subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
	}
	if (!move_to_interval(subscriber))
		subscriber_close(subscriber, CLOSE_OUT_OF_RANGE);
	if (subscriber->state != SUBSCRIBER_CLOSED)
		greet(subscriber);
	if (subscriber->state == SUBSCRIBER_CLOSED)
		return;
	subscriber_set_state(subscriber, SUBSCRIBER_READY);
	subscriber_record_describe(subscriber);
	subscriber_serve(subscriber);
	if (subscriber->state == SUBSCRIBER_READY)
		fanout_continue_pass(fanout_of(subscriber)); /* a long burst: the rest in turns */
}

struct subscriber *subscriber_new(struct rendition *rendition, int fd,
				  const struct subscriber_quota *quota, bool is_relays_own)
{
	struct subscriber *subscriber = calloc(1, sizeof(*subscriber));

	if (!subscriber) {
		subscriber_give_back(quota);
		sockopt_set_reset_on_close(fd); /* it may have a part of a message from before */
		peer_socket_close(&fd);
		return NULL;
	}
	list_node_init(&subscriber->node);
	list_node_init(&subscriber->half_node);
	list_node_init(&subscriber->until_node);
	list_node_init(&subscriber->replay_node);
	subscriber->rendition = rendition;
	subscriber->fd = fd;
	subscriber->quota = *quota;
	ev_io_init(&subscriber->read_watcher, on_readable, fd, EV_READ);
	ev_io_init(&subscriber->write_watcher, on_writable, fd, EV_WRITE);
	subscriber->is_relays_own = is_relays_own;
	subscriber_count(subscriber, 1);
	return subscriber;
}

/* Its times, its input, and itself. */
static void begin_to_count(struct subscriber *subscriber, const struct subscriber_before *before)
{
	struct fanout *fanout = fanout_of(subscriber);

	if (before->is_there) {
		subscriber->joined_ms = before->joined_ms;
		subscriber->progress_ms = before->progress_ms;
		subscriber->user_timeout_ms = before->user_timeout_ms;
		subscriber->input_bucket = before->input_bucket;
	} else {
		subscriber->joined_ms = subscriber->progress_ms = clock_mono_ns() / NS_PER_MS;
		fanout->metrics->subscribers_total++;
		subscriber_record_note_accounts(fanout);
	}
	if (before->is_half_closed)
		list_append(&fanout->half_closed, &subscriber->half_node);
	else
		ev_io_start(fanout->loop, &subscriber->read_watcher);
}

/* Can it begin where it is to begin? */
static bool has_start(const struct rendition *rendition, const struct subscriber_params *params)
{
	if (params->since_ns)
		return rendition_reaches(rendition, params->since_ns);
	return !params->has_from || params->may_miss ||
	       rendition_has(rendition, params->from_session, params->from_seq);
}

int subscriber_join(struct rendition *rendition, int fd, const struct subscriber_params *params)
{
	struct fanout *fanout = rendition->fanout;
	struct fanout_source source = fanout->events.get_source(fanout->events.owner);
	struct subscriber *subscriber;

	if (source.is_awake && !params->replay && !has_start(rendition, params))
		return -ERANGE;
	/* Asked before it is counted: who sees the count may publish at once. */
	fanout->events.on_wanted(fanout->events.owner);
	subscriber = subscriber_new(rendition, fd, &params->quota, params->is_relays_own);
	if (!subscriber) {
		subscriber_free_input(params->input, params->input_owner);
		subscriber_free_replay(params->replay, params->replay_owner);
		return -ENOMEM;
	}
	subscriber->id = params->id;
	subscriber->peer = params->peer;
	subscriber->on_slow = params->on_slow;
	token_bucket_init(&subscriber->input_bucket, params->input_rate, params->max_input_bytes);
	token_bucket_take(&subscriber->input_bucket, clock_mono_ns(), params->input_bytes);
	subscriber->ends_with_fin = params->ends_with_fin;
	subscriber->input = params->input;
	subscriber->input_owner = params->input_owner;
	subscriber->has_from = params->has_from;
	subscriber->from_session = params->from_session;
	subscriber->from_seq = params->from_seq;
	subscriber->oldest_seq = params->oldest_seq;
	subscriber_set_until(subscriber, params->until_ns);
	begin_to_count(subscriber, &params->before);
	place_cursor(subscriber, params);
	subscriber_set_state(subscriber, SUBSCRIBER_JOINING);
	if (!params->is_relays_own)
		subscriber_record_open(subscriber);
	if (params->replay)
		subscriber_begin_replay(subscriber, params);
	if (source.is_draining)
		subscriber_close(subscriber, CLOSE_DRAIN);
	else if (params->replay)
		return 0;
	else if (source.is_awake)
		start(subscriber);
	return 0;
}

void subscriber_begin(struct subscriber *subscriber)
{
	(void)join_live(subscriber);
	subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
	start(subscriber);
}

/* A time that was `late_ms` earlier than it counts. */
static uint64_t moved(uint64_t time_ms, uint64_t late_ms, uint64_t now_ms)
{
	return u64_min(time_ms + late_ms, now_ms);
}

void subscriber_excuse(struct subscriber *subscriber, uint64_t now_ms, uint64_t late_ms)
{
	uint64_t grace_ms = fanout_of(subscriber)->params->grace_ms;

	subscriber->progress_ms = moved(subscriber->progress_ms, late_ms, now_ms);
	if (now_ms - subscriber->joined_ms < grace_ms + late_ms)
		subscriber->joined_ms = moved(subscriber->joined_ms, late_ms, now_ms);
}

void subscriber_check_limits(struct subscriber *subscriber, uint64_t now_ms)
{
	const struct fanout_params *params = fanout_of(subscriber)->params;
	const struct ring *ring = &subscriber->rendition->ring;
	uint64_t edge = u64_min(ring->end_pos, held_from(subscriber));
	uint64_t lag_bytes = edge - u64_min(edge, subscriber->cursor.pos);
	uint64_t oldest_ns;
	bool is_over;

	if (now_ms - subscriber->joined_ms < params->grace_ms)
		return;
	if (params->stall_timeout_ms &&
	    now_ms - subscriber->progress_ms >= params->stall_timeout_ms) {
		subscriber_close(subscriber, CLOSE_STALLED);
		return;
	}
	if (subscriber->on_slow == ON_SLOW_WAIT || subscriber->replay)
		return;
	is_over = params->max_lag_bytes && lag_bytes > params->max_lag_bytes;
	if (!is_over && params->max_lag_ms && lag_bytes) {
		oldest_ns = cursor_unread_time(&subscriber->cursor, ring);
		is_over = oldest_ns && now_ms > oldest_ns / NS_PER_MS + params->max_lag_ms +
							fanout_paused_since(fanout_of(subscriber),
									    oldest_ns / NS_PER_MS);
	}
	if (!is_over)
		is_over = cursor_is_behind(&subscriber->cursor, ring);
	if (!is_over)
		return;
	if (subscriber->on_slow == ON_SLOW_DISCONNECT) {
		subscriber_close(subscriber, CLOSE_LAG);
	} else if (!subscriber->must_skip) {
		subscriber->must_skip = true;
		subscriber->slow_cause = subscriber_find_cause(subscriber);
	}
}

void subscriber_check_half_closed(struct subscriber *subscriber)
{
	struct pollfd poll_fd = {.fd = subscriber->fd};

	if (poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & (POLLERR | POLLHUP))
		subscriber_close(subscriber, CLOSE_PEER_CLOSED);
}

void subscriber_finish(struct subscriber *subscriber, enum close_reason reason)
{
	/* What was published last is not for one with a delay yet, so it has no end to wait for. */
	if (subscriber->delay_ns && reason == CLOSE_SOURCE_LOST)
		return;
	if (subscriber->state == SUBSCRIBER_JOINING || subscriber->delay_ns) {
		subscriber_close(subscriber, reason);
		return;
	}
	subscriber_set_end(subscriber, reason, subscriber->rendition->ring.end_pos);
	subscriber_record_settle(subscriber);
	if (subscriber->state == SUBSCRIBER_IDLE)
		subscriber_serve(subscriber);
}

void subscriber_end_by_time(struct subscriber *subscriber)
{
	list_remove(&subscriber->until_node);
	subscriber_look_for_end(subscriber);
	if (subscriber->end == END_NONE)
		subscriber_finish(subscriber, CLOSE_UNTIL);
}
