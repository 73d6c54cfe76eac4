// SPDX-License-Identifier: MIT
/*
 * A worker: a thread with a loop of its own.  Each feed is in every worker, in one of them at home
 * and in the others as a branch.
 *
 * What a feed has in a worker is touched by that worker only.  The control thread has things done
 * there by worker_call() and waits, or posts a task and does not wait.  A worker never waits for
 * anybody.
 */
#pragma once

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/errmsg.h"
#include "base/list.h"
#include "config/config.h"
#include "feed/feed.h"
#include "loop/inbox.h"
#include "loop/loop_lag.h"
#include "source/ingest.h"

enum {
	WORKERS_MAX = 64 + 8, /* that serve, and for histories */
	WORKERS_AUTO_MAX = 8,
};

/* A feed in one worker: its home, or a branch of it. */
struct worker_feed {
	struct list_node node; /* in worker->feeds */
	struct feed *feed;
	struct ingest *ingest; /* NULL: a branch */
};

struct worker {
	unsigned index; /* ro */
	struct inbox inbox;
	struct ev_loop *loop; /* ro */
	pthread_t thread;     /* private */
	_Atomic uint64_t ticks;

	/* The worker's. */
	struct list feeds; /* struct worker_feed */
	struct loop_lag lag;
	ev_timer tick;
	uint64_t ticked_ms; /* monotonic; at first when it was started */

	/* The control thread's. */
	uint64_t subscribers; /* that it serves */
	unsigned homes;       /* feeds whose ingest is here */
};

struct workers {
	struct worker *list; /* owned; in one place until the end */
	unsigned count;
	/* the first so many have homes and live subscribers; the others histories */
	unsigned serving;
	struct inbox *control; /* of the control thread */
};

/* How many `wanted` are: CONFIG_AUTO by sched_getaffinity(2). */
unsigned workers_wanted(uint64_t wanted);

/* How many there are for histories: none, where no feed has one. */
unsigned workers_wanted_for_history(const struct config *config);

/* Starts them: `serving`, and as many behind them as `history` says.  0 or -errno with a message,
 * none is running then. */
int workers_start(struct workers *workers, unsigned serving, unsigned history,
		  struct inbox *control, struct errmsg *err);

/* Ends them, once no feed is in them any more.  Idempotent. */
void workers_stop(struct workers *workers);

/* From the control thread: runs `call` in the worker, after all that was posted before, and waits
 * until it is done. */
void worker_call(struct worker *worker, void (*call)(struct worker *worker, void *data),
		 void *data);

/* The same in all of them at once, each in its own thread: `data` must not be written to by two. */
void workers_call(struct workers *workers, void (*call)(struct worker *worker, void *data),
		  void *data);

/* What is published of this feed has this title from now on.  feeds: one in each worker. */
void workers_set_title(struct workers *workers, const struct worker_feed *feeds, const char *title);

/* All workers stand still from here on, each between two callbacks, until they are released; what
 * is theirs is the control thread's meanwhile.  No worker_call() in between.  NULL: no memory. */
struct parked;
struct parked *workers_park(struct workers *workers);
void workers_release(struct parked **parked);

/* The worker that is to serve a new subscriber of a feed at `home`: the one with the fewest. */
struct worker *workers_least_loaded(struct workers *workers, struct worker *home);

/* The worker for the history of the feed of this name, whose home is `home`: the same in each
 * process; one that serves where there is no other. */
struct worker *workers_for_history(struct workers *workers, const char *feed, struct worker *home);

/* The worker with the fewest homes. */
struct worker *workers_for_home(struct workers *workers);
