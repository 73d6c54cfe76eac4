// SPDX-License-Identifier: MIT
/* A queue, one thread that takes from it, and the way back by the inbox of the loop. */
#include "history/history_read.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/fd.h"
#include "history/history.h"

enum {
	AHEAD_BYTES = 1 << 20,
	AHEAD_MIN_BYTES = 128 * 1024,
	AHEAD_ALL_BYTES = 64 << 20, /* of all readers */
	AWAITED_BYTES = 32 * 1024,  /* such a piece comes as one */
};

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
	while (history->reads.is_served) {
		if (!run_first(history) && !close_first(history))
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

/* ---- the page cache ---- */

uint64_t history_bytes_ahead(struct history *history)
{
	uint64_t readers;

	lock(history);
	readers = history->readers;
	unlock(history);
	return u64_max(AHEAD_MIN_BYTES, u64_min(AHEAD_BYTES, AHEAD_ALL_BYTES / (readers + 1)));
}

/* /dev/null takes the pages of a file and copies nothing.  For who reads a file in its order, the
 * kernel reads ahead in large folios, where the file system has those (ext4: Linux 6.16).  What
 * readahead(2) asks for comes in single pages, and costs twice the CPU time.  Returns where it
 * ended: perhaps before `end`. */
static uint64_t read_through(int null_fd, int fd, uint64_t offset, uint64_t end)
{
	off_t at = (off_t)offset;
	ssize_t sent = 1;

	while (sent > 0 && (uint64_t)at < end)
		sent = TEMP_FAILURE_RETRY(sendfile(null_fd, fd, &at, end - (uint64_t)at));
	return (uint64_t)at;
}

int history_bring_in(const struct history *history, int fd, uint64_t offset, uint64_t bytes)
{
	uint64_t end = offset + bytes;
	uint64_t begun = read_through(history->reads.null_fd, fd, offset, end);

	/* The last byte tells of an error, and that the file is as long as that. */
	for (uint64_t at = u64_min(begun, end - 1); at < end; at += AWAITED_BYTES) {
		uint8_t byte;
		ssize_t got = TEMP_FAILURE_RETRY(pread(fd, &byte, 1, (off_t)at));

		if (got <= 0)
			return got < 0 ? -errno : -EBADMSG;
	}
	return 0;
}
