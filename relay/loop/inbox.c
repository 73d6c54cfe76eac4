// SPDX-License-Identifier: MIT
/* Inboxes: a list that threads push to without a lock, and an ev_async that is sent when it is no
 * longer empty. */
#include "loop/inbox.h"

#include <stddef.h>

#include "base/compiler.h"

/* All that has been posted, oldest first. */
static struct task *take_all(struct inbox *inbox)
{
	struct task *newest = atomic_exchange_explicit(&inbox->newest, NULL, memory_order_acq_rel);
	struct task *oldest = NULL;

	while (newest) {
		struct task *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	return oldest;
}

void inbox_run(struct inbox *inbox)
{
	struct task *task = take_all(inbox);

	while (task) {
		struct task *next = task->next; /* the task may free itself */

		task->run(task);
		task = next;
	}
}

static void on_arrived(struct ev_loop *loop, ev_async *watcher, int events)
{
	(void)loop;
	(void)events;
	inbox_run(container_of(watcher, struct inbox, arrived));
}

void inbox_open(struct inbox *inbox, struct ev_loop *loop)
{
	*inbox = (struct inbox){.loop = loop};
	ev_async_init(&inbox->arrived, on_arrived);
	ev_async_start(loop, &inbox->arrived);
}

void inbox_close(struct inbox *inbox)
{
	inbox_run(inbox);
	ev_async_stop(inbox->loop, &inbox->arrived);
}

void inbox_post(struct inbox *inbox, struct task *task)
{
	struct task *before = atomic_load_explicit(&inbox->newest, memory_order_relaxed);

	do
		task->next = before;
	while (!atomic_compare_exchange_weak_explicit(&inbox->newest, &before, task,
						      memory_order_acq_rel, memory_order_relaxed));
	if (!before)
		ev_async_send(inbox->loop, &inbox->arrived);
}
