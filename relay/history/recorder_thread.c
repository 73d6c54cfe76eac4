// SPDX-License-Identifier: MIT
/*
 * The recording thread asks the loop for a stream, writes what comes out of it to its end, and
 * asks for another one.  A stream ends when the feed closes the subscriber; or, when writing
 * fails, by the thread.
 *
 * A thread says that it ends, with the lock, before it does: what is joined has nothing left to do.
 */
#include "history/recorder_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "history/disk_answer.h"
#include "history/history_folder.h"
#include "history/history_sync.h"

enum {
	RETRY_MS = 1000, /* between two streams */
	BEGIN_MS = 1000, /* so often writing to the disk is begun, at least */
	WORKS_MS = 5000, /* a stream that has been written for so long works again */
};

void recorder_wait(struct recorder *recorder, uint64_t ms)
{
	uint64_t until_ns = clock_mono_ns() + ms * NS_PER_MS;
	const struct timespec until = {
		.tv_sec = (time_t)(until_ns / NS_PER_S),
		.tv_nsec = (long)(until_ns % NS_PER_S),
	};

	(void)pthread_cond_timedwait(&recorder->changed, &recorder->lock, &until);
}

void recorder_tell_change(struct recorder *recorder)
{
	(void)pthread_cond_broadcast(&recorder->changed);
	(void)pthread_mutex_unlock(&recorder->lock);
}

void recorder_free_ended(struct recorder *recorder)
{
	fd_close(&recorder->stream);
	history_close(&recorder->history);
	disk_answer_unref(&recorder->answer);
	(void)pthread_cond_destroy(&recorder->changed);
	(void)pthread_mutex_destroy(&recorder->lock);
	free(recorder->buffer);
	free(recorder->feed);
	free(recorder);
}

/* With the lock, which is given up: the calling thread ends, and touches nothing any more. */
static void end_thread(struct recorder *recorder, enum history_step thread)
{
	bool is_last = recorder->is_left;

	recorder->is_running[thread] = false;
	for (size_t i = 0; i < HISTORY_STEP_COUNT; i++)
		is_last = is_last && !recorder->is_running[i];
	recorder_tell_change(recorder);
	if (is_last)
		recorder_free_ended(recorder);
}

/* The recording thread has no stream any more.  False: it has ended. */
static bool rest(struct recorder *recorder, uint64_t ms)
{
	uint64_t end_ns = clock_mono_ns() + ms * NS_PER_MS;

	(void)pthread_mutex_lock(&recorder->lock);
	recorder->has_stream = false;
	while (!recorder->must_end[HISTORY_WRITING] && clock_mono_ns() < end_ns)
		recorder_wait(recorder, ms);
	if (recorder->must_end[HISTORY_WRITING]) {
		end_thread(recorder, HISTORY_WRITING);
		return false;
	}
	(void)pthread_mutex_unlock(&recorder->lock);
	return true;
}

/* ---- the recording thread ---- */

/* What readers are shown is on the disk.  The recorder may have been left meanwhile: nobody
 * hears it then. */
static void give_answer(struct recorder *recorder)
{
	const struct history_writer *writer = &recorder->writer;
	const struct history_entry *shown = &writer->shown;
	struct fanout_disk on_disk = {writer->session, writer->next_seq};

	if (writer->file && !shown->session)
		return;
	if (writer->file)
		on_disk = (struct fanout_disk){shown->session, shown->sequence};
	(void)pthread_mutex_lock(&recorder->lock);
	if (!recorder->is_left)
		disk_answer_give(recorder->answer, &on_disk);
	(void)pthread_mutex_unlock(&recorder->lock);
}

/* Before anything is written: what was there before is on the disk as well.  Where that has failed
 * once, nobody can tell any more: the kernel tells of an error only once (fsync(2)). */
static int bring_found_to_disk(struct recorder *recorder)
{
	int r;

	if (recorder->has_found_synced)
		return 0;
	r = recorder->found_error ? recorder->found_error : history_sync_found(recorder->history);
	recorder->found_error = r;
	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&recorder->lock);
	recorder->has_found_synced = true;
	(void)pthread_mutex_unlock(&recorder->lock);
	give_answer(recorder);
	return 0;
}

/* The first one is there already.  -1: there is none now. */
static int ask_for_stream(struct recorder *recorder)
{
	int stream;

	(void)pthread_mutex_lock(&recorder->lock);
	/* When it is stopping, nobody may be there to answer. */
	if (!recorder->is_answered && !recorder->must_end[HISTORY_WRITING]) {
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
static void note_outcome(struct recorder *recorder, enum history_step step, int r)
{
	static const char *const names[] = {
		[HISTORY_WRITING] = "written", [HISTORY_SYNCING] = "brought to the disk"};
	bool was_failing;

	(void)pthread_mutex_lock(&recorder->lock);
	was_failing = recorder->fails[step];
	recorder->fails[step] = r < 0;
	recorder->report.errors += r < 0;
	recorder->report.is_failing =
		recorder->fails[HISTORY_WRITING] || recorder->fails[HISTORY_SYNCING];
	(void)pthread_mutex_unlock(&recorder->lock);
	if (r < 0 && !was_failing)
		log_error("history cannot be %s feed=%s folder=%s: %s, %s", names[step],
			  recorder->feed, recorder->history->path, strerror(-r),
			  recorder->answer && step == HISTORY_WRITING
				  ? "subscribers and the publisher wait"
				  : "the feed goes on without it");
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
		note_outcome(recorder, HISTORY_WRITING, 0);
}

/* Subscribers may have all that has been appended, once it is on the disk. */
static int bring_to_disk(struct recorder *recorder)
{
	const struct history_writer *writer = &recorder->writer;
	int r = 0;

	if (!recorder->answer)
		return 0;
	history_note_asked(recorder->history, HISTORY_WRITING);
	r = history_writer_commit(&recorder->writer);
	if (r == 0 && writer->file && writer->shown.session && !recorder->goes_on)
		r = history_folder_set_on_disk_first(&recorder->history->folder);
	history_note_answered(recorder->history, HISTORY_WRITING);
	if (r == 0)
		give_answer(recorder);
	return r;
}

/* Writes what comes until the stream ends.  0 or -errno. */
static int write_stream(struct recorder *recorder, int stream)
{
	uint64_t begun_ns = clock_mono_ns();
	size_t count = 0, got;
	int r = bring_found_to_disk(recorder);

	if (r < 0)
		return r;
	while ((got = receive(stream, recorder->buffer + count, RECORDER_BUFFER_BYTES - count))) {
		ssize_t taken;

		count += got;
		history_note_asked(recorder->history, HISTORY_WRITING);
		taken = history_writer_append(&recorder->writer, recorder->buffer, count,
					      clock_wall_ns());
		history_note_answered(recorder->history, HISTORY_WRITING);
		if (taken < 0)
			return (int)taken;
		count -= (size_t)taken;
		memmove(recorder->buffer, recorder->buffer + taken, count);
		r = bring_to_disk(recorder);
		if (r < 0)
			return r;
		note_written(recorder, clock_mono_ns() - begun_ns);
	}
	return 0;
}

void *recorder_write(void *data)
{
	struct recorder *recorder = data;

	do {
		int stream = ask_for_stream(recorder);
		int r = stream < 0 ? 0 : write_stream(recorder, stream);
		int end_error;

		history_note_asked(recorder->history, HISTORY_WRITING);
		end_error = history_writer_end(&recorder->writer);
		history_note_answered(recorder->history, HISTORY_WRITING);
		fd_close(&stream);
		if (r < 0 || end_error < 0)
			note_outcome(recorder, HISTORY_WRITING, r < 0 ? r : end_error);
	} while (rest(recorder, RETRY_MS));
	return NULL;
}

/* ---- the sync thread ---- */

/* With the lock: there is nothing more to sync than what is written. */
static bool is_to_end(const struct recorder *recorder)
{
	return recorder->must_end[HISTORY_SYNCING] &&
	       (recorder->is_left || !recorder->is_running[HISTORY_WRITING]);
}

/* Waits for its time.  False: this is the last one.  synced_ns: monotonic; when the disk was last
 * waited for.  In between, writing to it is only begun. */
static bool await_sync(struct recorder *recorder, uint64_t synced_ns, bool *ret_is_due)
{
	uint64_t begin_ns = clock_mono_ns() + BEGIN_MS * NS_PER_MS;
	bool goes_on;

	(void)pthread_mutex_lock(&recorder->lock);
	for (;;) {
		uint64_t due_ns = synced_ns + recorder->sync_ms * NS_PER_MS;
		uint64_t end_ns = recorder->sync_ms ? u64_min(begin_ns, due_ns) : begin_ns;
		uint64_t now_ns = clock_mono_ns();

		*ret_is_due = recorder->sync_ms && now_ns >= due_ns;
		goes_on = !is_to_end(recorder);
		if (!goes_on || now_ns >= end_ns)
			break;
		recorder_wait(recorder, (end_ns - now_ns) / NS_PER_MS + 1);
	}
	(void)pthread_mutex_unlock(&recorder->lock);
	return goes_on;
}

/* Not before the other thread has brought to the disk what was found. */
static bool may_sync(struct recorder *recorder)
{
	bool has_found_synced;

	(void)pthread_mutex_lock(&recorder->lock);
	has_found_synced = recorder->has_found_synced;
	(void)pthread_mutex_unlock(&recorder->lock);
	return has_found_synced;
}

static int sync_once(struct recorder *recorder, bool is_due)
{
	uint64_t begun_ns = clock_mono_ns();
	int r = history_sync(recorder->history, is_due, clock_wall_ns());

	(void)pthread_mutex_lock(&recorder->lock);
	recorder->report.sync_ns = clock_mono_ns() - begun_ns;
	(void)pthread_mutex_unlock(&recorder->lock);
	note_outcome(recorder, HISTORY_SYNCING, r);
	return r;
}

static struct sequence read_next(struct recorder *recorder)
{
	struct sequence next;

	(void)pthread_mutex_lock(&recorder->lock);
	next = recorder->next;
	(void)pthread_mutex_unlock(&recorder->lock);
	return next;
}

static void keep_next(struct recorder *recorder, const struct sequence *next)
{
	int r;

	history_note_asked(recorder->history, HISTORY_SYNCING);
	r = history_keep_next(recorder->history, next);
	history_note_answered(recorder->history, HISTORY_SYNCING);
	note_outcome(recorder, HISTORY_SYNCING, r);
}

/* What cannot be written is as after a crash. */
static void sync_last(struct recorder *recorder)
{
	struct sequence next = read_next(recorder);

	if (!next.session || sync_once(recorder, true) < 0)
		return;
	keep_next(recorder, &next);
	next = read_next(recorder);
	if (!next.session) /* it has been left meanwhile, and the feed may have gone on */
		keep_next(recorder, &next);
}

/* Until it is told to end. */
static void sync_until_end(struct recorder *recorder)
{
	uint64_t synced_ns = clock_mono_ns();
	bool is_due;

	while (await_sync(recorder, synced_ns, &is_due)) {
		if (!may_sync(recorder))
			continue;
		(void)sync_once(recorder, is_due);
		if (is_due)
			synced_ns = clock_mono_ns();
	}
	sync_last(recorder);
}

void *recorder_sync(void *data)
{
	struct recorder *recorder = data;

	for (;;) {
		sync_until_end(recorder);
		(void)pthread_mutex_lock(&recorder->lock);
		if (recorder->must_end[HISTORY_SYNCING])
			break;
		/* It has been told to go on meanwhile. */
		(void)pthread_mutex_unlock(&recorder->lock);
	}
	end_thread(recorder, HISTORY_SYNCING);
	return NULL;
}

/* ---- the reading thread ---- */

void *recorder_read(void *data)
{
	struct recorder *recorder = data;

	for (;;) {
		history_reads_serve(recorder->history);
		(void)pthread_mutex_lock(&recorder->lock);
		if (recorder->must_end[HISTORY_READING])
			break;
		/* It has been told to go on meanwhile. */
		(void)pthread_mutex_unlock(&recorder->lock);
	}
	end_thread(recorder, HISTORY_READING);
	return NULL;
}
