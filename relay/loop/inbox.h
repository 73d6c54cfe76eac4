// SPDX-License-Identifier: MIT
/*
 * Tasks for a loop in another thread.  Anybody posts, without a lock and without memory of the
 * inbox; the loop runs them.  Tasks of one thread run in the order in which it posted them.
 *
 * What a task refers to must live until it has run.  A task may be a member of what it frees.
 */
#pragma once

#include <ev.h>
#include <stdatomic.h>

struct task {
	struct task *next; /* private */
	void (*run)(struct task *task);
};

struct inbox {
	struct ev_loop *loop;          /* ro */
	_Atomic(struct task *) newest; /* private: what has been posted, newest first */
	ev_async arrived;              /* private */
};

/* Keeps the loop alive until it is closed. */
void inbox_open(struct inbox *inbox, struct ev_loop *loop);

/* In its loop or after it; runs what is left. */
void inbox_close(struct inbox *inbox);

/* From any thread.  The task belongs to the inbox until it runs. */
void inbox_post(struct inbox *inbox, struct task *task);

/* In its loop: runs what has been posted now, and not in the next turn. */
void inbox_run(struct inbox *inbox);
