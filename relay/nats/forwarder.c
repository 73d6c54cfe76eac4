// SPDX-License-Identifier: MIT
/* The loop's side: streams for the thread, and what is counted. */
#include "nats/forwarder_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/thread.h"
#include "fanout/rendition.h"
#include "feed/feed.h"
#include "history/replay.h"
#include "history/replay_read.h"

enum {
	FINISH_MS = 2000,   /* for what is in the ring */
	RECORDER_MS = 5000, /* for a recorder that is behind */
};

static const double LOOK_S = 0.1;

/* No other subscriber has this number. */
#define FORWARDER_ID UINT64_MAX

void forwarder_read_report(struct forwarder *forwarder, struct forwarder_report *ret)
{
	(void)pthread_mutex_lock(&forwarder->lock);
	*ret = forwarder->report;
	(void)pthread_mutex_unlock(&forwarder->lock);
}

/* ---- what is counted ---- */

/* Before anything of its session is known, all that the ring has. */
static uint64_t lag(const struct forwarder_source *source, const struct forward_id *next)
{
	const struct sequence *sequence = &source->feed->publish.sequence;
	uint64_t oldest, end;

	rendition_range(source->rendition, &oldest, &end);
	if (next->session == sequence->session)
		oldest = next->sequence;
	return sequence->next_seq > oldest ? sequence->next_seq - oldest : 0;
}

static void look(struct forwarder *forwarder)
{
	struct metrics *metrics = &forwarder->source.feed->metrics;
	const struct forwarder_report *seen = &forwarder->seen;
	struct forwarder_report report;

	forwarder_read_report(forwarder, &report);
	metrics->forward_connects += report.connects - seen->connects;
	metrics->forward_sent += report.sent - seen->sent;
	metrics->forward_acked += report.acked - seen->acked;
	metrics->forward_duplicates += report.duplicates - seen->duplicates;
	metrics->forward_errors += report.errors - seen->errors;
	metrics->forward_missed += report.missed - seen->missed;
	metrics->forward_too_long += report.too_long - seen->too_long;
	metrics->forward_up = report.is_up;
	metrics->forward_lag = lag(&forwarder->source, &report.next);
	forwarder->seen = report;
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	look(container_of(timer, struct forwarder, look));
}

/* ---- a stream for the thread ---- */

static void answer(struct forwarder *forwarder, int stream)
{
	(void)pthread_mutex_lock(&forwarder->lock);
	forwarder->stream = stream;
	forwarder->is_answered = true;
	(void)pthread_cond_broadcast(&forwarder->changed);
	(void)pthread_mutex_unlock(&forwarder->lock);
}

static void answer_question(struct forwarder *forwarder, int stream)
{
	answer(forwarder, stream);
	forwarder_release(forwarder);
}

/* One that falls behind where it is to go on from the history is closed: it asks for the
 * next stream then. */
static struct subscriber_params params_of(const struct forwarder *forwarder,
					  const struct forward_id *from)
{
	return (struct subscriber_params){
		.id = FORWARDER_ID,
		.on_slow = forwarder->params.on_slow == ON_SLOW_REPLAY ? ON_SLOW_DISCONNECT
								       : forwarder->params.on_slow,
		.has_from = true,
		.may_miss = true,
		.from_session = from->session,
		.from_seq = from->sequence,
		.ends_with_fin = true,
		.is_relays_own = true,
	};
}

/* Takes over the replay, if the parameters have one. */
static int join_feed(struct forwarder *forwarder, const struct subscriber_params *params)
{
	int ends[2] = {-1, -1};

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
		if (params->replay)
			params->replay->free(params->replay_owner);
		return -1;
	}
	if (subscriber_join(forwarder->source.rendition, ends[0], params) < 0)
		fd_close(&ends[1]);
	return ends[1];
}

/* Where it begins in the history the disk has said; or the history does not have it. */
static void begin_replay(struct forwarder *forwarder, struct subscriber_params *params)
{
	const struct forwarder_source *source = &forwarder->source;
	const struct replay_format format = {
		.encoder = source->rendition->encoder,
		.framing = source->feed->publish.framing,
		.passes_gaps = true,
	};
	struct replay_read *read = forwarder->read;
	struct replay *replay;
	int r = read->read.result;

	params->place = read->start.place;
	if (r == 0)
		r = replay_begin(source->history, &read->range, &format, &read->start, &replay);
	if (r == 0) {
		params->replay = &replay_of_history;
		params->replay_owner = replay;
	} else if (r != -ERANGE && r != -EAGAIN) {
		log_warn("history cannot be read feed=%s: %s", forwarder->feed_name, strerror(-r));
	}
}

/* It has left the ring, and the recorder is yet to write it.  That is soon, or the disk
 * is in trouble. */
static bool must_wait_for_recorder(struct forwarder *forwarder)
{
	const struct sequence *sequence = &forwarder->source.feed->publish.sequence;
	const struct forward_id *begin = &forwarder->begin;
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
	bool has_come = begin->session == sequence->session && begin->sequence < sequence->next_seq;

	if (!has_come || forwarder->read->read.result != -EAGAIN)
		forwarder->waits_until_ms = 0;
	else if (!forwarder->waits_until_ms)
		forwarder->waits_until_ms = now_ms + RECORDER_MS;
	return now_ms < forwarder->waits_until_ms;
}

static void join_where_read(struct forwarder *forwarder)
{
	struct subscriber_params params = params_of(forwarder, &forwarder->begin);

	if (must_wait_for_recorder(forwarder)) {
		answer_question(forwarder, -1);
		return;
	}
	begin_replay(forwarder, &params);
	answer_question(forwarder, join_feed(forwarder, &params));
}

static void take_start(void *owner)
{
	struct forwarder *forwarder = owner;

	forwarder->is_reading = false;
	join_where_read(forwarder);
}

/* The reading thread of the history looks up where it begins. */
static void ask_history(struct forwarder *forwarder)
{
	if (!forwarder->read)
		forwarder->read = replay_read_new(forwarder->source.history, take_start, forwarder);
	if (!forwarder->read) {
		answer_question(forwarder, -1);
		return;
	}
	forwarder->read->wish = REPLAY_WANTS_START;
	forwarder->read->range = (struct replay_range){
		.has_from = true,
		.session = forwarder->begin.session,
		.sequence = forwarder->begin.sequence,
	};
	forwarder->is_reading = !replay_read_begin(forwarder->read, NULL);
}

/* Nobody waits for the answer any more. */
static void stop_reading(struct forwarder *forwarder)
{
	replay_read_drop(&forwarder->read);
	if (forwarder->is_reading)
		answer_question(forwarder, -1);
	forwarder->is_reading = false;
}

/* What the ring does not have any more may be in the history. */
static bool must_replay(const struct forwarder *forwarder)
{
	const struct forward_id *begin = &forwarder->begin;
	const struct forwarder_source *source = &forwarder->source;

	return source->history && begin->session &&
	       !rendition_has(source->rendition, begin->session, begin->sequence);
}

static void join(struct task *task)
{
	struct forwarder *forwarder = container_of(task, struct forwarder, join);
	struct subscriber_params params;

	(void)pthread_mutex_lock(&forwarder->lock);
	forwarder->begin = forwarder->from;
	(void)pthread_mutex_unlock(&forwarder->lock);
	if (!forwarder->source.feed || atomic_load(&forwarder->is_ending)) {
		answer_question(forwarder, -1);
		return;
	}
	feed_catch_up(forwarder->source.feed);
	if (must_replay(forwarder)) {
		ask_history(forwarder);
		return;
	}
	params = params_of(forwarder, &forwarder->begin);
	answer_question(forwarder, join_feed(forwarder, &params));
}

/* ---- life ---- */

static struct forwarder *new_forwarder(const struct forwarder_params *params,
				       const struct forwarder_source *source)
{
	struct forwarder *forwarder = calloc(1, sizeof(*forwarder));
	pthread_condattr_t attributes;

	if (!forwarder)
		return NULL;
	forwarder->params = *params;
	(void)snprintf(forwarder->feed_name, sizeof(forwarder->feed_name), "%s",
		       source->feed->params.name);
	forwarder->framing = framing_published(&source->feed->params.framing);
	forwarder->source = *source;
	forwarder->inbox = source->inbox;
	forwarder->has_history = source->history;
	atomic_init(&forwarder->owners, 2);
	(void)pthread_mutex_init(&forwarder->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&forwarder->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	forwarder->stream = forwarder->input.fd = -1;
	forwarder->join.run = join;
	return forwarder;
}

int forwarder_start(const struct forwarder_params *params, const struct forwarder_source *source,
		    struct forwarder **ret)
{
	struct forwarder *forwarder = new_forwarder(params, source);
	struct subscriber_params oldest;
	pthread_t thread;
	int r;

	if (!forwarder)
		return -ENOMEM;
	/* Before anything is published: it is there to be waited for. */
	feed_catch_up(source->feed);
	oldest = params_of(forwarder, &(struct forward_id){0});
	answer(forwarder, join_feed(forwarder, &oldest));
	ev_timer_init(&forwarder->look, on_look, LOOK_S, LOOK_S);
	ev_timer_start(source->feed->loop, &forwarder->look);
	r = thread_start(forwarder_run, forwarder, &thread);
	if (r < 0) {
		forwarder_release(forwarder); /* that of the thread */
		forwarder_stop(&forwarder);
		return r;
	}
	(void)pthread_detach(thread);
	*ret = forwarder;
	return 0;
}

static struct subscriber *find_subscriber(const struct forwarder *forwarder)
{
	return fanout_find_subscriber(&forwarder->source.feed->fanout, FORWARDER_ID);
}

void forwarder_finish(struct forwarder *forwarder)
{
	struct subscriber *subscriber = find_subscriber(forwarder);

	atomic_store(&forwarder->is_ending, true);
	stop_reading(forwarder);
	if (subscriber)
		subscriber_finish(subscriber, CLOSE_REMOVED);
}

void forwarder_await_end(struct forwarder *forwarder)
{
	uint64_t until_ns = clock_mono_ns() + FINISH_MS * NS_PER_MS;

	(void)pthread_mutex_lock(&forwarder->lock);
	while (!forwarder->has_ended && forwarder->report.is_up &&
	       forwarder_wait(forwarder, until_ns))
		;
	(void)pthread_mutex_unlock(&forwarder->lock);
}

void forwarder_stop(struct forwarder **forwarder_ptr)
{
	struct forwarder *forwarder = *forwarder_ptr;
	struct subscriber *subscriber;
	struct feed *feed;

	*forwarder_ptr = NULL;
	if (!forwarder)
		return;
	feed = forwarder->source.feed;
	look(forwarder);
	feed->metrics.forward_up = feed->metrics.forward_lag = 0;
	ev_timer_stop(feed->loop, &forwarder->look);
	subscriber = find_subscriber(forwarder);
	if (subscriber)
		subscriber_close(subscriber, CLOSE_REMOVED);
	stop_reading(forwarder);
	forwarder->source = (struct forwarder_source){0};
	(void)pthread_mutex_lock(&forwarder->lock);
	atomic_store(&forwarder->is_stopped, true);
	(void)pthread_mutex_unlock(&forwarder->lock);
	forwarder_release(forwarder);
}
