// SPDX-License-Identifier: MIT
/* Arrivals by HTTP, in the worker. */
#include "serve/http_arrival.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "fanout/rendition.h"
#include "feed/feed.h"
#include "history/history.h"
#include "net/peer_socket.h"

enum {
	DISCARD_BYTES = 4096,
	DISCARD_MAX = 4, /* reads: what has come is bounded by them, not by the peer */
};

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

/* A replay that is counted until it ends. */
struct counted_replay {
	struct replay *replay;
	struct quota *quota;
};

static enum replay_outcome send_counted(void *owner, int fd, size_t *ret_sent,
					struct stream_place *ret_place, int *ret_err)
{
	struct counted_replay *counted = owner;

	return replay_of_history.send(counted->replay, fd, ret_sent, ret_place, ret_err);
}

static void free_counted(void *owner)
{
	struct counted_replay *counted = owner;

	replay_free(counted->replay);
	quota_end_replay(counted->quota);
	free(counted);
}

static const struct subscriber_replay counted_replay = {
	.send = send_counted,
	.free = free_counted,
};

static void give_up(struct http_arrival *arrival, enum close_reason reason)
{
	if (arrival->params.input)
		arrival->params.input->free(arrival->params.input_owner);
	if (arrival->params.replay)
		arrival->params.replay->free(arrival->params.replay_owner);
	close_after_answer(&arrival->fd);
	quota_refuse(arrival->quota, reason);
}

/* Where the stream begins, as far as that is known before it is joined: of a packet that holds the
 * message asked for among others, at the first of them. */
static void find_start(const struct http_arrival *arrival, struct stream_start *ret)
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
		.sequence = ring->next_seq,
	};
	if (!params->has_from)
		return;
	if (!rendition_has(arrival->rendition, params->from_session, from_seq))
		from_seq = cursor_oldest_seq(ring);
	if (cursor_join_seq(&cursor, ring, from_seq) < 0)
		return;
	ret->sequence = cursor_unread_seq(&cursor);
	cursor_leave(&cursor);
}

/* The messages there are.  The client may have been served by a worker that is further than this
 * one. */
static void find_range(const struct http_arrival *arrival, struct stream_range *ret)
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
static bool has_from(struct http_arrival *arrival, const struct stream_range *range)
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
static bool is_in_ring(struct http_arrival *arrival, const struct stream_range *range)
{
	const struct subscriber_params *params = &arrival->params;

	if (params->has_from)
		return (params->from_seq || !arrival->history) && has_from(arrival, range);
	return arrival->feed->publish.is_awake && params->since_ns &&
	       rendition_reaches(arrival->rendition, params->since_ns);
}

/* True: the history has it. */
static bool open_replay(struct http_arrival *arrival)
{
	struct subscriber_params *params = &arrival->params;
	struct counted_replay *counted;
	int r;

	counted = arrival->history ? malloc(sizeof(*counted)) : NULL;
	if (!counted)
		return false;
	counted->quota = arrival->quota;
	r = replay_open(arrival->history, &arrival->range, &counted->replay, &params->place);
	if (r == 0) {
		params->replay = &counted_replay;
		params->replay_owner = counted;
		return true;
	}
	free(counted);
	if (r != -ERANGE && r != -EAGAIN) {
		log_warn("history cannot be read feed=%s: %s", arrival->feed->fanout.name,
			 strerror(-r));
	}
	return false;
}

/* A burst gives what there is, from the history where the ring does not reach so far. */
static void check_burst(struct http_arrival *arrival)
{
	uint64_t since_ns;

	if (!arrival->history)
		return;
	feed_catch_up(arrival->feed);
	since_ns = clock_mono_of_wall(arrival->range.since_ns);
	if (!rendition_reaches(arrival->rendition, since_ns))
		(void)open_replay(arrival);
}

/* Looks at the wish to begin with a message, or at a time.  False: it cannot be met, and the client
 * is told. */
static bool check_start(struct http_arrival *arrival)
{
	struct subscriber_params *params = &arrival->params;
	struct stream_range range;
	char head[STREAM_ANSWER_BYTES];
	ssize_t length;

	if (!params->has_from && !params->since_ns) {
		check_burst(arrival);
		return true;
	}
	find_range(arrival, &range);
	if (is_in_ring(arrival, &range) || open_replay(arrival))
		return true;
	/* Nothing is recorded yet. */
	if (params->has_from && has_from(arrival, &range))
		return true;
	length = stream_answer_out_of_range(&arrival->answer, &range, head, sizeof(head));
	(void)send_whole(arrival->fd, head, length);
	give_up(arrival, CLOSE_OUT_OF_RANGE);
	return false;
}

/* FIN that comes behind the request, before the answer, says only that there is no more to ask (RFC
 * 9112, 9.6).  A WebSocket would have to answer. */
static bool is_half_closed(const struct http_arrival *arrival)
{
	struct pollfd poll_fd = {.fd = arrival->fd, .events = POLLRDHUP};

	return !arrival->params.input && poll(&poll_fd, 1, 0) > 0 &&
	       (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) == POLLRDHUP;
}

static void arrive(struct task *task)
{
	struct http_arrival *arrival = container_of(task, struct http_arrival, task);
	struct subscriber_params *params = &arrival->params;
	char head[STREAM_ANSWER_BYTES];
	struct stream_start start;
	ssize_t length;
	int r;

	if (!check_start(arrival))
		goto out;
	if (is_half_closed(arrival))
		params->ends_with_fin = false;
	if (arrival->history && !params->replay)
		quota_end_replay(arrival->quota);
	find_start(arrival, &start);
	length = stream_answer_head(&arrival->answer, &start, head, sizeof(head));
	if (!send_whole(arrival->fd, head, length)) {
		give_up(arrival, CLOSE_PEER_RESET);
		goto out;
	}
	r = subscriber_join(arrival->rendition, arrival->fd, params);
	if (r == -ERANGE)
		give_up(arrival, CLOSE_OUT_OF_RANGE);
	else if (r < 0)
		log_error("out of memory, subscriber refused");
out:
	free(arrival);
}

void http_arrival_post(struct http_arrival *arrival)
{
	arrival->params.id = quota_id(arrival->quota);
	arrival->params.quota = quota_of_subscriber(arrival->quota);
	arrival->task.run = arrive;
	inbox_post(&quota_worker(arrival->quota)->inbox, &arrival->task);
}
