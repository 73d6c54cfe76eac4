// SPDX-License-Identifier: MIT
/* Arrivals: in the worker, and on the way to the history. */
#include "serve/arrival.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "fanout/rendition.h"
#include "fanout/subscriber_resume.h"
#include "feed/feed.h"
#include "history/history.h"
#include "history/recorder.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"
#include "serve/served_feed.h"
#include "serve/service.h"

enum {
	DISCARD_BYTES = 4096,
	DISCARD_MAX = 4, /* reads: what has come is bounded by them, not by the peer */
};

/* Where it begins. */
enum beginning {
	BEGINS_HERE,     /* in the ring, or with params->replay */
	BEGINS_IN_FILES, /* perhaps, and they are read elsewhere */
	BEGINS_NOWHERE,  /* there is no such message */
};

/* ---- answers ---- */

/* A fresh socket takes a head whole; one that does not is gone. */
static bool send_whole(int fd, const char *bytes, ssize_t count)
{
	return count > 0 && send(fd, bytes, (size_t)count, MSG_NOSIGNAL | MSG_DONTWAIT) == count;
}

/* Whatever has come is read, so that close() sends the answer and FIN, and no RST. */
static void close_after_answer(int *fd)
{
	char discarded[DISCARD_BYTES];

	for (int i = 0; i < DISCARD_MAX; i++) {
		if (peer_socket_receive(*fd, discarded, sizeof(discarded), MSG_DONTWAIT) <= 0)
			break;
	}
	(void)shutdown(*fd, SHUT_WR);
	peer_socket_close(fd);
}

void arrival_free(struct arrival *arrival)
{
	const struct subscriber_params *params = &arrival->params;

	if (params->input)
		params->input->free(params->input_owner);
	if (params->replay)
		params->replay->free(params->replay_owner);
	if (arrival->fd >= 0 && !arrival->has_request)
		sockopt_set_reset_on_close(arrival->fd);
	if (arrival->fd >= 0)
		close_after_answer(&arrival->fd);
	free(arrival);
}

/* In a worker. */
static void give_up(struct arrival *arrival, enum close_reason reason)
{
	struct quota *quota = arrival->quota;

	arrival_free(arrival);
	quota_refuse(quota, reason);
}

/* ---- the history ---- */

/* A replay that is counted until it ends. */
struct counted_replay {
	struct replay *replay;
	struct quota *quota;
};

static void attend_counted(void *owner, void (*wake)(void *subscriber), void *subscriber)
{
	struct counted_replay *counted = owner;

	replay_of_history.attend(counted->replay, wake, subscriber);
}

static enum replay_outcome send_counted(void *owner, int fd, struct replay_progress *ret)
{
	struct counted_replay *counted = owner;

	return replay_of_history.send(counted->replay, fd, ret);
}

static bool is_inside_counted(const void *owner)
{
	const struct counted_replay *counted = owner;

	return replay_of_history.is_inside(counted->replay);
}

static bool is_counted_cut_off(const void *owner)
{
	const struct counted_replay *counted = owner;

	return replay_of_history.is_cut_off(counted->replay);
}

static void capture_counted(const void *owner, struct kept_replay *ret)
{
	const struct counted_replay *counted = owner;

	replay_of_history.capture(counted->replay, ret);
}

static void free_counted(void *owner)
{
	struct counted_replay *counted = owner;

	replay_free(counted->replay);
	quota_end_replay(counted->quota);
	free(counted);
}

static const struct subscriber_replay counted_replay = {
	.attend = attend_counted,
	.send = send_counted,
	.is_inside = is_inside_counted,
	.is_cut_off = is_counted_cut_off,
	.capture = capture_counted,
	.free = free_counted,
};

static struct replay_format format_of(const struct feed *feed, const struct rendition *rendition,
				      enum on_slow on_slow)
{
	return (struct replay_format){
		.encoder = encoder_for_one(rendition->encoder),
		.framing = feed->publish.framing,
		.passes_gaps = on_slow == ON_SLOW_SKIP,
	};
}

static void log_unreadable(const struct feed *feed, int r)
{
	if (r != -ERANGE && r != -EAGAIN)
		log_warn("history cannot be read feed=%s: %s", feed->fanout.name, strerror(-r));
}

/* True: the history has it. */
static bool open_replay(struct arrival *arrival)
{
	struct subscriber_params *params = &arrival->params;
	const struct replay_format format =
		format_of(arrival->feed, arrival->rendition, params->on_slow);
	struct counted_replay *counted = malloc(sizeof(*counted));
	int r;

	if (!counted)
		return false;
	counted->quota = arrival->quota;
	r = replay_open(arrival->history, &arrival->range, &format, &counted->replay,
			&params->place);
	if (r == 0) {
		params->replay = &counted_replay;
		params->replay_owner = counted;
		return true;
	}
	free(counted);
	log_unreadable(arrival->feed, r);
	return false;
}

void arrival_resume_replay(struct served_format *format, struct worker *worker,
			   struct subscriber_snapshot *subscriber)
{
	struct served_feed *served = format->feed;
	const struct feed *feed = served->worker_feeds[worker->index].feed;
	struct counted_replay *counted;
	struct replay_format wanted;
	int r;

	if (!served->recorder || worker != served->recording || !format->renditions ||
	    !subscriber->quota.owner)
		return;
	wanted = format_of(feed, format->renditions[worker->index],
			   (enum on_slow)subscriber->on_slow);
	counted = malloc(sizeof(*counted));
	if (!counted)
		return;
	counted->quota = subscriber->quota.owner;
	r = replay_resume(recorder_history(served->recorder), &subscriber->from_files, &wanted,
			  &counted->replay);
	if (r < 0) {
		log_unreadable(feed, r);
		free(counted);
		return;
	}
	quota_begin_replay(counted->quota, worker);
	subscriber->replay = &counted_replay;
	subscriber->replay_owner = counted;
}

/* ---- where it begins ---- */

/* The messages there are.  The client may have been served by a worker that is further than this
 * one. */
static void find_range(const struct arrival *arrival, struct stream_range *ret)
{
	struct history_entry oldest, end;
	uint64_t mono_ns;

	feed_catch_up(arrival->feed);
	ret->session = arrival->feed->publish.sequence.session;
	rendition_range(arrival->rendition, &ret->oldest, &ret->next);
	mono_ns = cursor_oldest_time(&arrival->rendition->ring);
	ret->oldest_ns = mono_ns ? clock_wall_ns() - (clock_mono_ns() - mono_ns) : 0;
	ret->oldest_session = ret->session;
	if (!arrival->history || !history_range(arrival->history, &oldest, &end))
		return;
	ret->oldest_session = oldest.session;
	ret->oldest = oldest.sequence;
	ret->oldest_ns = oldest.time_ns;
}

/* Can the stream begin with the message that was asked for? */
static bool has_from(struct arrival *arrival, const struct stream_range *range)
{
	struct subscriber_params *params = &arrival->params;
	bool is_awake = arrival->feed->publish.is_awake;

	if (params->may_miss) {
		if (is_awake && params->from_seq > range->next)
			params->from_seq = 0;
		return true;
	}
	if (params->from_seq == 0) {
		params->has_from = is_awake; /* else nothing is there yet */
		params->from_seq = range->oldest;
	}
	return rendition_has(arrival->rendition, params->from_session, params->from_seq) &&
	       params->from_seq <= range->next;
}

/* Has the ring all that was asked for?  The oldest there is lies in the history, if there is one.
 * What has come while the branch slept, nobody can say here. */
static bool is_in_ring(struct arrival *arrival, const struct stream_range *range)
{
	const struct subscriber_params *params = &arrival->params;
	bool is_awake = arrival->feed->publish.is_awake;

	if (params->since_ns)
		return is_awake && rendition_reaches(arrival->rendition, params->since_ns);
	if (!arrival->may_replay)
		return has_from(arrival, range);
	return is_awake && params->from_seq &&
	       rendition_has(arrival->rendition, params->from_session, params->from_seq) &&
	       params->from_seq <= range->next;
}

/* A burst gives what there is, from the history where the ring does not reach so far. */
static enum beginning find_burst(struct arrival *arrival)
{
	uint64_t since_ns = clock_mono_of_wall(arrival->range.since_ns);

	if (!arrival->may_replay)
		return BEGINS_HERE;
	feed_catch_up(arrival->feed);
	if (arrival->feed->publish.is_awake && rendition_reaches(arrival->rendition, since_ns))
		return BEGINS_HERE;
	if (!arrival->history)
		return BEGINS_IN_FILES;
	(void)open_replay(arrival);
	return BEGINS_HERE;
}

/* *ret_range: with BEGINS_NOWHERE, what can be had instead. */
static enum beginning find_beginning(struct arrival *arrival, struct stream_range *ret_range)
{
	if (!arrival->params.has_from && !arrival->params.since_ns)
		return find_burst(arrival);
	find_range(arrival, ret_range);
	if (is_in_ring(arrival, ret_range))
		return BEGINS_HERE;
	if (arrival->may_replay && !arrival->history)
		return BEGINS_IN_FILES;
	if (arrival->history && open_replay(arrival))
		return BEGINS_HERE;
	/* Nothing is recorded yet. */
	if (arrival->params.has_from && has_from(arrival, ret_range))
		return BEGINS_HERE;
	return BEGINS_NOWHERE;
}

/* Where the stream begins, as far as that is known before it is joined: of a packet that holds the
 * message asked for among others, at the first of them. */
static void find_start(const struct arrival *arrival, struct stream_start *ret)
{
	const struct subscriber_params *params = &arrival->params;
	const struct ring *ring = &arrival->rendition->ring;
	uint64_t from_seq = params->from_seq;
	struct cursor cursor;

	if (params->replay) {
		*ret = (struct stream_start){
			.is_known = true,
			.session = params->place.session,
			.sequence = params->place.sequence,
		};
		return;
	}
	*ret = (struct stream_start){
		.is_known = params->has_from ||
			    (!params->since_ns && !subscriber_params_have_burst(params)),
		.session = arrival->feed->publish.sequence.session,
		.sequence = rendition_join_live(arrival->rendition, &cursor),
	};
	cursor_leave(&cursor);
	if (!params->has_from)
		return;
	if (!rendition_has(arrival->rendition, params->from_session, from_seq))
		from_seq = cursor_oldest_seq(ring);
	if (cursor_join_seq(&cursor, ring, from_seq) < 0)
		return;
	ret->sequence = cursor_unread_seq(&cursor);
	cursor_leave(&cursor);
}

/* Is all that it wants before where it begins?  Looked for where an event stream comes back. */
static bool has_got_all(const struct arrival *arrival)
{
	const struct subscriber_params *params = &arrival->params;
	const struct ring *ring = &arrival->rendition->ring;
	struct cursor cursor;
	bool is_over;

	if (!params->may_miss || !params->until_ns || params->until_ns >= clock_mono_ns())
		return false;
	if (params->replay) {
		const struct counted_replay *counted = params->replay_owner;

		return replay_is_over(counted->replay);
	}
	if (!rendition_has(arrival->rendition, params->from_session, params->from_seq) ||
	    cursor_join_seq(&cursor, ring, params->from_seq) < 0)
		return false;
	is_over = cursor.pos == ring->end_pos ||
		  cursor_find_later(&cursor, ring, params->until_ns) == cursor.pos;
	cursor_leave(&cursor);
	return is_over;
}

/* ---- joining ---- */

/* FIN that comes behind the request, before the answer, says only that there is no more to ask (RFC
 * 9112, 9.6).  A WebSocket would have to answer. */
static bool is_half_closed(const struct arrival *arrival)
{
	struct pollfd poll_fd = {.fd = arrival->fd, .events = POLLRDHUP};

	return !arrival->params.input && poll(&poll_fd, 1, 0) > 0 &&
	       (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) == POLLRDHUP;
}

/* False: the peer is gone. */
static bool send_head(struct arrival *arrival)
{
	char head[STREAM_ANSWER_BYTES];
	struct stream_start start;
	ssize_t length;

	if (!arrival->has_request)
		return true;
	if (is_half_closed(arrival))
		arrival->params.ends_with_fin = false;
	find_start(arrival, &start);
	length = stream_answer_head(&arrival->answer, &start, head, sizeof(head));
	return send_whole(arrival->fd, head, length);
}

static void answer_no_more(struct arrival *arrival)
{
	char head[STREAM_ANSWER_BYTES];
	ssize_t length = stream_answer_no_more(&arrival->answer, head, sizeof(head));

	(void)send_whole(arrival->fd, head, length);
	give_up(arrival, CLOSE_UNTIL);
}

static void begin(struct arrival *arrival)
{
	struct quota *quota = arrival->quota;
	int r;

	if (arrival->history && !arrival->params.replay)
		quota_end_replay(quota);
	if (arrival->has_request && has_got_all(arrival)) {
		answer_no_more(arrival);
		return;
	}
	if (!send_head(arrival)) {
		give_up(arrival, CLOSE_PEER_RESET);
		return;
	}
	r = subscriber_join(arrival->rendition, arrival->fd, &arrival->params);
	if (r == -ERANGE) {
		give_up(arrival, CLOSE_OUT_OF_RANGE);
		return;
	}
	if (r < 0)
		log_error("out of memory, subscriber refused");
	free(arrival);
}

static void answer_out_of_range(struct arrival *arrival, const struct stream_range *range)
{
	char head[STREAM_ANSWER_BYTES];
	ssize_t length = stream_answer_out_of_range(&arrival->answer, range, head, sizeof(head));

	(void)send_whole(arrival->fd, head, length);
	give_up(arrival, CLOSE_OUT_OF_RANGE);
}

static void turn_to_history(struct task *task);

static void arrive(struct task *task)
{
	struct arrival *arrival = container_of(task, struct arrival, task);
	struct stream_range range;

	switch (find_beginning(arrival, &range)) {
	case BEGINS_HERE:
		begin(arrival);
		return;
	case BEGINS_IN_FILES:
		task->run = turn_to_history;
		inbox_post(&arrival->format->feed->service->control, task);
		return;
	case BEGINS_NOWHERE:
		if (arrival->has_request) {
			answer_out_of_range(arrival, &range);
			return;
		}
		/* It has come back, and the recorder was slow as well.  It is told, or closed. */
		arrival->params.may_miss = true;
		begin(arrival);
		return;
	}
}

/* ---- in the control thread ---- */

static void post_to(struct arrival *arrival, struct worker *worker)
{
	arrival->feed = arrival->format->feed->worker_feeds[worker->index].feed;
	arrival->rendition = arrival->format->renditions[worker->index];
	arrival->task.run = arrive;
	inbox_post(&worker->inbox, &arrival->task);
}

static void answer_too_many(struct arrival *arrival)
{
	char bytes[STREAM_ANSWER_BYTES];
	ssize_t length =
		stream_answer_for_now(&arrival->answer, close_reason_name(CLOSE_REPLAYS),
				      close_reason_text(CLOSE_REPLAYS), bytes, sizeof(bytes));

	(void)send_whole(arrival->fd, bytes, length);
}

/* Its worker does not have what it wants, or not all of it. */
static void turn_to_history(struct task *task)
{
	struct arrival *arrival = container_of(task, struct arrival, task);
	struct served_feed *feed = arrival->format->feed;
	struct quota *quota = arrival->quota;
	enum close_reason reason = CLOSE_REMOVED;

	if (arrival->format->renditions && feed->recorder) {
		if (feed->replays < arrival->max_replays) {
			if (!arrival->has_request)
				log_debug("subscriber behind the ring feed=%s format=%s "
					  "subscriber=%llu, goes on from the history",
					  feed->name, format_row(arrival->format->format)->name,
					  (unsigned long long)arrival->params.id);
			quota_begin_replay(quota, feed->recording);
			arrival->history = recorder_history(feed->recorder);
			post_to(arrival, feed->recording);
			return;
		}
		if (arrival->takes_less) {
			arrival->may_replay = false;
			post_to(arrival, quota_worker(quota));
			return;
		}
		answer_too_many(arrival);
		reason = CLOSE_REPLAYS;
	}
	arrival_free(arrival);
	quota_drop(quota, reason);
}

void arrival_set_burst(struct arrival *arrival, const struct served_feed *feed,
		       uint64_t max_replays)
{
	uint64_t burst_ms = arrival->params.burst_ms;

	if (!feed->recorder || !burst_ms)
		return;
	arrival->may_replay = arrival->takes_less = true;
	arrival->max_replays = max_replays;
	arrival->range = (struct replay_range){
		.since_ns = clock_wall_ns() - burst_ms * NS_PER_MS,
		.may_miss = true,
	};
}

void arrival_go_back(void *owner, int fd, const struct subscriber_params *params)
{
	struct quota *quota = owner;
	struct arrival *arrival = calloc(1, sizeof(*arrival));

	if (!arrival) {
		log_error("out of memory, subscriber closed");
		if (params->input)
			params->input->free(params->input_owner);
		sockopt_set_reset_on_close(fd);
		peer_socket_close(&fd);
		quota_refuse(quota, CLOSE_NO_MEMORY);
		return;
	}
	arrival->format = quota_format(quota);
	arrival->quota = quota;
	arrival->fd = fd;
	arrival->params = *params;
	arrival->may_replay = true;
	arrival->max_replays = UINT64_MAX;
	arrival->range = (struct replay_range){
		.has_from = true,
		.session = params->from_session,
		.sequence = params->from_seq,
		.until_ns =
			params->until_ns ? clock_wall_ns() + params->until_ns - clock_mono_ns() : 0,
	};
	arrival->task.run = turn_to_history;
	inbox_post(&arrival->format->feed->service->control, &arrival->task);
}

void arrival_post(struct arrival *arrival)
{
	arrival->params.id = quota_id(arrival->quota);
	arrival->params.quota = quota_of_subscriber(arrival->quota);
	arrival->params.quota.on_behind = arrival_go_back;
	post_to(arrival, quota_worker(arrival->quota));
}
