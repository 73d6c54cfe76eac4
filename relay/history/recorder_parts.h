// SPDX-License-Identifier: MIT
/* For the files of the recorder only: recorder.c, which is the loop's, and recorder_thread.c, which
 * is that of its threads. */
#pragma once

#include <pthread.h>

#include "loop/inbox.h"
#include "history/history.h"
#include "history/history_writer.h"
#include "history/recorder.h"

enum {
	RECORDER_BUFFER_BYTES = 1 << 20,
};

struct recorder {
	struct history *history;
	char *feed;
	enum on_slow on_lag;
	struct sequence found_next; /* as it was when it was opened */
	uint64_t stopped_ns; /* the loop's: monotonic; recorder_order_end() was called; 0: no */
	bool has_told_wait;  /* the log says that a stop waits */

	/* The loop's. */
	struct inbox *inbox;
	struct rendition *rendition; /* NULL: it does not join any more */
	struct task join;            /* of the thread; it waits for it */

	/* The recording thread's. */
	struct history_writer writer;
	uint8_t *buffer;
	struct disk_answer *answer; /* NULL: nobody waits for the disk */
	int found_error;            /* of bringing to the disk what was found; 0: none */
	bool goes_on;               /* the feed goes on from another process */

	pthread_t threads[HISTORY_STEP_COUNT];
	bool has_thread[HISTORY_STEP_COUNT]; /* to be joined */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* With the lock. */
	/* The recording thread: with its stream.  The sync thread: behind that one. */
	bool must_end[HISTORY_STEP_COUNT];
	bool is_running[HISTORY_STEP_COUNT]; /* these threads */
	bool is_left;         /* nobody waits for them: the last one frees the recorder */
	struct sequence next; /* with a session: the sync thread ends when all is on the disk, and
				 keeps this */
	bool fails[HISTORY_STEP_COUNT];
	bool has_found_synced; /* what the history had is on the disk, or need not be */
	bool is_answered;      /* the thread's question for a stream */
	bool has_stream;       /* it is being given, or written */
	int stream;            /* the answer; -1: there is none */
	uint64_t sync_ms;
	struct recorder_report report; /* but for the history */
};

/* ---- of recorder_thread.c ---- */

/* With the lock: until something changes, or for so long. */
void recorder_wait(struct recorder *recorder, uint64_t ms);

/* Gives up the lock, under which something has changed. */
void recorder_tell_change(struct recorder *recorder);

/* What the threads do. */
void *recorder_write(void *recorder);
void *recorder_sync(void *recorder);
void *recorder_read(void *recorder);

/* Frees a recorder whose threads have ended. */
void recorder_free_ended(struct recorder *recorder);
