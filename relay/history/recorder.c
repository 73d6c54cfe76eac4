// SPDX-License-Identifier: MIT
/*
 * The recording thread asks the loop for a stream, writes what comes out of it to its end, and
 * asks for another one.  A stream ends when the feed closes the subscriber; or, when writing
 * fails, by the thread.
 */
#include "history/recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/thread.h"
#include "fanout/fanout.h"
#include "fanout/rendition.h"
#include "feed/inbox.h"
#include "history/history_sync.h"
#include "history/history_writer.h"
#include "pipe/socket_pair.h"

enum {
	BUFFER_BYTES = 1 << 20,
	RETRY_MS = 1000, /* between two streams */
	IDLE_SYNC_MS = 1000,
	WORKS_MS = 5000,  /* a stream that has been written for so long works again */
	FINISH_MS = 2000, /* for what is in the ring */
};

/* No other subscriber has this number: theirs begin with 1. */
#define RECORDER_ID 0

/* What can fail. */
enum step {
	WRITING,
	SYNCING,
	STEP_COUNT,
};

struct recorder {
	struct history *history;
	char *feed;
	enum on_slow on_lag;
	struct sequence found_next; /* as it was when it was opened */

	/* The loop's. */
	struct inbox *inbox;
	struct rendition *rendition; /* NULL: it does not join any more */
	struct task join;            /* of the thread; it waits for it */

	/* The recording thread's. */
	struct history_writer writer;
	uint8_t *buffer;

	pthread_t recording, syncing;
	bool is_recording, is_syncing; /* these threads run */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* With the lock. */
	bool is_stopping; /* the recording thread ends with its stream */
	bool has_ended;   /* it has */
	bool must_end;    /* the sync thread ends */
	bool syncs_last;  /* when all is on the disk */
	bool fails[STEP_COUNT];
	bool is_answered; /* the thread's question for a stream */
	int stream;       /* the answer; -1: there is none */
	uint64_t sync_ms;
	struct recorder_report report; /* but for the history */
};

/* ---- waiting ---- */

/* With the lock: until something changes, or for so long. */
static void wait_for_change(struct recorder *recorder, uint64_t ms)
{
	uint64_t until_ns = clock_mono_ns() + ms * NS_PER_MS;
	const struct timespec until = {
		.tv_sec = (time_t)(until_ns / NS_PER_S),
		.tv_nsec = (long)(until_ns % NS_PER_S),
	};

	(void)pthread_cond_timedwait(&recorder->changed, &recorder->lock, &until);
}

static void tell_change(struct recorder *recorder)
{
	(void)pthread_cond_broadcast(&recorder->changed);
	(void)pthread_mutex_unlock(&recorder->lock);
}

/* False: the thread ends, at once. */
static bool rest(struct recorder *recorder, uint64_t ms)
{
	uint64_t end_ns = clock_mono_ns() + ms * NS_PER_MS;
	bool goes_on;

	(void)pthread_mutex_lock(&recorder->lock);
	while (!recorder->is_stopping && clock_mono_ns() < end_ns)
		wait_for_change(recorder, ms);
	goes_on = !recorder->is_stopping;
	(void)pthread_mutex_unlock(&recorder->lock);
	return goes_on;
}

/* ---- in the loop: a stream for the thread ---- */

static void answer(struct recorder *recorder, int stream)
{
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->stream = stream;
	recorder->is_answered = true;
	tell_change(recorder);
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
	answer(recorder, ends[1]);
}

/* It does not join again.  NULL: it is not there now. */
static struct subscriber *give_up(struct recorder *recorder)
{
	struct rendition *rendition = recorder->rendition;

	recorder->rendition = NULL;
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->is_stopping = true;
	tell_change(recorder);
	return rendition ? fanout_find_subscriber(rendition->fanout, RECORDER_ID) : NULL;
}

void recorder_finish(struct recorder *recorder)
{
	struct subscriber *subscriber = give_up(recorder);

	if (subscriber)
		subscriber_finish(subscriber, CLOSE_REMOVED);
}

void recorder_leave(struct recorder *recorder)
{
	struct subscriber *subscriber = give_up(recorder);

	if (subscriber)
		subscriber_close(subscriber, CLOSE_REMOVED);
}

void recorder_await_end(struct recorder *recorder)
{
	uint64_t end_ns = clock_mono_ns() + FINISH_MS * NS_PER_MS;

	(void)pthread_mutex_lock(&recorder->lock);
	while (recorder->is_recording && !recorder->has_ended && clock_mono_ns() < end_ns)
		wait_for_change(recorder, FINISH_MS);
	(void)pthread_mutex_unlock(&recorder->lock);
}

/* ---- the recording thread ---- */

/* The first one is there already.  -1: there is none now. */
static int ask_for_stream(struct recorder *recorder)
{
	int stream;

	(void)pthread_mutex_lock(&recorder->lock);
	/* When it is stopping, nobody may be there to answer. */
	if (!recorder->is_answered && !recorder->is_stopping) {
		inbox_post(recorder->inbox, &recorder->join);
		while (!recorder->is_answered)
			(void)pthread_cond_wait(&recorder->changed, &recorder->lock);
	}
	stream = recorder->stream;
	recorder->stream = -1;
	recorder->is_answered = false;
	(void)pthread_mutex_unlock(&recorder->lock);
	return stream;
}

/* What is there, at least one byte.  0: the stream has ended. */
static size_t receive(int stream, uint8_t *bytes, size_t room)
{
	size_t count = 0;
	ssize_t n;

	do {
		n = TEMP_FAILURE_RETRY(
			recv(stream, bytes + count, room - count, count ? MSG_DONTWAIT : 0));
		if (n > 0)
			count += (size_t)n;
	} while (n > 0 && count < room);
	return count;
}

/* Logged when it begins and when it is over.  r: 0 or -errno. */
static void note_outcome(struct recorder *recorder, enum step step, int r)
{
	static const char *const names[] = {
		[WRITING] = "written", [SYNCING] = "brought to the disk"};
	bool was_failing;

	(void)pthread_mutex_lock(&recorder->lock);
	was_failing = recorder->fails[step];
	recorder->fails[step] = r < 0;
	recorder->report.errors += r < 0;
	recorder->report.is_failing = recorder->fails[WRITING] || recorder->fails[SYNCING];
	(void)pthread_mutex_unlock(&recorder->lock);
	if (r < 0 && !was_failing)
		log_error("history cannot be %s feed=%s folder=%s: %s, the feed goes on without it",
			  names[step], recorder->feed, recorder->history->path, strerror(-r));
	else if (r == 0 && was_failing)
		log_warn("history is %s again feed=%s", names[step], recorder->feed);
}

/* A disk that is full may take some bytes now and then: that is not the end of a failure. */
static void note_written(struct recorder *recorder, uint64_t since_ns)
{
	const struct history_writer *writer = &recorder->writer;

	(void)pthread_mutex_lock(&recorder->lock);
	recorder->report.gaps = writer->gaps;
	recorder->report.missed = writer->missed;
	recorder->report.written_bytes = writer->total_bytes;
	(void)pthread_mutex_unlock(&recorder->lock);
	if (since_ns >= WORKS_MS * NS_PER_MS)
		note_outcome(recorder, WRITING, 0);
}

/* Writes what comes until the stream ends.  0 or -errno. */
static int write_stream(struct recorder *recorder, int stream)
{
	uint64_t begun_ns = clock_mono_ns();
	size_t count = 0, got;

	while ((got = receive(stream, recorder->buffer + count, BUFFER_BYTES - count))) {
		ssize_t taken;

		count += got;
		taken = history_writer_append(&recorder->writer, recorder->buffer, count,
					      clock_wall_ns());
		if (taken < 0)
			return (int)taken;
		count -= (size_t)taken;
		memmove(recorder->buffer, recorder->buffer + taken, count);
		note_written(recorder, clock_mono_ns() - begun_ns);
	}
	return 0;
}

static void *record(void *data)
{
	struct recorder *recorder = data;

	do {
		int stream = ask_for_stream(recorder);
		int r = stream < 0 ? 0 : write_stream(recorder, stream);
		int end_error = history_writer_end(&recorder->writer);

		fd_close(&stream);
		if (r < 0 || end_error < 0)
			note_outcome(recorder, WRITING, r < 0 ? r : end_error);
	} while (rest(recorder, RETRY_MS));
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->has_ended = true;
	tell_change(recorder);
	return NULL;
}

/* ---- the sync thread ---- */

/* Waits for its time.  False: this is the last one. */
static bool await_sync(struct recorder *recorder, bool *ret_is_due)
{
	uint64_t begun_ns = clock_mono_ns();
	uint64_t ms;
	bool goes_on;

	(void)pthread_mutex_lock(&recorder->lock);
	for (;;) {
		ms = recorder->sync_ms ? recorder->sync_ms : IDLE_SYNC_MS;
		if (recorder->must_end || clock_mono_ns() - begun_ns >= ms * NS_PER_MS)
			break;
		wait_for_change(recorder, ms);
	}
	*ret_is_due = recorder->sync_ms != 0;
	goes_on = !recorder->must_end;
	(void)pthread_mutex_unlock(&recorder->lock);
	return goes_on;
}

static void *sync_often(void *data)
{
	struct recorder *recorder = data;
	bool goes_on, is_due;

	do {
		uint64_t begun_ns;
		int r;

		goes_on = await_sync(recorder, &is_due);
		if (!goes_on && !recorder->syncs_last)
			return NULL;
		begun_ns = clock_mono_ns();
		r = history_sync(recorder->history, is_due, clock_wall_ns());
		(void)pthread_mutex_lock(&recorder->lock);
		recorder->report.sync_ns = clock_mono_ns() - begun_ns;
		(void)pthread_mutex_unlock(&recorder->lock);
		note_outcome(recorder, SYNCING, r);
	} while (goes_on);
	return NULL;
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
	recorder->buffer = malloc(BUFFER_BYTES);
	recorder->on_lag = params->on_lag;
	recorder->sync_ms = params->sync_ms;
	if (!recorder->feed || !recorder->buffer)
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
	recorder->found_next = ret_found->next;
	*ret = recorder;
	return 0;
}

int recorder_begin(struct recorder *recorder, struct inbox *inbox, struct rendition *rendition)
{
	int r;

	recorder->inbox = inbox;
	recorder->rendition = rendition;
	recorder->join.run = join;
	join(&recorder->join); /* before anything is published */
	r = thread_start(record, recorder, &recorder->recording);
	recorder->is_recording = r == 0;
	if (r == 0)
		r = thread_start(sync_often, recorder, &recorder->syncing);
	recorder->is_syncing = r == 0;
	return r;
}

static void stop_threads(struct recorder *recorder, bool syncs_last)
{
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->is_stopping = true;
	recorder->syncs_last = syncs_last;
	tell_change(recorder);
	if (recorder->is_recording)
		(void)pthread_join(recorder->recording, NULL);
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->must_end = true;
	tell_change(recorder);
	if (recorder->is_syncing)
		(void)pthread_join(recorder->syncing, NULL);
}

void recorder_free(struct recorder **recorder_ptr, const struct sequence *next)
{
	struct recorder *recorder = *recorder_ptr;

	*recorder_ptr = NULL;
	if (!recorder)
		return;
	if (!recorder->is_recording) /* what was kept before still holds */
		next = recorder->found_next.session ? &recorder->found_next : NULL;
	stop_threads(recorder, next != NULL);
	fd_close(&recorder->stream);
	history_close(&recorder->history, next);
	(void)pthread_cond_destroy(&recorder->changed);
	(void)pthread_mutex_destroy(&recorder->lock);
	free(recorder->buffer);
	free(recorder->feed);
	free(recorder);
}

void recorder_change(struct recorder *recorder, const struct recorder_params *params)
{
	history_set_limits(recorder->history, &params->history);
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->sync_ms = params->sync_ms;
	tell_change(recorder);
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
	history_read_report(recorder->history, &ret->history);
}
