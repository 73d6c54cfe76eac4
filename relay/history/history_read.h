// SPDX-License-Identifier: MIT
/*
 * What readers of a history ask of its disk, in a thread of its own: opening files, searching
 * them, and bringing what is read next into the page cache.  So a loop never sleeps on the disk,
 * and who reads from a disk that does not answer holds up nobody else.
 *
 *   loop --- history_read_begin() ---> waiting ---> run() in the reading thread --+
 *   loop <----------------------------- done() <------------------- inbox --------+
 *
 * One thread reads for all readers of a history.  Where none does, run() is called at once, and the
 * caller waits.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "loop/inbox.h"

struct history;
struct history_file;

enum history_read_state {
	HISTORY_READ_IDLE,    /* the owner's */
	HISTORY_READ_WAITING, /* for the thread */
	HISTORY_READ_RUNNING, /* the thread's */
	HISTORY_READ_DONE,    /* on its way to the loop */
};

/* One thing that is asked for, again and again; a member of what run() needs. */
struct history_read {
	struct history *history; /* ro */
	/* In the thread.  0 or -errno. */
	int (*run)(struct history_read *read);
	/* In the loop: it is the owner's again afterwards, and `result` says what became of it.  It
	 * may be dropped meanwhile. */
	void (*done)(struct history_read *read);
	/* It has been dropped: frees it, in the loop or in the thread. */
	void (*free)(struct history_read *read);
	int result; /* ro: of run() */

	/* Private. */
	struct list_node node; /* in reads->waiting */
	struct task task;
	enum history_read_state state; /* with the lock of the history */
	bool is_dropped;               /* with the lock */
};

/* Those of a history; a member of it, which makes and frees it. */
struct history_reads {
	struct list waiting; /* struct history_read; with the lock, as is all here */
	struct list closing; /* struct history_file that nobody reads any more; referenced */
	pthread_cond_t changed;
	bool is_served;
	struct inbox *inbox; /* while it is served */
	int null_fd;         /* ro: /dev/null; -1: it could not be opened */
};

/* With the three functions and the history set.  True: it has been run at once.  False: done()
 * comes, unless it is dropped before.  It is idle before. */
must_check bool history_read_begin(struct history_read *read);

/* The owner needs it no more: it is freed, now or when the thread is done with it.  In the loop.
 * Clears the pointer; NULL inside is fine. */
void history_read_drop(struct history_read **read);

/* ---- for the thread ---- */

/* From here on reads wait for the thread; `inbox` is that of the loop of the readers. */
void history_reads_open(struct history *history, struct inbox *inbox);

/* Until history_reads_end(). */
void history_reads_serve(struct history *history);

/* The thread is to end, and reads that begin now are run at once.  Idempotent. */
void history_reads_end(struct history *history);

/* ---- for history/ only ---- */

/* Nobody reads the file now: it is closed, which may wait for the disk if it has been retired. */
void history_reads_close_file(struct history *history, struct history_file *file);
