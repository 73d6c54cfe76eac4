// SPDX-License-Identifier: MIT
/* Looks in the ring of the worker first, and then in the history, where that is read here. */
#include "serve/arrival_begin.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "fanout/rendition.h"
#include "fanout/subscriber_resume.h"
#include "feed/feed.h"
#include "history/history.h"
#include "history/history_reader.h"
#include "history/recorder.h"
#include "history/replay_read.h"
#include "serve/arrival.h"
#include "serve/served_feed.h"

enum {
	AHEAD_MAX = 1 << 16, /* messages: what is further ahead does not come in a moment */
};

/* ---- the history ---- */

static void end_replay(void *quota)
{
	quota_end_replay(quota);
}

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

/* The oldest message that it may ask for came then (wall clock) or later; 0: all there is. */
static uint64_t allowed_since_ns(const struct arrival *arrival)
{
	uint64_t oldest_ns = arrival->range.oldest_ns;

	return oldest_ns ? oldest_ns + ANSWER_HOLDS_NS : 0;
}

/* The disk has answered. */
static void take_start(void *owner)
{
	struct arrival *arrival = owner;
	struct replay_read *read = arrival->read;

	arrival->has_start = true;
	arrival->start_error = read->read.result;
	arrival->start = read->start;
	read->start = (struct replay_start){0};
	arrival->oldest = read->oldest;
	if (!arrival->is_reading)
		return;
	arrival->is_reading = false;
	arrival->look_again(arrival);
}

void arrival_forget_start(struct arrival *arrival)
{
	replay_start_close(&arrival->start);
	arrival->has_start = false;
	replay_read_drop(&arrival->read);
}

/* False: the disk has to be waited for. */
static bool find_start(struct arrival *arrival)
{
	if (arrival->has_start)
		return true;
	replay_read_drop(&arrival->read);
	arrival->read = replay_read_new(arrival->history, take_start, arrival);
	if (!arrival->read) {
		arrival->start_error = -ENOMEM;
		return true;
	}
	arrival->read->wish = REPLAY_WANTS_START;
	arrival->read->range = arrival->range;
	arrival->read->since_ns = allowed_since_ns(arrival);
	if (replay_read_begin(arrival->read, NULL))
		return true;
	arrival->is_reading = true;
	return false;
}

/* True: the history has it.  False as well while the disk is asked (is_reading). */
static bool open_replay(struct arrival *arrival)
{
	struct subscriber_params *params = &arrival->params;
	const struct replay_format format =
		format_of(arrival->feed, arrival->rendition, params->on_slow);
	struct replay *replay;
	int r;

	if (!find_start(arrival))
		return false;
	arrival->has_start = false;
	r = arrival->start_error;
	params->place = arrival->start.place;
	if (r == 0)
		r = replay_begin(arrival->history, &arrival->range, &format, &arrival->start,
				 &replay);
	if (r == 0) {
		replay_set_owner(replay, end_replay, arrival->quota);
		params->replay = &replay_of_history;
		params->replay_owner = replay;
		return true;
	}
	log_unreadable(arrival->feed, r);
	return false;
}

void arrival_resume_replay(struct served_format *format, struct worker *worker,
			   struct subscriber_snapshot *subscriber)
{
	struct served_feed *served = format->feed;
	const struct feed *feed = served->worker_feeds[worker->index].feed;
	struct quota *quota = subscriber->quota.owner;
	struct replay_format wanted;
	struct replay *replay;
	int r;

	if (!served->recorder || worker != served->recording || !format->renditions || !quota)
		return;
	wanted = format_of(feed, format->renditions[worker->index],
			   (enum on_slow)subscriber->on_slow);
	r = replay_resume(recorder_history(served->recorder), &subscriber->from_files, &wanted,
			  &replay);
	if (r < 0) {
		log_unreadable(feed, r);
		return;
	}
	replay_set_owner(replay, end_replay, quota);
	quota_begin_replay(quota, worker, !subscriber->from_files.delay_ns);
	subscriber->replay = &replay_of_history;
	subscriber->replay_owner = replay;
}

/* ---- where it begins ---- */

/* The oldest message of the ring that came then (wall clock) or later; since_ns 0: of all. */
static uint64_t oldest_seq_since(const struct arrival *arrival, uint64_t since_ns)
{
	const struct ring *ring = &arrival->rendition->ring;
	uint64_t oldest = cursor_oldest_seq(ring);
	struct cursor cursor;

	if (!since_ns || cursor_join_since(&cursor, ring, clock_mono_of_wall(since_ns)) < 0)
		return oldest;
	oldest = u64_max(oldest, cursor_unread_seq(&cursor));
	cursor_leave(&cursor);
	return oldest;
}

static bool is_in_ring_and_allowed(const struct arrival *arrival)
{
	const struct subscriber_params *params = &arrival->params;

	return rendition_has(arrival->rendition, params->from_session, params->from_seq) &&
	       params->from_seq >= oldest_seq_since(arrival, arrival->range.oldest_ns);
}

/* Of those that came then or later.  False: nothing is recorded, or the disk has not said what. */
static bool find_oldest_in_history(const struct arrival *arrival, uint64_t since_ns,
				   struct history_entry *ret)
{
	struct history_entry end;

	if (!arrival->history || !history_range(arrival->history, ret, &end))
		return false;
	if (ret->time_ns >= since_ns)
		return true;
	*ret = arrival->oldest;
	return ret->session != 0;
}

/* The messages that it may ask for.  The client may have been served by a worker that is further
 * than this one. */
static void find_range(const struct arrival *arrival, struct stream_range *ret)
{
	uint64_t since_ns = allowed_since_ns(arrival);
	struct history_entry oldest;
	uint64_t mono_ns;

	feed_catch_up(arrival->feed);
	ret->session = arrival->feed->publish.sequence.session;
	rendition_range(arrival->rendition, &ret->oldest, &ret->next);
	mono_ns = cursor_oldest_time(&arrival->rendition->ring);
	ret->oldest_ns = mono_ns ? clock_wall_of_mono(mono_ns) : 0;
	ret->oldest_ns = u64_max(ret->oldest_ns, since_ns);
	ret->oldest = u64_max(ret->oldest, oldest_seq_since(arrival, since_ns));
	ret->oldest_session = ret->session;
	if (!find_oldest_in_history(arrival, since_ns, &oldest))
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
	return is_in_ring_and_allowed(arrival) && params->from_seq <= range->next;
}

/* Has the ring all that came then (monotonic) or later?  It may begin with the first message of its
 * session.  What came before lies in the history then, in files of older sessions. */
static bool ring_reaches(const struct arrival *arrival, uint64_t since_ns)
{
	const struct ring *ring = &arrival->rendition->ring;
	uint64_t begins_ns = cursor_oldest_time(ring);
	struct history_entry oldest, end;

	if (!rendition_reaches(arrival->rendition, since_ns))
		return false;
	if (!arrival->may_replay || (begins_ns && begins_ns <= since_ns))
		return true;
	return arrival->history &&
	       (!history_range(arrival->history, &oldest, &end) || oldest.session == ring->session);
}

/* Has the ring all that was asked for?  The oldest there is lies in the history, if there is one.
 * What has come while the branch slept, nobody can say here. */
static bool is_in_ring(struct arrival *arrival, const struct stream_range *range)
{
	const struct subscriber_params *params = &arrival->params;
	bool is_awake = arrival->feed->publish.is_awake;

	if (params->since_ns)
		return is_awake && arrival->range.since_ns >= arrival->range.oldest_ns &&
		       ring_reaches(arrival, params->since_ns);
	if (!arrival->may_replay)
		return has_from(arrival, range);
	return is_awake && params->from_seq && is_in_ring_and_allowed(arrival) &&
	       params->from_seq <= range->next;
}

/* A burst gives what there is, from the history where the ring does not reach so far. */
static enum beginning find_burst(struct arrival *arrival)
{
	uint64_t since_ns =
		clock_mono_of_wall(u64_max(arrival->range.since_ns, arrival->range.oldest_ns));

	if (!arrival->may_replay)
		return BEGINS_HERE;
	feed_catch_up(arrival->feed);
	if (arrival->feed->publish.is_awake && ring_reaches(arrival, since_ns))
		return BEGINS_HERE;
	if (!arrival->history)
		return BEGINS_IN_FILES;
	(void)open_replay(arrival);
	return arrival->is_reading ? BEGINS_WHEN_READ : BEGINS_HERE;
}

/* Has the message come, and is on its way from the ring to the files? */
static bool is_being_recorded(const struct arrival *arrival, const struct stream_range *range)
{
	const struct subscriber_params *params = &arrival->params;
	uint32_t session = params->from_session ? params->from_session : range->session;
	struct history_entry oldest, end;

	if (!params->has_from || !params->from_seq || !arrival->feed->publish.is_awake)
		return false;
	if (session == range->session && params->from_seq >= range->next)
		return false;
	if (!history_range(arrival->history, &oldest, &end))
		return session == range->session;
	/* Or it has been written since the disk was asked. */
	if (session == end.session)
		return params->from_seq > end.sequence || arrival->start_error == -EAGAIN;
	return session == range->session;
}

/* Has the recorder yet to write what came before that time?  The end of the files is no place
 * to begin then. */
static bool is_behind_time(const struct arrival *arrival, const struct stream_range *range)
{
	struct history_entry oldest, end;

	if (arrival->range.has_from || !arrival->feed->publish.is_awake ||
	    !history_range(arrival->history, &oldest, &end))
		return false;
	return end.time_ns < arrival->range.since_ns &&
	       (end.session == range->session ? end.sequence : SEQUENCE_FIRST) < range->next;
}

/* With a delay all comes out of the history.  Who asks for what is not old enough yet, gets it
 * when it is. */
static enum beginning find_delayed(struct arrival *arrival, struct stream_range *ret_range)
{
	struct subscriber_params *params = &arrival->params;
	struct replay_range *range = &arrival->range;
	struct history_entry oldest, end;

	if (!arrival->history)
		return BEGINS_IN_FILES;
	find_range(arrival, ret_range);
	if (is_behind_time(arrival, ret_range))
		return BEGINS_LATER;
	params->has_missed |= params->may_miss && !params->from_seq;
	if (!params->has_missed && open_replay(arrival))
		return BEGINS_HERE;
	if (arrival->is_reading)
		return BEGINS_WHEN_READ;
	if (!history_range(arrival->history, &oldest, &end) ||
	    is_being_recorded(arrival, ret_range))
		return BEGINS_LATER;
	if (!params->may_miss)
		return BEGINS_NOWHERE;
	range->since_ns = clock_wall_ns() - range->delay_ns;
	range->has_from = false;
	range->may_miss = params->has_missed = true;
	if (open_replay(arrival))
		return BEGINS_HERE;
	return arrival->is_reading ? BEGINS_WHEN_READ : BEGINS_NOWHERE;
}

/* Another relay with the same sequence has served it so far, and is a little further than this one.
 * It has not waited for too long already. */
static bool is_ahead(const struct arrival *arrival, const struct stream_range *range)
{
	const struct subscriber_params *params = &arrival->params;

	return params->has_from && params->from_session && params->from_session == range->session &&
	       arrival->feed->publish.is_awake && params->from_seq > range->next &&
	       params->from_seq - range->next <= AHEAD_MAX &&
	       (!arrival->waits_until_ms || clock_mono_ns() / NS_PER_MS < arrival->waits_until_ms);
}

enum beginning arrival_find_beginning(struct arrival *arrival, struct stream_range *ret_range)
{
	/* Its blocks lie where the positions of the ring say. */
	if (arrival->rendition->encoder->interval_bytes)
		arrival->may_replay = false;
	if (arrival->range.delay_ns)
		return find_delayed(arrival, ret_range);
	if (!arrival->params.has_from && !arrival->params.since_ns)
		return find_burst(arrival);
	find_range(arrival, ret_range);
	if (is_ahead(arrival, ret_range))
		return BEGINS_AHEAD;
	if (is_in_ring(arrival, ret_range))
		return BEGINS_HERE;
	if (arrival->may_replay && !arrival->history)
		return BEGINS_IN_FILES;
	if (arrival->may_replay && open_replay(arrival))
		return BEGINS_HERE;
	if (arrival->is_reading)
		return BEGINS_WHEN_READ;
	if (arrival->may_replay && is_being_recorded(arrival, ret_range))
		return BEGINS_LATER;
	/* Nothing is recorded yet. */
	if (arrival->params.has_from && has_from(arrival, ret_range))
		return BEGINS_HERE;
	return BEGINS_NOWHERE;
}

void arrival_find_start(const struct arrival *arrival, struct stream_start *ret)
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

void arrival_bound_past(struct arrival *arrival)
{
	struct subscriber_params *params = &arrival->params;
	uint64_t oldest_ns = arrival->range.oldest_ns, most_ms;

	if (!oldest_ns)
		return;
	most_ms = (clock_wall_ns() - oldest_ns) / NS_PER_MS;
	params->oldest_seq = oldest_seq_since(arrival, oldest_ns);
	if (params->burst_bytes || params->burst_ms)
		params->burst_ms = params->burst_ms ? u64_min(params->burst_ms, most_ms) : most_ms;
}

bool arrival_has_got_all(const struct arrival *arrival)
{
	const struct subscriber_params *params = &arrival->params;
	const struct ring *ring = &arrival->rendition->ring;
	struct cursor cursor;
	bool is_over;

	if (!params->may_miss || !params->until_ns || params->until_ns >= clock_mono_ns())
		return false;
	if (params->replay)
		return replay_is_over(params->replay_owner);
	if (!rendition_has(arrival->rendition, params->from_session, params->from_seq) ||
	    cursor_join_seq(&cursor, ring, params->from_seq) < 0)
		return false;
	is_over = cursor.pos == ring->end_pos ||
		  cursor_find_later(&cursor, ring, params->until_ns) == cursor.pos;
	cursor_leave(&cursor);
	return is_over;
}
