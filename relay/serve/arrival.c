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
#include "feed/feed.h"
#include "history/recorder.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"
#include "serve/admission.h"
#include "serve/arrival_begin.h"
#include "serve/served_feed.h"
#include "serve/service.h"

enum {
	WAIT_MS = 5000, /* for a recorder that is behind, or for a message to come */
};

/* ---- answers ---- */

/* A fresh socket takes a head whole; one that does not is gone. */
static bool send_whole(int fd, const char *bytes, ssize_t count)
{
	return count > 0 && send(fd, bytes, (size_t)count, MSG_NOSIGNAL | MSG_DONTWAIT) == count;
}

void arrival_free(struct arrival *arrival)
{
	const struct subscriber_params *params = &arrival->params;

	arrival_forget_start(arrival);
	if (params->input)
		params->input->free(params->input_owner);
	if (params->replay)
		params->replay->free(params->replay_owner);
	if (arrival->fd >= 0 && !arrival->has_request)
		sockopt_set_reset_on_close(arrival->fd);
	else if (arrival->fd >= 0)
		peer_socket_finish(arrival->fd);
	peer_socket_close(&arrival->fd);
	free(arrival);
}

/* In a worker. */
static void give_up(struct arrival *arrival, enum close_reason reason)
{
	struct quota *quota = arrival->quota;

	arrival_free(arrival);
	quota_refuse(quota, reason);
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
	arrival_find_start(arrival, &start);
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

	arrival_forget_start(arrival);
	/* What the ring has is not for it. */
	if (arrival->range.delay_ns && !arrival->params.replay) {
		give_up(arrival, CLOSE_RECORDER_BEHIND);
		return;
	}
	if (arrival->history && !arrival->params.replay)
		quota_end_replay(quota);
	if (arrival->has_request && arrival_has_got_all(arrival)) {
		answer_no_more(arrival);
		return;
	}
	if (!send_head(arrival)) {
		give_up(arrival, CLOSE_PEER_RESET);
		return;
	}
	arrival_bound_past(arrival);
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

static ssize_t print_for_now(const struct arrival *arrival, enum close_reason reason,
			     char ret[STREAM_ANSWER_BYTES])
{
	return stream_answer_for_now(&arrival->answer, close_reason_name(reason),
				     close_reason_text(reason), ret, STREAM_ANSWER_BYTES);
}

/* It may be otherwise soon. */
static void answer_for_now(const struct arrival *arrival, enum close_reason reason)
{
	char bytes[STREAM_ANSWER_BYTES];

	if (arrival->has_request)
		(void)send_whole(arrival->fd, bytes, print_for_now(arrival, reason, bytes));
}

/* It has come back, and the recorder was slow as well.  It is told, or closed. */
static void begin_behind_gap(struct arrival *arrival)
{
	arrival->params.may_miss = true;
	begin(arrival);
}

static void begin_to_wait(struct arrival *arrival, uint64_t now_ms, const char *what)
{
	arrival->waits_until_ms = now_ms + WAIT_MS;
	log_debug("subscriber waits for %s feed=%s format=%s subscriber=%llu", what,
		  arrival->feed->fanout.name, format_row(arrival->format->format)->name,
		  (unsigned long long)arrival->params.id);
}

/* The recorder takes too long. */
static void wait_no_longer(struct arrival *arrival)
{
	if (arrival->has_request) {
		answer_for_now(arrival, CLOSE_RECORDER_BEHIND);
		give_up(arrival, CLOSE_RECORDER_BEHIND);
	} else {
		begin_behind_gap(arrival);
	}
}

static void go_to_control(struct arrival *arrival, void (*run)(struct task *task))
{
	arrival->task.run = run;
	inbox_post(&arrival->format->feed->service->control, &arrival->task);
}

static void turn_to_history(struct task *task);
static void await(struct task *task);
static void await_disk(struct arrival *arrival);

static void arrive(struct task *task)
{
	struct arrival *arrival = container_of(task, struct arrival, task);
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
	struct stream_range range;

	switch (arrival_find_beginning(arrival, &range)) {
	case BEGINS_HERE:
		begin(arrival);
		return;
	case BEGINS_IN_FILES:
		go_to_control(arrival, turn_to_history);
		return;
	case BEGINS_WHEN_READ:
		await_disk(arrival);
		return;
	case BEGINS_LATER:
		if (!arrival->waits_until_ms)
			begin_to_wait(arrival, now_ms, "the recorder");
		if (now_ms < arrival->waits_until_ms)
			go_to_control(arrival, await);
		else
			wait_no_longer(arrival);
		return;
	case BEGINS_AHEAD:
		if (!arrival->waits_until_ms)
			begin_to_wait(arrival, now_ms, "a message to come");
		go_to_control(arrival, await);
		return;
	case BEGINS_NOWHERE:
		if (arrival->has_request)
			answer_out_of_range(arrival, &range);
		else
			begin_behind_gap(arrival);
		return;
	}
}

/* ---- while the disk is asked ---- */

static void look_again(struct arrival *arrival)
{
	list_remove(&arrival->node);
	arrive(&arrival->task);
}

/* The disk need not answer any more. */
static void stop_reading(struct arrival *arrival)
{
	list_remove(&arrival->node);
	arrival->is_reading = false;
	arrival_forget_start(arrival);
}

/* The format, or its feed, goes. */
static void refuse_reading(struct served_format *format)
{
	struct list_node *node;

	while ((node = list_first(&format->reading))) {
		struct arrival *arrival = list_entry(node, struct arrival, node);

		stop_reading(arrival);
		answer_for_now(arrival, CLOSE_REMOVED);
		give_up(arrival, CLOSE_REMOVED);
	}
}

static void await_disk(struct arrival *arrival)
{
	struct served_format *format = arrival->format;

	arrival->look_again = look_again;
	format->refuse_reading = refuse_reading;
	list_node_init(&arrival->node);
	list_append(&format->reading, &arrival->node);
}

static void refuse_all_reading(struct worker *worker, void *data)
{
	struct served_feed *feed = data;

	(void)worker;
	for (int i = 0; i < FORMAT_COUNT; i++)
		refuse_reading(&feed->formats[i]);
}

/* Nobody else is served, and no thread reads: they ask anew, and have the answer at once. */
static void join_reading(struct served_format *format)
{
	struct list_node *node;

	while ((node = list_first(&format->reading))) {
		struct arrival *arrival = list_entry(node, struct arrival, node);

		stop_reading(arrival);
		arrive(&arrival->task);
	}
}

void arrivals_join_reading(struct service *service)
{
	struct list_node *node;

	list_for_each (&service->feeds, node) {
		for (int i = 0; i < FORMAT_COUNT; i++)
			join_reading(&served_feed_at(node)->formats[i]);
	}
	inbox_run(&service->control); /* they may have to wait for the recorder */
}

/* ---- in the control thread ---- */

static void post_to(struct arrival *arrival, struct worker *worker)
{
	arrival->feed = arrival->format->feed->worker_feeds[worker->index].feed;
	arrival->rendition = arrival->format->renditions[worker->index];
	arrival->task.run = arrive;
	inbox_post(&worker->inbox, &arrival->task);
}

/* By HTTP, it may come again. */
static void drop(struct arrival *arrival, enum close_reason reason)
{
	struct quota *quota = arrival->quota;

	answer_for_now(arrival, reason);
	arrival_free(arrival);
	quota_drop(quota, reason);
}

/* What it waits for may have gone meanwhile. */
static bool is_recorded(const struct arrival *arrival)
{
	return arrival->format->renditions && arrival->format->feed->recorder;
}

static bool may_go_on_waiting(const struct arrival *arrival)
{
	return arrival->history ? is_recorded(arrival) : arrival->format->renditions != NULL;
}

static void await(struct task *task)
{
	struct arrival *arrival = container_of(task, struct arrival, task);

	list_node_init(&arrival->node);
	if (may_go_on_waiting(arrival))
		list_append(&arrival->format->feed->service->waiting, &arrival->node);
	else
		drop(arrival, CLOSE_REMOVED);
}

void arrivals_try_again(struct service *service)
{
	struct list_node *node;

	while ((node = list_first(&service->waiting))) {
		struct arrival *arrival = list_entry(node, struct arrival, node);

		list_remove(node);
		if (may_go_on_waiting(arrival))
			post_to(arrival, quota_worker(arrival->quota));
		else
			drop(arrival, CLOSE_REMOVED);
	}
}

void arrivals_send_away(struct service *service, struct served_feed *feed)
{
	struct list_node *node, *next;

	worker_call(feed->recording, refuse_all_reading, feed);
	list_for_each_safe (&service->waiting, node, next) {
		struct arrival *arrival = list_entry(node, struct arrival, node);

		if (arrival->format->feed != feed)
			continue;
		list_remove(node);
		drop(arrival, arrival->history ? CLOSE_RECORDER_BEHIND : CLOSE_REMOVED);
	}
}

static int capture_farewell(const struct arrival *arrival, enum close_reason reason,
			    struct farewells *ret)
{
	char bytes[STREAM_ANSWER_BYTES];
	ssize_t length = arrival->has_request ? print_for_now(arrival, reason, bytes) : 0;

	return farewells_add(ret, arrival->fd, bytes, length > 0 ? (size_t)length : 0);
}

int arrivals_capture_farewells(const struct served_feed *feed, uint64_t refused[CLOSE_REASON_COUNT],
			       struct farewells *ret)
{
	struct list_node *node;
	int r = 0;

	list_for_each (&feed->service->waiting, node) {
		const struct arrival *arrival = list_entry(node, struct arrival, node);
		enum close_reason reason =
			arrival->history ? CLOSE_RECORDER_BEHIND : CLOSE_HANDOVER;

		if (r < 0 || arrival->format->feed != feed)
			continue;
		r = capture_farewell(arrival, reason, ret);
		refused[reason]++;
	}
	return r;
}

/* Its worker does not have what it wants, or not all of it. */
static void turn_to_history(struct task *task)
{
	struct arrival *arrival = container_of(task, struct arrival, task);
	struct served_feed *feed = arrival->format->feed;
	struct quota *quota = arrival->quota;
	enum close_reason reason = CLOSE_REMOVED;

	if (is_recorded(arrival)) {
		if (feed->replays < arrival->max_replays || arrival->range.delay_ns) {
			if (!arrival->has_request)
				log_debug("subscriber behind the ring feed=%s format=%s "
					  "subscriber=%llu, goes on from the history",
					  feed->name, format_row(arrival->format->format)->name,
					  (unsigned long long)arrival->params.id);
			quota_begin_replay(quota, feed->recording, !arrival->range.delay_ns);
			arrival->history = recorder_history(feed->recorder);
			post_to(arrival, feed->recording);
			return;
		}
		if (arrival->takes_less) {
			arrival->may_replay = false;
			post_to(arrival, quota_worker(quota));
			return;
		}
		reason = CLOSE_REPLAYS;
	}
	drop(arrival, reason);
}

void arrival_set_limits(struct arrival *arrival, const struct admission *admission, uint64_t now_ns)
{
	uint64_t max_age_ns = admission->max_age_ms * NS_PER_MS + ANSWER_HOLDS_NS;

	arrival->max_replays = admission->max_replays;
	arrival->range.rate = admission->replay_rate;
	arrival->range.delay_ns = arrival->params.delay_ns = admission->delay_ms * NS_PER_MS;
	if (admission->max_age_ms && max_age_ns < now_ns)
		arrival->range.oldest_ns = now_ns - max_age_ns;
}

void arrival_set_burst(struct arrival *arrival, const struct served_feed *feed)
{
	uint64_t burst_ms = arrival->params.burst_ms;

	arrival->range.may_miss = true;
	arrival->range.since_ns = clock_wall_ns() - arrival->range.delay_ns - burst_ms * NS_PER_MS;
	arrival->may_replay = arrival->takes_less = feed->recorder && burst_ms;
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
		.until_ns = params->until_ns ? clock_wall_of_mono(params->until_ns) : 0,
	};
	go_to_control(arrival, turn_to_history);
}

void arrival_post(struct arrival *arrival)
{
	arrival->params.id = quota_id(arrival->quota);
	arrival->params.quota = quota_of_subscriber(arrival->quota);
	arrival->params.quota.on_behind = arrival_go_back;
	post_to(arrival, quota_worker(arrival->quota));
}
