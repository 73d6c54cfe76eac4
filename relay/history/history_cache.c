// SPDX-License-Identifier: MIT
/* Parts of files are picked with the lock, and dropped without it. */
#include "history/history_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "base/num.h"
#include "history/history.h"
#include "history/history_folder.h"
#include "history/history_reader.h"

enum {
	PAGE_MIN_BYTES = 4096,
	PARTS = 64,               /* picked at once */
	PART_MIN_BYTES = 1 << 20, /* of a file that still grows: less is not worth a call */
	PIECE_BYTES = 16 << 20,   /* that the disk is asked for at once */
	/* A large folio is dropped as a whole only.  So what lies before a part is dropped
	 * again. */
	FOLIO_BYTES = 2 << 20,
	LOOKS = 3, /* for what has just been read, and may have been dropped again */
	/* Of a reader: a socket may still hold so much, which cannot be dropped then. */
	BEHIND_BYTES = 4 << 20,
	BEHIND_MIN_BYTES = 8 << 20, /* less is not worth a call */
	/* What a reader may have brought in at once, and all readers together. */
	BRING_BYTES = 1 << 20,
	BRING_MIN_BYTES = 128 * 1024,
	BRING_ALL_BYTES = 64 << 20,
	AWAITED_BYTES = 32 * 1024, /* such a piece comes as one */
	/* So far ahead of a reader, what is there has not come for this one: more than the kernel
	 * reads ahead by itself, two windows of 8 MiB on some machines (read_ahead_kb). */
	AHEAD_BYTES = 32 << 20,
	/* Who asks, and what is asked for, which has one of its own meanwhile (replay_read.h). */
	READERS_OF_ONE = 2,
	SEEN_NS = 100 * NS_PER_MS,
};

/* Of one file. */
struct old_part {
	uint64_t number;
	uint64_t from, to;
};

/* With the lock: the file is older than `kept` bytes.  What is picked counts as dropped. */
static bool pick_part(struct history_file *file, uint64_t kept, struct old_part *ret)
{
	uint64_t room = HISTORY_CACHED_BYTES - u64_min(kept, HISTORY_CACHED_BYTES);
	uint64_t to = file->end.offset - u64_min(room, file->end.offset);

	if (to <= file->dropped || (!file->is_complete && to - file->dropped < PART_MIN_BYTES))
		return false;
	*ret = (struct old_part){file->number, file->dropped, to};
	file->dropped = to;
	return true;
}

/* With the lock: what readers have left behind, once nobody reads the file. */
static bool pick_brought(struct history_file *file, struct old_part *ret)
{
	uint64_t to = u64_min(file->brought_to, file->dropped);

	if (file->readers || file->brought_from >= to)
		return false;
	*ret = (struct old_part){file->number, file->brought_from, to};
	file->brought_from = file->brought_to = 0;
	return true;
}

/* The newest ones.  How many. */
static size_t pick_parts(struct history *history, struct old_part *parts)
{
	struct list_node *node;
	uint64_t kept = 0;
	size_t count = 0;

	(void)pthread_mutex_lock(&history->lock);
	for (node = history->files.head.prev; node != &history->files.head && count < PARTS;
	     node = node->prev) {
		struct history_file *file = history_file_at(node);

		count += pick_part(file, kept, &parts[count]) || pick_brought(file, &parts[count]);
		kept += file->end.offset;
	}
	(void)pthread_mutex_unlock(&history->lock);
	return count;
}

/* Piece by piece, so that a disk that is slow is seen to answer. */
static void drop_part(struct history *history, const struct old_part *part)
{
	int fd;

	/* It may have been retired. */
	if (history_folder_open_file(history->folder.fd, part->number, HISTORY_PACKETS, O_RDONLY,
				     &fd) < 0)
		return;
	for (uint64_t from = part->from - u64_min(part->from, FOLIO_BYTES); from < part->to;
	     from += PIECE_BYTES) {
		off_t bytes = (off_t)u64_min(PIECE_BYTES, part->to - from);

		history_note_asked(history, HISTORY_SYNCING);
		/* Who seals or syncs the file is told of errors; here they leave it in the
		 * cache. */
		(void)sync_file_range(fd, (off_t)from, bytes,
				      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					      SYNC_FILE_RANGE_WAIT_AFTER);
		(void)posix_fadvise(fd, (off_t)from, bytes, POSIX_FADV_DONTNEED);
	}
	fd_close(&fd);
}

/* How many pages are there, before the first one that is not.  -1: mincore(2) is refused. */
static ssize_t count_pages(int fd, off_t offset, size_t bytes, size_t page)
{
	unsigned char is_there[HISTORY_LOOK_BYTES / PAGE_MIN_BYTES + 1];
	size_t pages = (bytes + page - 1) / page;
	void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, offset);
	size_t count = 0;
	int r;

	if (map == MAP_FAILED)
		return -1;
	r = mincore(map, bytes, is_there);
	(void)munmap(map, bytes);
	if (r < 0)
		return -1;
	while (count < pages && is_there[count] & 1)
		count++;
	return (ssize_t)count;
}

/* Where mincore(2) is refused, as by filters of system calls: what can be read without waiting, all
 * of it to one page that nobody looks at.  Where a file system does not know RWF_NOWAIT either,
 * all counts as there. */
static uint64_t readable_bytes(int fd, uint64_t offset, uint64_t bytes)
{
	uint8_t nowhere[PAGE_MIN_BYTES];
	struct iovec into[HISTORY_LOOK_BYTES / PAGE_MIN_BYTES];
	uint64_t asked = 0;
	int count = 0;
	ssize_t got;

	while (asked < bytes) {
		into[count].iov_base = nowhere;
		into[count].iov_len = u64_min(PAGE_MIN_BYTES, bytes - asked);
		asked += into[count++].iov_len;
	}
	got = preadv2(fd, into, count, (off_t)offset, RWF_NOWAIT);
	if (got < 0)
		return errno == EAGAIN ? 0 : bytes;
	return (uint64_t)got;
}

static uint64_t cached_bytes(int fd, uint64_t offset, uint64_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t before = offset % page; /* of its first page */
	uint64_t cached;
	ssize_t pages;

	bytes = u64_min(bytes, HISTORY_LOOK_BYTES);
	pages = count_pages(fd, (off_t)(offset - before), (size_t)(before + bytes), page);
	if (pages < 0)
		return readable_bytes(fd, offset, bytes);
	cached = page * (uint64_t)pages;
	return u64_min(bytes, cached - u64_min(cached, before));
}

/* Looks at all that may be asked for next. */
static void look(struct history_run *run, uint64_t offset, uint64_t bytes, uint64_t now_ns)
{
	uint64_t end = u64_max(offset + bytes, run->offset + run->length);

	run->seen_from = offset;
	run->seen_to = offset + cached_bytes(run->fd, offset, end - offset);
	run->seen_until_ns = now_ns + SEEN_NS;
}

uint64_t history_cached(struct history_run *run, uint64_t offset, uint64_t bytes)
{
	uint64_t now_ns = clock_mono_ns();

	if (run->is_unseen)
		return bytes;
	if (run->ready_to)
		bytes = u64_min(bytes, run->ready_to - u64_min(run->ready_to, offset));
	if (!bytes)
		return 0;
	if (offset < run->seen_from || offset >= run->seen_to || now_ns >= run->seen_until_ns)
		look(run, offset, bytes, now_ns);
	return u64_min(bytes, run->seen_to - offset);
}

bool history_read_cached(const struct history_run *run, uint64_t offset, void *bytes, size_t count)
{
	const struct iovec into = {bytes, count};
	ssize_t got = preadv2(run->fd, &into, 1, (off_t)offset, RWF_NOWAIT);

	/* Some file systems do not know that, such as NFS, and those in memory (preadv2(2)). */
	if (got < 0 && errno == EOPNOTSUPP && cached_bytes(run->fd, offset, count) == count)
		got = preadv2(run->fd, &into, 1, (off_t)offset, 0);
	return got == (ssize_t)count;
}

/* With the lock: what is there at `offset` has come for the one that reads the file. */
static bool has_brought(const struct history_file *file, uint64_t offset)
{
	return file->readers <= READERS_OF_ONE && offset >= file->brought_from &&
	       offset < u64_min(file->brought_to, file->dropped);
}

/* True: from `offset` on, what is there or comes is for the readers of the file.  *ret_ahead: so
 * far the kernel may go by itself, but no further than the file. */
static bool comes_for_reader(const struct history_reader *reader, uint64_t offset,
			     uint64_t *ret_ahead)
{
	const struct history_file *file = reader->file;
	bool is_brought;

	(void)pthread_mutex_lock(&reader->history->lock);
	is_brought = has_brought(file, offset);
	*ret_ahead = u64_min(offset + AHEAD_BYTES, file->end.offset - 1);
	(void)pthread_mutex_unlock(&reader->history->lock);
	return is_brought || !cached_bytes(file->fd, *ret_ahead, 1);
}

bool history_is_warm(const struct history_reader *reader, uint64_t offset, uint64_t bytes)
{
	uint64_t ahead;

	return !comes_for_reader(reader, offset, &ahead) &&
	       cached_bytes(reader->file->fd, offset, bytes) == bytes;
}

uint64_t history_bytes_ahead(struct history *history)
{
	uint64_t readers;

	(void)pthread_mutex_lock(&history->lock);
	readers = history->readers;
	(void)pthread_mutex_unlock(&history->lock);
	return u64_max(BRING_MIN_BYTES, u64_min(BRING_BYTES, BRING_ALL_BYTES / (readers + 1)));
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

int history_bring_in_and_look(struct history *history, int fd, uint64_t offset, uint64_t bytes)
{
	for (int i = 0; i < LOOKS; i++) {
		int r = history_bring_in(history, fd, offset, bytes);

		if (r < 0 || cached_bytes(fd, offset, 1))
			return r;
	}
	(void)pthread_mutex_lock(&history->lock);
	history->is_unseen = true;
	(void)pthread_mutex_unlock(&history->lock);
	return 1;
}

/* With the lock: what is from `offset` to `to` was not there, and comes.  What goes: nothing where
 * from == to. */
static struct old_part note_brought(struct history_file *file, uint64_t offset, uint64_t to)
{
	struct old_part part = {file->number, file->brought_from, file->brought_to};
	bool is_alone = file->readers <= READERS_OF_ONE;

	if (part.from == part.to || (is_alone && offset > part.to)) {
		file->brought_from = file->dropped_behind = offset;
		file->brought_to = to;
		return part;
	}
	file->brought_from = u64_min(part.from, offset);
	file->brought_to = u64_max(part.to, to);
	part.from = file->dropped_behind = u64_min(file->dropped_behind, offset);
	part.to = u64_min(offset - u64_min(offset, BEHIND_BYTES), file->dropped);
	if (is_alone && part.to >= part.from + BEHIND_MIN_BYTES)
		file->dropped_behind = part.to - u64_min(part.to, FOLIO_BYTES);
	else
		part.to = part.from;
	return part;
}

/* Without the lock. */
static void drop_brought(int fd, const struct old_part *part)
{
	if (part->from < part->to)
		(void)posix_fadvise(fd, (off_t)part->from, (off_t)(part->to - part->from),
				    POSIX_FADV_DONTNEED);
}

void history_drop_behind(const struct history_reader *reader, uint64_t offset)
{
	struct history *history = reader->history;
	struct history_file *file = reader->file;
	struct old_part part;
	uint64_t ahead, to = offset;

	if (comes_for_reader(reader, offset, &ahead))
		to = ahead + HISTORY_LOOK_BYTES;
	(void)pthread_mutex_lock(&history->lock);
	part = note_brought(file, offset, to);
	part.to = u64_min(part.to, file->dropped);
	(void)pthread_mutex_unlock(&history->lock);
	drop_brought(file->fd, &part);
}

/* All of it: sockets may have held something of what lies far behind, too.  What they still hold is
 * left to the sync thread, which drops all once more. */
void history_drop_left(struct history *history, struct history_file *file, int fd)
{
	struct old_part part;

	(void)pthread_mutex_lock(&history->lock);
	part.from = file->brought_from;
	part.to = u64_min(file->brought_to, file->dropped);
	(void)pthread_mutex_unlock(&history->lock);
	drop_brought(fd, &part);
}

void history_drop_old(struct history *history)
{
	struct old_part parts[PARTS];
	size_t count;

	do {
		count = pick_parts(history, parts);
		for (size_t i = 0; i < count; i++)
			drop_part(history, &parts[i]);
	} while (count == PARTS);
}
