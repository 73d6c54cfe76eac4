// SPDX-License-Identifier: MIT
/* The descriptors of the open file are duplicated, so its writer may close it meanwhile. */
#include "history/history_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "history/history.h"
#include "history/history_cache.h"
#include "history/history_recover.h"

enum {
	PIECE_BYTES = 16 << 20, /* that the disk is asked for at once */
};

void history_set_open(struct history *history, int fd, int index_fd)
{
	(void)pthread_mutex_lock(&history->lock);
	history->open_fd = fd;
	history->open_index_fd = index_fd;
	if (fd >= 0)
		history->has_new_name = true;
	(void)pthread_mutex_unlock(&history->lock);
}

/* Waits until the bytes of a file are on the disk, piece by piece: so a disk that is slow is seen
 * to answer, however much there is.  0 or -errno. */
static int write_back(struct history *history, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	for (off_t offset = 0; offset < st.st_size; offset += PIECE_BYTES) {
		history_note_asked(history, HISTORY_SYNCING);
		if (sync_file_range(fd, offset, PIECE_BYTES,
				    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					    SYNC_FILE_RANGE_WAIT_AFTER) < 0)
			return -errno;
	}
	history_note_asked(history, HISTORY_SYNCING);
	return 0;
}

static int seal_all(struct history *history)
{
	struct history_unsealed *unsealed;
	int first_error = 0;

	while ((unsealed = history_take_unsealed(history))) {
		int r = write_back(history, unsealed->fd);

		if (r == 0)
			r = history_seal(unsealed->fd, unsealed->index_fd, unsealed->entry_count,
					 &unsealed->end);
		first_error = first_error ? first_error : r;
		history_free_unsealed(unsealed);
	}
	return first_error;
}

int history_sync_found(struct history *history)
{
	int r;

	history_note_asked(history, HISTORY_SYNCING);
	r = seal_all(history);
	if (r == 0 && fsync(history->folder.fd) < 0)
		r = -errno;
	history_note_answered(history, HISTORY_SYNCING);
	return r;
}

/* What of the open file is to be brought to the disk. */
struct open_file {
	int fd, index_fd; /* owned; -1: there is none */
	bool has_new_name;
};

/* 0 or -errno of fcntl(2). */
static int take_open(struct history *history, struct open_file *ret)
{
	int r = 0;

	*ret = (struct open_file){.fd = -1, .index_fd = -1};
	(void)pthread_mutex_lock(&history->lock);
	if (history->open_fd >= 0) {
		ret->fd = fcntl(history->open_fd, F_DUPFD_CLOEXEC, 0);
		ret->index_fd = fcntl(history->open_index_fd, F_DUPFD_CLOEXEC, 0);
		r = ret->fd < 0 || ret->index_fd < 0 ? -errno : 0;
	}
	ret->has_new_name = history->has_new_name;
	history->has_new_name = false;
	(void)pthread_mutex_unlock(&history->lock);
	return r;
}

/* With what could not be brought to the disk, it is tried again. */
static void give_back_open(struct history *history, struct open_file *file, bool is_on_disk)
{
	fd_close(&file->fd);
	fd_close(&file->index_fd);
	if (is_on_disk || !file->has_new_name)
		return;
	(void)pthread_mutex_lock(&history->lock);
	history->has_new_name = true;
	(void)pthread_mutex_unlock(&history->lock);
}

static int flush(struct history *history, int fd, int index_fd, bool is_due)
{
	int r;

	if (!is_due)
		return sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE) < 0 ? -errno : 0;
	r = write_back(history, fd);
	if (r < 0)
		return r;
	return fdatasync(fd) < 0 || fdatasync(index_fd) < 0 ? -errno : 0;
}

static int flush_open(struct history *history, bool is_due)
{
	struct open_file file;
	int r = take_open(history, &file);

	if (r == 0 && file.fd >= 0)
		r = flush(history, file.fd, file.index_fd, is_due);
	if (r == 0 && file.has_new_name && fsync(history->folder.fd) < 0)
		r = -errno;
	give_back_open(history, &file, r == 0);
	return r;
}

int history_sync(struct history *history, bool is_due, uint64_t now_ns)
{
	int seal_error, flush_error, r;

	history_note_asked(history, HISTORY_SYNCING);
	seal_error = seal_all(history);
	/* The kernel tells of an error once: it is for the thread that answers for what is
	 * on the disk. */
	flush_error = history->params.is_on_disk_first ? 0 : flush_open(history, is_due);
	history_drop_old(history);
	history_note_asked(history, HISTORY_SYNCING);
	r = history_retire(history, now_ns);
	history_note_answered(history, HISTORY_SYNCING);
	return seal_error ? seal_error : flush_error ? flush_error : r;
}
