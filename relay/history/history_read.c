// SPDX-License-Identifier: MIT
/* A queue, one thread that takes from it, and the way back by the inbox of the loop. */
#include "history/history_read.h"

#include "base/fd.h"
#include "history/history.h"
#include "history/history_cache.h"

/* ---- the owner's side ---- */

static void lock(struct history *history)
{
	(void)pthread_mutex_lock(&history->lock);
}

static void unlock(struct history *history)
{
	(void)pthread_mutex_unlock(&history->lock);
}

static void come_back(struct task *task)
{
	struct history_read *read = container_of(task, struct history_read, task);

	if (!read->is_dropped)
		read->done(read);
	lock(read->history);
	read->state = HISTORY_READ_IDLE;
	unlock(read->history);
	if (read->is_dropped)
		read->free(read);
}

bool history_read_begin(struct history_read *read)
{
	struct history *history = read->history;
	bool is_served;

	lock(history);
	is_served = history->reads.is_served;
	if (is_served) {
		read->state = HISTORY_READ_WAITING;
		read->task.run = come_back;
		list_node_init(&read->node);
		list_append(&history->reads.waiting, &read->node);
		(void)pthread_cond_signal(&history->reads.changed);
	}
	unlock(history);
	if (!is_served)
		read->result = read->run(read);
	return !is_served;
}

void history_read_drop(struct history_read **read_ptr)
{
	struct history_read *read = *read_ptr;
	bool is_mine;

	*read_ptr = NULL;
	if (!read)
		return;
	lock(read->history);
	if (read->state == HISTORY_READ_WAITING) {
		list_remove(&read->node);
		read->state = HISTORY_READ_IDLE;
	}
	is_mine = read->state == HISTORY_READ_IDLE;
	read->is_dropped = true;
	unlock(read->history);
	if (is_mine)
		read->free(read);
}

/* ---- closing files ---- */

/* Of one that nobody reads. */
static int take_fd(struct history_file *file)
{
	int fd = file->readers ? -1 : file->fd;

	if (fd >= 0)
		file->fd = -1;
	return fd;
}

/* With the lock, which is given up meanwhile. */
static void close_file(struct history *history, struct history_file *file)
{
	int fd = take_fd(file);

	list_remove(&file->closing_node);
	unlock(history);
	if (fd >= 0)
		history_drop_left(history, file, fd);
	fd_close(&fd);
	history_unref_file(history, &file);
	lock(history);
}

static bool close_first(struct history *history)
{
	struct list_node *node = list_first(&history->reads.closing);

	if (node)
		close_file(history, list_entry(node, struct history_file, closing_node));
	return node;
}

void history_reads_close_file(struct history *history, struct history_file *file)
{
	lock(history);
	if (!list_is_linked(&file->closing_node)) {
		file->refs++;
		list_append(&history->reads.closing, &file->closing_node);
	}
	if (history->reads.is_served)
		(void)pthread_cond_signal(&history->reads.changed);
	else
		(void)close_first(history);
	unlock(history);
}

/* ---- the thread's side ---- */

/* With the lock, which is given up meanwhile. */
static void run(struct history *history, struct history_read *read)
{
	list_remove(&read->node);
	read->state = HISTORY_READ_RUNNING;
	unlock(history);
	history_note_asked(history, HISTORY_READING);
	read->result = read->run(read);
	history_note_answered(history, HISTORY_READING);
	lock(history);
	if (!read->is_dropped) {
		read->state = HISTORY_READ_DONE;
		inbox_post(history->reads.inbox, &read->task);
		return;
	}
	unlock(history);
	read->free(read);
	lock(history);
}

static bool run_first(struct history *history)
{
	struct list_node *node = list_first(&history->reads.waiting);

	if (node)
		run(history, list_entry(node, struct history_read, node));
	return node;
}

void history_reads_serve(struct history *history)
{
	lock(history);
	/* What is left goes before more comes: then readers need little room, however
	 * fast they are. */
	while (history->reads.is_served) {
		if (!close_first(history) && !run_first(history))
			(void)pthread_cond_wait(&history->reads.changed, &history->lock);
	}
	unlock(history);
}

void history_reads_open(struct history *history, struct inbox *inbox)
{
	lock(history);
	history->reads.is_served = true;
	history->reads.inbox = inbox;
	unlock(history);
}

void history_reads_end(struct history *history)
{
	lock(history);
	history->reads.is_served = false;
	(void)pthread_cond_broadcast(&history->reads.changed);
	unlock(history);
}
