// SPDX-License-Identifier: MIT
/*
 * Subscribers: their states, being served, and what happens to the slow ones.
 * Their end is subscriber_end.c, how bytes get into a socket send.c's affair; when passes run is
 * the feed's.
 */
#include "fanout/subscriber.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "fanout/subscriber_kept.h"
#include "fanout/subscriber_parts.h"
#include "feed/feed.h"
#include "feed/feed_state.h"

enum {
	VISIT_SEGMENTS =
		16, /* served to one subscriber at most before the others have their turn */
	INPUT_READ_BYTES = 4096,
};

void subscriber_set_state(struct subscriber *subscriber, enum subscriber_state state)
{
	struct rendition *rendition = subscriber->rendition;
	struct feed *feed = rendition->feed;

	if (subscriber->state == state && list_is_linked(&subscriber->node))
		return;
	if (state == SUBSCRIBER_BLOCKED)
		ev_io_start(feed->loop, &subscriber->write_watcher);
	else if (ev_is_active(&subscriber->write_watcher))
		ev_io_stop(feed->loop, &subscriber->write_watcher);
	list_remove(&subscriber->node);
	subscriber->state = state;
	switch (state) {
	case SUBSCRIBER_JOINING:
		list_append(&rendition->joining, &subscriber->node);
		break;
	case SUBSCRIBER_IDLE:
		list_append(&rendition->idle, &subscriber->node);
		break;
	case SUBSCRIBER_READY:
		list_append(&rendition->ready, &subscriber->node);
		break;
	case SUBSCRIBER_BLOCKED:
		list_append(&rendition->blocked, &subscriber->node);
		break;
	case SUBSCRIBER_CLOSED:
		list_append(&feed->reap, &subscriber->node);
		break;
	}
}

uint64_t subscriber_delivered_messages(const struct subscriber *subscriber)
{
	return cursor_messages_read(&subscriber->cursor) - subscriber->joined_messages -
	       subscriber->skipped;
}

/* A note that only this subscriber gets: news in the words of the format.  Returns its bytes, 0
 * where the format cannot say it; without memory the subscriber is closed. */
static size_t tell(struct subscriber *subscriber, const struct packet *packet)
{
	const struct encoder *encoder = subscriber->rendition->encoder;
	uint8_t header[ENCODER_HEADER_MAX];
	size_t length = encoder->header(encoder, packet, header);

	subscriber_record_lose(subscriber);
	if (!notes_add(&subscriber->notes, header, length, NOTES_OWN_MAX))
		subscriber_close(subscriber, CLOSE_NO_MEMORY);
	return length;
}

/* What a newcomer wants to know first: the session, the sequence to come, and whether anything
 * will. */
static void greet(struct subscriber *subscriber)
{
	struct feed *feed = feed_of(subscriber);
	struct packet packet = {
		.type = PACKET_HEARTBEAT,
		.session = feed->session,
		.first_seq = cursor_unread_seq(&subscriber->cursor),
		.time_ns = clock_wall_ns(),
	};

	(void)tell(subscriber, &packet);
	if (feed->is_source_up || subscriber->state == SUBSCRIBER_CLOSED)
		return;
	packet.type = PACKET_SOURCE_DOWN;
	(void)tell(subscriber, &packet);
}

static void log_skip(struct subscriber *subscriber, enum slow_cause cause, uint64_t from,
		     uint64_t to, uint64_t bytes)
{
	struct feed *feed = feed_of(subscriber);
	uint64_t suppressed = 0;

	if (log_allow(&feed->skip_log, clock_mono_ns(), &suppressed))
		log_warn("subscriber skipped feed=%s format=%s subscriber=%llu from=%llu to=%llu "
			 "bytes=%llu cause=%s suppressed=%llu",
			 feed->params.name, subscriber->rendition->encoder->name,
			 (unsigned long long)subscriber->id, (unsigned long long)from,
			 (unsigned long long)to, (unsigned long long)bytes, slow_cause_name(cause),
			 (unsigned long long)suppressed);
}

/* Jumps to the live edge and says what is missed. */
static void skip(struct subscriber *subscriber)
{
	struct feed *feed = feed_of(subscriber);
	struct ring *ring = &subscriber->rendition->ring;
	uint64_t from = cursor_unread_seq(&subscriber->cursor);
	uint64_t to = ring->next_seq;
	uint64_t bytes = ring->end_pos - subscriber->cursor.pos;
	uint64_t missed = ring->message_count - cursor_messages_read(&subscriber->cursor);
	enum slow_cause cause =
		subscriber->must_leave ? subscriber->slow_cause : subscriber_find_cause(subscriber);
	const struct packet gap = {
		.type = PACKET_GAP,
		.session = feed->session,
		.first_seq = from,
		.time_ns = to,
	};

	subscriber_record_lose(subscriber);
	subscriber->must_leave = false;
	cursor_leave(&subscriber->cursor);
	cursor_join_live(&subscriber->cursor, ring);
	subscriber->skipped += missed;
	feed->metrics.skipped_messages += missed;
	if (to <= from) /* nothing but news was missed, or a session that is over */
		return;
	feed->metrics.gaps++;
	feed->metrics.skipped_bytes += bytes;
	feed->skipped_by[cause]++;
	log_skip(subscriber, cause, from, to, bytes);
	(void)tell(subscriber, &gap);
}

/* It is behind the ring or over a limit.  A skip waits until the message in hand is finished. */
static void leave_the_past(struct subscriber *subscriber)
{
	if (subscriber->on_slow == ON_SLOW_DISCONNECT) {
		subscriber_close(subscriber, CLOSE_LAG);
		return;
	}
	if (cursor_is_at_message_start(&subscriber->cursor, &subscriber->rendition->ring))
		skip(subscriber);
}

/* Where to stop in the segment: not behind the packet in hand when something has to be done there.
 */
static size_t limit_of(const struct subscriber *subscriber)
{
	const struct cursor *cursor = &subscriber->cursor;
	size_t limit = SIZE_MAX;

	if (subscriber->must_leave || notes_waiting(&subscriber->notes)) {
		limit = segment_packet_rest(cursor_segment(cursor), cursor_offset(cursor));
		if (limit == 0) /* a packet begins here, but not a message */
			limit = SIZE_MAX;
	}
	if (subscriber->is_ending)
		limit = size_min(limit, subscriber->end_pos - cursor->pos);
	return limit;
}

/* All has been read, or all that it was to get.  True: the last words are still to be sent. */
static bool come_to_rest(struct subscriber *subscriber)
{
	if (subscriber->is_ending && subscriber_add_farewell(subscriber, subscriber->end_reason))
		return true;
	subscriber->must_leave = false;
	subscriber_set_state(subscriber, SUBSCRIBER_IDLE);
	return false;
}

/* From where the cursor is.  False: it is at rest, or closed. */
static bool serve_packets(struct subscriber *subscriber, enum fanout *ret_outcome, int *ret_err)
{
	struct ring *ring = &subscriber->rendition->ring;
	enum cursor_place place = cursor_settle(&subscriber->cursor, ring);
	uint64_t pos;

	*ret_outcome = FANOUT_SENT;
	if (place == CURSOR_BEHIND || (place == CURSOR_UNREAD && subscriber->must_leave)) {
		leave_the_past(subscriber);
		if (subscriber->state == SUBSCRIBER_CLOSED)
			return false;
		if (!subscriber->must_leave || place == CURSOR_BEHIND)
			return true;
	}
	if (place == CURSOR_LIVE || subscriber_has_finished(subscriber))
		return come_to_rest(subscriber);
	pos = subscriber->cursor.pos;
	*ret_outcome = fanout_send(subscriber, limit_of(subscriber), ret_err);
	if (subscriber->cursor.pos != pos)
		subscriber->progress_ms = clock_mono_ns() / NS_PER_MS;
	return true;
}

/* One step: returns true when there may be more to do at once. */
static bool serve_step(struct subscriber *subscriber)
{
	enum fanout outcome = FANOUT_SENT;
	int err = 0;

	if (cursor_is_at_packet_start(&subscriber->cursor))
		outcome = subscriber_serve_notes(subscriber, &err);
	if (outcome == FANOUT_SENT && !serve_packets(subscriber, &outcome, &err))
		return false;
	if (outcome == FANOUT_FAILED)
		subscriber_close(subscriber, close_reason_from_errno(err));
	else if (outcome == FANOUT_BLOCKED)
		subscriber_set_state(subscriber, SUBSCRIBER_BLOCKED);
	return outcome == FANOUT_SENT;
}

void subscriber_serve(struct subscriber *subscriber)
{
	int steps = 0;

	if (subscriber->record)
		subscriber_record_begin(subscriber);
	while (steps < VISIT_SEGMENTS && serve_step(subscriber))
		steps++;
	if (subscriber->state == SUBSCRIBER_IDLE && subscriber->is_ending)
		subscriber_close(subscriber, subscriber->end_reason);
	if (subscriber->record)
		subscriber_record_settle(subscriber);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct subscriber *subscriber = container_of(watcher, struct subscriber, write_watcher);
	struct feed *feed = feed_of(subscriber);
	uint64_t start_ns = clock_mono_ns();

	(void)loop;
	(void)events;
	subscriber_serve(subscriber);
	feed->pass.spent_ns += clock_mono_ns() - start_ns;
	feed_check_wait(feed);
}

static void ignore_input(struct subscriber *subscriber, size_t count)
{
	if (count > subscriber->input_left)
		subscriber_close(subscriber, CLOSE_INPUT);
	else
		subscriber->input_left -= (uint32_t)count;
	subscriber_record_note_input(subscriber);
}

static void take_input(struct subscriber *subscriber, uint8_t *bytes, size_t count)
{
	enum close_reason reason;

	feed_of(subscriber)->metrics.subscriber_input += count;
	if (!subscriber->input) {
		ignore_input(subscriber, count);
		return;
	}
	subscriber->is_in_input = true;
	reason = subscriber->input->on_bytes(subscriber->input_owner, subscriber, bytes, count);
	subscriber->is_in_input = false;
	if (reason != CLOSE_REASON_COUNT) {
		subscriber->ends_by_input = true;
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

	(void)events;
	subscriber_record_begin_input(subscriber);
	got = recv(subscriber->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (got > 0) {
		take_input(subscriber, bytes, (size_t)got);
	} else if (got == 0 && subscriber->ends_with_fin) {
		subscriber_close(subscriber, CLOSE_PEER_CLOSED);
	} else if (got == 0) {
		ev_io_stop(loop, watcher);
		list_append(&feed_of(subscriber)->half_closed, &subscriber->half_node);
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
		feed_continue_pass(feed_of(subscriber));
	}
	return true;
}

static void place_cursor(struct subscriber *subscriber, const struct subscriber_params *params)
{
	const struct ring *ring = &subscriber->rendition->ring;
	uint64_t now_ns = clock_wall_ns();
	uint64_t since_ns = 0;

	if (params->has_from && cursor_join_seq(&subscriber->cursor, ring, params->from_seq) == 0) {
		subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
		return;
	}
	if (params->burst_ms && params->burst_ms < now_ns / NS_PER_MS)
		since_ns = now_ns - params->burst_ms * NS_PER_MS;
	if (params->burst_bytes || params->burst_ms)
		cursor_join_past(&subscriber->cursor, ring, params->burst_bytes, since_ns);
	else
		cursor_join_live(&subscriber->cursor, ring);
	subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
}

static void start(struct subscriber *subscriber)
{
	greet(subscriber);
	if (subscriber->state == SUBSCRIBER_CLOSED)
		return;
	subscriber_set_state(subscriber, SUBSCRIBER_READY);
	subscriber_record_describe(subscriber);
	subscriber_serve(subscriber);
	if (subscriber->state == SUBSCRIBER_READY)
		feed_continue_pass(feed_of(subscriber)); /* a long burst: the rest in turns */
}

/* Of a subscriber on no list yet; NULL: no memory. */
static struct subscriber *new_subscriber(struct rendition *rendition, int fd,
					 const struct subscriber_quota *quota)
{
	struct subscriber *subscriber = calloc(1, sizeof(*subscriber));

	if (!subscriber) {
		subscriber_give_back(quota);
		fd_close(&fd);
		return NULL;
	}
	list_node_init(&subscriber->node);
	list_node_init(&subscriber->half_node);
	subscriber->rendition = rendition;
	subscriber->fd = fd;
	subscriber->quota = *quota;
	ev_io_init(&subscriber->read_watcher, on_readable, fd, EV_READ);
	ev_io_init(&subscriber->write_watcher, on_writable, fd, EV_WRITE);
	feed_count_subscriber(rendition->feed, 1);
	return subscriber;
}

int subscriber_join(struct rendition *rendition, int fd, const struct subscriber_params *params)
{
	struct feed *feed = rendition->feed;
	struct subscriber *subscriber;

	if (params->has_from && crossing_is_awake(feed) &&
	    params->from_seq < cursor_oldest_seq(&rendition->ring))
		return -ERANGE;
	/* Asked before it is counted: who sees the count may publish at once. */
	crossing_wake(feed);
	subscriber = new_subscriber(rendition, fd, &params->quota);
	if (!subscriber) {
		subscriber_free_input(params->input, params->input_owner);
		return -ENOMEM;
	}
	subscriber->id = params->id;
	subscriber->on_slow = params->on_slow;
	subscriber->input_left = params->max_input_bytes;
	subscriber->ends_with_fin = params->ends_with_fin;
	subscriber->input = params->input;
	subscriber->input_owner = params->input_owner;
	subscriber->has_from = params->has_from;
	subscriber->from_seq = params->from_seq;
	subscriber->joined_ms = subscriber->progress_ms = clock_mono_ns() / NS_PER_MS;
	ev_io_start(feed->loop, &subscriber->read_watcher);
	feed->metrics.subscribers_total++;
	place_cursor(subscriber, params);
	subscriber_set_state(subscriber, SUBSCRIBER_JOINING);
	subscriber_record_open(subscriber);
	if (feed->is_draining)
		subscriber_close(subscriber, CLOSE_DRAIN);
	else if (crossing_is_awake(feed))
		start(subscriber);
	return 0;
}

/* True when it can go on: what its branch slept through, it has been told of. */
static bool begin_at_sequence(struct subscriber *subscriber)
{
	const struct ring *ring = &subscriber->rendition->ring;
	struct packet gap = {
		.type = PACKET_GAP,
		.session = feed_of(subscriber)->session,
		.first_seq = subscriber->from_seq,
	};

	if (cursor_join_seq(&subscriber->cursor, ring, subscriber->from_seq) == 0)
		return true;
	cursor_join_live(&subscriber->cursor, ring);
	gap.time_ns = ring->next_seq;
	if (tell(subscriber, &gap) == 0)
		subscriber_close(subscriber, CLOSE_LAG);
	return subscriber->state != SUBSCRIBER_CLOSED;
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
	subscriber->input_left = (uint32_t)state->input_left;
	subscriber->ends_with_fin = state->ends_with_fin;
	subscriber->has_farewell = state->has_farewell;
	subscriber->on_slow = (enum on_slow)state->on_slow;
	subscriber->must_leave = state->must_leave;
	subscriber->slow_cause = (enum slow_cause)state->slow_cause;
	subscriber->is_ending = state->is_ending;
	subscriber->end_reason = (enum close_reason)state->end_reason;
	subscriber->end_pos = state->end_pos;
	subscriber->has_from = state->has_from;
	subscriber->from_seq = state->from_seq;
}

void subscriber_resume(struct rendition *rendition, struct subscriber_snapshot *state,
		       const struct ring_restored *restored)
{
	struct feed *feed = rendition->feed;
	struct subscriber *subscriber = new_subscriber(rendition, state->fd, &state->quota);

	state->fd = -1;
	if (!subscriber) {
		subscriber_free_input(state->input, state->input_owner);
		state->input = NULL;
		feed->closed[CLOSE_NO_MEMORY]++;
		feed->metrics.delivered_messages += state->delivered;
		return;
	}
	take_over(subscriber, state);
	cursor_restore(&subscriber->cursor, &state->cursor, restored);
	if (state->counts_anew) {
		subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
		feed->metrics.subscribers_total++;
	}
	feed->metrics.subscribers_resumed++;
	if (state->is_half_closed)
		list_append(&feed->half_closed, &subscriber->half_node);
	else
		ev_io_start(feed->loop, &subscriber->read_watcher);
	if (state->is_joining) {
		subscriber_set_state(subscriber, SUBSCRIBER_JOINING);
		crossing_wake(feed);
	} else {
		subscriber_set_state(subscriber,
				     SUBSCRIBER_READY); /* a pass finds out whether it is idle */
	}
	/* What it was to be told must not get lost in silence. */
	if (!notes_add(&subscriber->notes, state->note, state->note_bytes, NOTES_OWN_MAX)) {
		subscriber_close(subscriber, CLOSE_NO_MEMORY);
		return;
	}
	subscriber_record_set_place(feed->records, subscriber->fd, state->listener,
				    state->peer_key);
	subscriber_record_open(subscriber);
	subscriber_record_settle(subscriber);
}

void subscriber_begin(struct subscriber *subscriber)
{
	cursor_leave(&subscriber->cursor);
	cursor_join_live(&subscriber->cursor, &subscriber->rendition->ring);
	subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
	if (subscriber->has_from && !begin_at_sequence(subscriber))
		return;
	subscriber->joined_messages = cursor_messages_read(&subscriber->cursor);
	start(subscriber);
}

void subscriber_wake_all(struct rendition *rendition)
{
	struct list_node *node;

	list_for_each (&rendition->idle, node)
		list_entry(node, struct subscriber, node)->state = SUBSCRIBER_READY;
	list_splice(&rendition->ready, &rendition->idle);
}

void subscriber_check_limits(struct subscriber *subscriber, uint64_t now_ms, uint64_t wall_ns)
{
	struct feed *feed = feed_of(subscriber);
	const struct feed_params *params = &feed->params;
	const struct ring *ring = &subscriber->rendition->ring;
	uint64_t lag_bytes = ring->end_pos - subscriber->cursor.pos;
	uint64_t oldest_ns;
	bool is_over;

	if (now_ms - subscriber->joined_ms < params->grace_ms)
		return;
	if (params->stall_timeout_ms &&
	    now_ms - subscriber->progress_ms >= params->stall_timeout_ms) {
		subscriber_close(subscriber, CLOSE_STALLED);
		return;
	}
	if (subscriber->on_slow == ON_SLOW_WAIT)
		return;
	is_over = params->max_lag_bytes && lag_bytes > params->max_lag_bytes;
	if (!is_over && params->max_lag_ms) {
		oldest_ns = cursor_unread_time(&subscriber->cursor, ring);
		is_over = oldest_ns && wall_ns > oldest_ns &&
			  wall_ns - oldest_ns > params->max_lag_ms * NS_PER_MS;
	}
	if (!is_over)
		is_over = cursor_is_behind(&subscriber->cursor, ring);
	if (!is_over)
		return;
	if (subscriber->on_slow == ON_SLOW_DISCONNECT) {
		subscriber_close(subscriber, CLOSE_LAG);
	} else if (!subscriber->must_leave) {
		subscriber->must_leave = true;
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
	if (subscriber->state == SUBSCRIBER_JOINING) {
		subscriber_close(subscriber, reason);
		return;
	}
	subscriber->is_ending = true;
	subscriber->end_reason = reason;
	subscriber->end_pos = subscriber->rendition->ring.end_pos;
	subscriber_record_describe(subscriber);
	subscriber_record_settle(subscriber);
	if (subscriber->state == SUBSCRIBER_IDLE)
		subscriber_serve(subscriber);
}
