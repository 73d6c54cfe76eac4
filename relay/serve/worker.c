// SPDX-License-Identifier: MIT
/* Workers: threads, calls into them, and the tick of what sits there. */
#include "serve/worker.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/thread.h"

enum {
	TICK_MS = 100,
};

/* By how much a tick comes too late: so long the whole thread did nothing (it was stopped, or its
 * machine was), or one turn took too long. */
static uint64_t late_by(const struct worker *worker, uint64_t now_ms)
{
	uint64_t since_ms = now_ms - worker->ticked_ms;

	return since_ms >= 2 * TICK_MS ? since_ms - TICK_MS : 0;
}

static void on_tick(struct ev_loop *loop, ev_timer *watcher, int events)
{
	struct worker *worker = container_of(watcher, struct worker, tick);
	uint64_t now_ms = clock_mono_ns() / NS_PER_MS;
	uint64_t late_ms = late_by(worker, now_ms);
	struct list_node *node;

	(void)loop;
	(void)events;
	worker->ticked_ms = now_ms;
	atomic_fetch_add(&worker->ticks, 1);
	list_for_each (&worker->feeds, node) {
		struct worker_feed *own = list_entry(node, struct worker_feed, node);

		if (late_ms)
			feed_excuse(own->feed, now_ms, late_ms);
		if (late_ms && own->ingest)
			ingest_excuse(own->ingest, now_ms, late_ms);
		feed_tick(own->feed, now_ms);
		if (own->ingest)
			ingest_tick(own->ingest, now_ms);
	}
}

static void *run(void *data)
{
	struct worker *worker = data;

	ev_run(worker->loop, 0);
	return NULL;
}

/* ---- calls ---- */

struct call {
	struct task task;
	struct worker *worker;
	void (*call)(struct worker *worker, void *data);
	void *data;
	sem_t *is_done;
};

static void run_call(struct task *task)
{
	struct call *call = container_of(task, struct call, task);

	call->call(call->worker, call->data);
	(void)sem_post(call->is_done);
}

static void wait_for(sem_t *semaphore)
{
	(void)TEMP_FAILURE_RETRY(sem_wait(semaphore));
}

static void call_each(struct worker *list, unsigned count,
		      void (*function)(struct worker *worker, void *data), void *data)
{
	struct call calls[WORKERS_MAX];
	sem_t is_done;

	(void)sem_init(&is_done, 0, 0);
	for (unsigned i = 0; i < count; i++) {
		calls[i] = (struct call){
			.task.run = run_call,
			.worker = &list[i],
			.call = function,
			.data = data,
			.is_done = &is_done,
		};
		inbox_post(&list[i].inbox, &calls[i].task);
	}
	for (unsigned i = 0; i < count; i++)
		wait_for(&is_done);
	(void)sem_destroy(&is_done);
}

void worker_call(struct worker *worker, void (*function)(struct worker *worker, void *data),
		 void *data)
{
	call_each(worker, 1, function, data);
}

void workers_call(struct workers *workers, void (*function)(struct worker *worker, void *data),
		  void *data)
{
	call_each(workers->list, workers->count, function, data);
}

/* ---- titles ---- */

struct titling {
	const struct worker_feed *feeds;
	const char *title;
};

static void set_title(struct worker *worker, void *data)
{
	const struct titling *titling = data;

	publish_set_title(&titling->feeds[worker->index].feed->publish, titling->title);
}

void workers_set_title(struct workers *workers, const struct worker_feed *feeds, const char *title)
{
	struct titling titling = {.feeds = feeds, .title = title};

	workers_call(workers, set_title, &titling);
}

/* ---- standing still ---- */

struct parking {
	struct task task;
	struct parked *parked;
};

struct parked {
	unsigned count;
	sem_t has_stopped; /* each worker says it twice: when it stands, and when it goes on */
	sem_t may_go;
	struct parking parkings[WORKERS_MAX];
};

static void stand(struct task *task)
{
	struct parked *parked = container_of(task, struct parking, task)->parked;

	(void)sem_post(&parked->has_stopped);
	wait_for(&parked->may_go);
	(void)sem_post(&parked->has_stopped);
}

struct parked *workers_park(struct workers *workers)
{
	struct parked *parked = calloc(1, sizeof(*parked));

	if (!parked)
		return NULL;
	(void)sem_init(&parked->has_stopped, 0, 0);
	(void)sem_init(&parked->may_go, 0, 0);
	parked->count = workers->count;
	for (unsigned i = 0; i < parked->count; i++) {
		parked->parkings[i].task.run = stand;
		parked->parkings[i].parked = parked;
		inbox_post(&workers->list[i].inbox, &parked->parkings[i].task);
	}
	for (unsigned i = 0; i < parked->count; i++)
		wait_for(&parked->has_stopped);
	return parked;
}

void workers_release(struct parked **parked_ptr)
{
	struct parked *parked = *parked_ptr;

	*parked_ptr = NULL;
	for (unsigned i = 0; i < parked->count; i++)
		(void)sem_post(&parked->may_go);
	for (unsigned i = 0; i < parked->count; i++)
		wait_for(&parked->has_stopped);
	(void)sem_destroy(&parked->has_stopped);
	(void)sem_destroy(&parked->may_go);
	free(parked);
}

/* ---- life ---- */

unsigned workers_wanted(uint64_t wanted)
{
	cpu_set_t cpus;
	int count;

	if (wanted != CONFIG_AUTO)
		return (unsigned)u64_min(wanted, WORKERS_MAX);
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	count = CPU_COUNT(&cpus);
	return count < WORKERS_AUTO_MAX ? (unsigned)count : WORKERS_AUTO_MAX;
}

unsigned workers_wanted_for_history(const struct config *config)
{
	for (size_t i = 0; i < config->feed_count; i++) {
		if (*config->feeds[i].history)
			return (unsigned)config->relay.history_workers;
	}
	return 0;
}

static int start_thread(struct worker *worker, bool is_history)
{
	char name[16];
	int r = thread_start(run, worker, &worker->thread);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "%s %u", is_history ? "history" : "worker",
		       worker->index);
	(void)pthread_setname_np(worker->thread, name);
	return 0;
}

static void destroy(struct worker *worker)
{
	ev_timer_stop(worker->loop, &worker->tick);
	loop_lag_stop(&worker->lag, worker->loop);
	inbox_close(&worker->inbox);
	ev_loop_destroy(worker->loop);
}

static int start(struct worker *worker, unsigned index, bool is_history)
{
	int r;

	*worker = (struct worker){.index = index};
	worker->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	if (!worker->loop)
		return -ENOMEM;
	list_init(&worker->feeds);
	inbox_open(&worker->inbox, worker->loop);
	loop_lag_start(&worker->lag, worker->loop);
	ev_timer_init(&worker->tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
	/* What has arrived in the meantime is looked at first. */
	ev_set_priority(&worker->tick, EV_MINPRI);
	ev_timer_start(worker->loop, &worker->tick);
	worker->ticked_ms = clock_mono_ns() / NS_PER_MS;
	r = start_thread(worker, is_history);
	if (r < 0)
		destroy(worker);
	return r;
}

int workers_start(struct workers *workers, unsigned serving, unsigned history,
		  struct inbox *control, struct errmsg *err)
{
	unsigned count = serving + history;
	int r = -ENOMEM;

	*workers = (struct workers){.control = control, .serving = serving};
	workers->list = calloc(count, sizeof(*workers->list));
	if (!workers->list)
		goto fail;
	while (workers->count < count) {
		unsigned index = workers->count;

		r = start(&workers->list[index], index, index >= serving);
		if (r < 0)
			goto fail;
		workers->count++;
	}
	return 0;
fail:
	errmsg_errno(err, r, "worker %u of %u cannot be started", workers->count + 1, count);
	workers_stop(workers);
	return r;
}

static void end(struct worker *worker, void *data)
{
	(void)data;
	ev_break(worker->loop, EVBREAK_ALL);
}

void workers_stop(struct workers *workers)
{
	for (unsigned i = 0; i < workers->count; i++) {
		struct worker *worker = &workers->list[i];

		worker_call(worker, end, NULL);
		(void)pthread_join(worker->thread, NULL);
		destroy(worker);
	}
	free(workers->list);
	*workers = (struct workers){.count = 0};
}

/* ---- placing ---- */

struct worker *workers_least_loaded(struct workers *workers, struct worker *home)
{
	struct worker *best = home; /* among equals: nothing has to cross */

	for (unsigned i = 0; i < workers->serving; i++) {
		if (workers->list[i].subscribers < best->subscribers)
			best = &workers->list[i];
	}
	return best;
}

struct worker *workers_for_home(struct workers *workers)
{
	struct worker *best = &workers->list[0];

	for (unsigned i = 1; i < workers->serving; i++) {
		if (workers->list[i].homes < best->homes)
			best = &workers->list[i];
	}
	return best;
}

struct worker *workers_for_history(struct workers *workers, const char *feed, struct worker *home)
{
	unsigned history = workers->count - workers->serving;
	unsigned hash = 0;

	if (!history)
		return home;
	while (*feed)
		hash = hash * 31 + (unsigned char)*feed++;
	return &workers->list[workers->serving + hash % history];
}
