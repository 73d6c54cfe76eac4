// SPDX-License-Identifier: MIT
/* The loop's side: streams for the recording thread, and how its threads begin and end. */
#include "history/recorder_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/thread.h"
#include "fanout/fanout.h"
#include "fanout/rendition.h"
#include "feed/feed.h"
#include "history/disk_answer.h"
#include "pipe/socket_pair.h"

enum {
	LOOK_MS = 100,    /* whether the disk answers */
	FINISH_MS = 2000, /* for what is in the ring */
	/* A disk that takes longer for one piece does not answer, but for a stop.  Less than the
	 * watchdog of the unit allows the thread that waits here. */
	UNANSWERED_MS = 5000,
	PAUSE_MS = 3000, /* the same, while nobody is served */
	STOP_MS = 12000, /* for all that is to be written */
};

/* No other subscriber has this number: theirs begin with 1. */
#define RECORDER_ID 0

/* ---- waiting ---- */

static void order_end(struct recorder *recorder, enum history_step thread)
{
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->must_end[thread] = true;
	recorder_tell_change(recorder);
}

/* So long the disk has not answered one of the threads. */
static uint64_t unanswered_ms(const struct recorder *recorder)
{
	uint64_t now_ns = clock_mono_ns();
	uint64_t oldest_ns = now_ns;

	for (size_t i = 0; i < HISTORY_STEP_COUNT; i++) {
		uint64_t since_ns = atomic_load_explicit(&recorder->history->waits_since_ns[i],
							 memory_order_relaxed);

		if (since_ns)
			oldest_ns = u64_min(oldest_ns, since_ns);
	}
	return (now_ns - oldest_ns) / NS_PER_MS;
}

/* A stop waits for all recorders at the same time. */
static uint64_t end_of_waiting_ns(const struct recorder *recorder, uint64_t max_ms)
{
	uint64_t from_ns = recorder->stopped_ns ? recorder->stopped_ns : clock_mono_ns();

	return from_ns + max_ms * NS_PER_MS;
}

/* With the lock: nobody waits for a disk that does not answer, but a stop, which says so. */
static bool may_wait(struct recorder *recorder, uint64_t end_ns)
{
	uint64_t waited_ms = unanswered_ms(recorder);

	if (clock_mono_ns() >= end_ns || (waited_ms >= UNANSWERED_MS && !recorder->stopped_ns))
		return false;
	if (waited_ms >= UNANSWERED_MS && !recorder->has_told_wait) {
		log_warn("history waits for the disk feed=%s folder=%s: no answer for %llu ms",
			 recorder->feed, recorder->history->path, (unsigned long long)waited_ms);
		recorder->has_told_wait = true;
	}
	return true;
}

/* With the lock: until the thread has ended, but not for ever.  Did it? */
static bool await_end(struct recorder *recorder, enum history_step thread, uint64_t end_ns)
{
	while (recorder->is_running[thread] && may_wait(recorder, end_ns))
		recorder_wait(recorder, LOOK_MS);
	return !recorder->is_running[thread];
}

/* ---- in the loop: a stream for the thread ---- */

static void answer(struct recorder *recorder, int stream)
{
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->stream = stream;
	recorder->is_answered = true;
	recorder->has_stream = stream >= 0;
	recorder_tell_change(recorder);
}

/* The thread waits, or does not run yet, so what is the thread's may be read. */
static void join(struct task *task)
{
	struct recorder *recorder = container_of(task, struct recorder, join);
	const struct history_writer *writer = &recorder->writer;
	const struct subscriber_params params = {
		.id = RECORDER_ID,
		.on_slow = recorder->on_lag,
		.has_from = writer->session != 0,
		.may_miss = true,
		.from_session = writer->session,
		.from_seq = writer->next_seq,
		.ends_with_fin = true,
		.is_relays_own = true,
	};
	int ends[2] = {-1, -1};

	if (!recorder->rendition || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		answer(recorder, -1);
		return;
	}
	if (fd_set_nonblock(ends[0]) < 0)
		fd_close(&ends[0]);
	else if (subscriber_join(recorder->rendition, ends[0], &params) < 0)
		ends[0] = -1;
	if (ends[0] < 0)
		fd_close(&ends[1]);
	else
		rendition_release(recorder->rendition);
	answer(recorder, ends[1]);
}

/* It does not join again.  NULL: it is not there now. */
static struct subscriber *give_up(struct recorder *recorder)
{
	struct rendition *rendition = recorder->rendition;

	recorder->rendition = NULL;
	order_end(recorder, HISTORY_WRITING);
	return rendition ? fanout_find_subscriber(rendition->fanout, RECORDER_ID) : NULL;
}

void recorder_finish(struct recorder *recorder)
{
	struct subscriber *subscriber;

	if (recorder->rendition)
		feed_set_recorded(recorder->rendition, false);
	subscriber = give_up(recorder);
	if (subscriber)
		subscriber_finish(subscriber, CLOSE_REMOVED);
}

bool recorder_is_recording(struct recorder *recorder)
{
	bool has_stream;

	(void)pthread_mutex_lock(&recorder->lock);
	has_stream = recorder->has_stream;
	(void)pthread_mutex_unlock(&recorder->lock);
	return has_stream && unanswered_ms(recorder) < UNANSWERED_MS;
}

void recorder_leave(struct recorder *recorder)
{
	struct subscriber *subscriber = give_up(recorder);

	if (!subscriber)
		return;
	if (recorder->on_lag == ON_SLOW_WAIT)
		rendition_keep_unread(subscriber->rendition, subscriber);
	subscriber_close(subscriber, CLOSE_REMOVED);
}

void recorder_keep_ring(const struct recorder *recorder, struct rendition *rendition)
{
	if (recorder->on_lag == ON_SLOW_WAIT)
		rendition_keep_unread(rendition, NULL);
}

void recorder_await_end(struct recorder *recorder)
{
	uint64_t end_ns = end_of_waiting_ns(recorder, FINISH_MS);

	(void)pthread_mutex_lock(&recorder->lock);
	(void)await_end(recorder, HISTORY_WRITING, end_ns);
	(void)pthread_mutex_unlock(&recorder->lock);
}

/* ---- life ---- */

static struct recorder *new_recorder(const struct recorder_params *params)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));
	pthread_condattr_t attributes;

	if (!recorder)
		return NULL;
	(void)pthread_mutex_init(&recorder->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&recorder->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	recorder->stream = -1;
	recorder->feed = strdup(params->history.feed);
	recorder->buffer = malloc(RECORDER_BUFFER_BYTES);
	recorder->on_lag = params->on_lag;
	recorder->sync_ms = params->sync_ms;
	recorder->goes_on = params->history.goes_on;
	recorder->has_found_synced = !params->history.is_on_disk_first;
	if (params->history.is_on_disk_first)
		recorder->answer = disk_answer_new(params->fanouts_max);
	if (!recorder->feed || !recorder->buffer ||
	    (params->history.is_on_disk_first && !recorder->answer))
		recorder_free(&recorder, NULL);
	return recorder;
}

int recorder_new(const struct recorder_params *params, struct recorder **ret,
		 struct history_found *ret_found, struct errmsg *err)
{
	struct recorder *recorder = new_recorder(params);
	int r = -ENOMEM;

	*ret = NULL;
	if (recorder)
		r = history_open(&params->history, &recorder->history, ret_found, err);
	else
		errmsg_errno(err, ENOMEM, "history %s", params->history.path);
	if (r < 0) {
		recorder_free(&recorder, NULL);
		return r;
	}
	history_writer_begin(&recorder->writer, recorder->history, &ret_found->end);
	recorder->writer.shows_committed = recorder->answer != NULL;
	recorder->found_next = ret_found->next;
	*ret = recorder;
	return 0;
}

void recorder_tell_found(const struct recorder *recorder, const struct history_found *found)
{
	if (found->cut_bytes || found->rebuilt)
		log_warn("history was not closed in good order feed=%s cut_bytes=%llu "
			 "rebuilt_indexes=%llu",
			 recorder->feed, (unsigned long long)found->cut_bytes,
			 (unsigned long long)found->rebuilt);
	if (!recorder->goes_on && !found->next.session && found->files)
		log_warn("history begins a new session feed=%s, since it is not known what was "
			 "sent last after session=%u sequence=%llu",
			 recorder->feed, found->end.session,
			 (unsigned long long)found->end.sequence);
	log_info("history feed=%s files=%llu session=%u sequence=%llu", recorder->feed,
		 (unsigned long long)found->files, found->end.session,
		 (unsigned long long)found->end.sequence);
}

/* A thread that has ended begins anew, one that runs goes on. */
static int run(struct recorder *recorder, enum history_step step, void *(*thread)(void *))
{
	bool was_running;
	int r;

	(void)pthread_mutex_lock(&recorder->lock);
	was_running = recorder->is_running[step];
	recorder->is_running[step] = true;
	recorder->must_end[step] = false;
	(void)pthread_mutex_unlock(&recorder->lock);
	if (was_running)
		return 0;
	if (recorder->has_thread[step])
		(void)pthread_join(recorder->threads[step], NULL);
	r = thread_start(thread, recorder, &recorder->threads[step]);
	recorder->has_thread[step] = recorder->is_running[step] = r == 0;
	return r;
}

static int run_all(struct recorder *recorder)
{
	int r = run(recorder, HISTORY_WRITING, recorder_write);

	if (r == 0)
		r = run(recorder, HISTORY_SYNCING, recorder_sync);
	if (r < 0)
		return r;
	history_reads_open(recorder->history, recorder->inbox);
	r = run(recorder, HISTORY_READING, recorder_read);
	if (r < 0)
		history_reads_end(recorder->history);
	return r;
}

static bool is_writing(struct recorder *recorder)
{
	bool is_writing;

	(void)pthread_mutex_lock(&recorder->lock);
	is_writing = recorder->is_running[HISTORY_WRITING];
	(void)pthread_mutex_unlock(&recorder->lock);
	return is_writing;
}

static int begin(struct recorder *recorder, struct inbox *inbox, struct rendition *rendition)
{
	recorder->inbox = inbox;
	recorder->rendition = rendition;
	recorder->join.run = join;
	recorder->found_next = (struct sequence){0}; /* it is the feed that knows from now on */
	feed_set_recorded(rendition, true);
	if (!is_writing(recorder))
		join(&recorder->join); /* before anything is published */
	return run_all(recorder);
}

int recorder_begin(struct recorder *recorder, struct inbox *inbox, struct rendition *rendition)
{
	int r;

	if (recorder->rendition)
		return 0;
	r = history_folder_lock(&recorder->history->folder);
	if (r == 0)
		r = begin(recorder, inbox, rendition);
	if (r < 0)
		rendition_release(rendition);
	return r;
}

/* The threads that write: one behind the other. */
static void order_writers_end(struct recorder *recorder, const struct sequence *next)
{
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->next = next ? *next : (struct sequence){0};
	recorder->must_end[HISTORY_WRITING] = recorder->must_end[HISTORY_SYNCING] = true;
	recorder_tell_change(recorder);
}

void recorder_order_end(struct recorder *recorder, const struct sequence *next)
{
	recorder->stopped_ns = clock_mono_ns();
	order_writers_end(recorder, next);
}

/* Did all threads end? */
static bool end(struct recorder *recorder, const struct sequence *next, uint64_t max_ms)
{
	uint64_t end_ns = end_of_waiting_ns(recorder, max_ms);
	bool has_ended = true;

	order_writers_end(recorder, next);
	order_end(recorder, HISTORY_READING);
	if (recorder->history)
		history_reads_end(recorder->history);
	(void)pthread_mutex_lock(&recorder->lock);
	for (enum history_step i = 0; has_ended && i < HISTORY_STEP_COUNT; i++)
		has_ended = await_end(recorder, i, end_ns);
	(void)pthread_mutex_unlock(&recorder->lock);
	return has_ended;
}

static void log_left(const struct recorder *recorder)
{
	log_error(
		"history is left as a crash would leave it feed=%s folder=%s: not all of it could "
		"be brought to the disk, which has not answered for %llu ms",
		recorder->feed, recorder->history->path,
		(unsigned long long)unanswered_ms(recorder));
}

/* Where the feed has given out more than is written, and nobody has been told of it yet.  next:
 * what it would give out next; NULL: it goes on. */
static void log_unwritten(const struct recorder *recorder, const struct sequence *next)
{
	const struct history_writer *writer = &recorder->writer;
	bool is_same = next && next->session == writer->session;

	if (!next || !recorder->has_thread[HISTORY_WRITING] || recorder->report.is_failing ||
	    next->next_seq <= (is_same ? writer->next_seq : 1))
		return;
	log_error("history lacks what came last feed=%s: it ends at session=%u sequence=%llu, the "
		  "feed at session=%u sequence=%llu; the disk was too slow for the time that it "
		  "had, and the next start records a gap",
		  recorder->feed, writer->session, (unsigned long long)writer->next_seq,
		  next->session, (unsigned long long)next->next_seq);
}

/* False: a thread has it now.  The feed may go on without it, so what comes next is not kept. */
static bool take_back(struct recorder *recorder)
{
	bool is_left;

	(void)pthread_mutex_lock(&recorder->lock);
	is_left = false;
	for (size_t i = 0; i < HISTORY_STEP_COUNT; i++)
		is_left = is_left || recorder->is_running[i];
	for (size_t i = 0; is_left && i < HISTORY_STEP_COUNT; i++) {
		recorder->must_end[i] = true;
		if (recorder->has_thread[i])
			(void)pthread_detach(recorder->threads[i]);
	}
	if (is_left)
		log_left(recorder);
	recorder->is_left = is_left;
	recorder->next = (struct sequence){0};
	recorder_tell_change(recorder);
	return !is_left;
}

void recorder_free(struct recorder **recorder_ptr, const struct sequence *next)
{
	struct recorder *recorder = *recorder_ptr;

	*recorder_ptr = NULL;
	if (!recorder)
		return;
	/* One that never began: what was kept before still holds. */
	if (!recorder->has_thread[HISTORY_WRITING] && recorder->found_next.session &&
	    history_keep_next(recorder->history, &recorder->found_next) < 0)
		log_warn("history may begin a new session feed=%s", recorder->feed);
	if (!end(recorder, next, STOP_MS) && !take_back(recorder))
		return;
	for (size_t i = 0; i < HISTORY_STEP_COUNT; i++) {
		if (recorder->has_thread[i])
			(void)pthread_join(recorder->threads[i], NULL);
	}
	log_unwritten(recorder, next);
	recorder_free_ended(recorder);
}

int recorder_pause(struct recorder *recorder, struct errmsg *err)
{
	if (end(recorder, NULL, PAUSE_MS)) {
		history_folder_unlock(&recorder->history->folder);
		return 0;
	}
	errmsg_set(err,
		   "history %s: after %d ms not all of it is on the disk, which has not answered "
		   "for %llu ms",
		   recorder->history->path, PAUSE_MS, (unsigned long long)unanswered_ms(recorder));
	return -ETIMEDOUT;
}

void recorder_change(struct recorder *recorder, const struct recorder_params *params)
{
	history_set_limits(recorder->history, &params->history);
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->sync_ms = params->sync_ms;
	recorder_tell_change(recorder);
}

void recorder_add_fanout(struct recorder *recorder, unsigned number, struct inbox *inbox,
			 struct fanout *fanout)
{
	if (recorder->answer)
		disk_answer_add(recorder->answer, number, inbox, fanout);
}

void recorder_remove_fanout(struct recorder *recorder, unsigned number)
{
	if (recorder->answer)
		disk_answer_remove(recorder->answer, number);
}

struct history *recorder_history(struct recorder *recorder)
{
	return recorder->history;
}

void recorder_read_report(struct recorder *recorder, struct recorder_report *ret)
{
	(void)pthread_mutex_lock(&recorder->lock);
	*ret = recorder->report;
	(void)pthread_mutex_unlock(&recorder->lock);
	ret->unanswered_ms = unanswered_ms(recorder);
	history_read_report(recorder->history, &ret->history);
}
