// SPDX-License-Identifier: MIT
/*
 * A reader finds its file in the list, and its packet by the index of that file and a short scan.
 *
 * A file that is retired is still open here.  What follows it is found by its number: the next one
 * has the next number, or has gone as well.
 */
#include "history/history_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/packet_header.h"
#include "history/history.h"
#include "history/history_cache.h"
#include "history/history_folder.h"
#include "history_file/history_search.h"

/* A file as it was when the lock was held. */
struct seen_file {
	struct history_file *file;
	uint64_t entry_count;
	struct history_entry first, end;
};

/* ---- files ---- */

/* With the lock. */
static struct seen_file see(struct history_file *file)
{
	return (struct seen_file){file, file->entry_count, file->first, file->end};
}

/* Gives up a file that the reader has a reference of. */
static void leave(struct history_reader *reader)
{
	struct history *history = reader->history;
	struct history_file *file = reader->file;
	bool is_last;

	if (!file)
		return;
	(void)pthread_mutex_lock(&history->lock);
	is_last = --file->readers == 0 && file->fd >= 0;
	history->readers--;
	(void)pthread_mutex_unlock(&history->lock);
	if (is_last)
		history_reads_close_file(history, file);
	history_unref_file(history, &reader->file);
}

/* Whose files they are may read them without a note of when, which might wait for the disk. */
static int open_file(const struct history *history, const struct history_file *file,
		     enum history_kind kind, int *ret_fd)
{
	int r = history_folder_open_file(history->folder.fd, file->number, kind,
					 O_RDONLY | O_NOATIME, ret_fd);

	if (r == -EPERM)
		r = history_folder_open_file(history->folder.fd, file->number, kind, O_RDONLY,
					     ret_fd);
	return r == -ENOENT ? -ERANGE : r; /* it has just been retired */
}

/* Is it open?  If not, it gets *fd, if there is one. */
static bool is_open_with(struct history *history, struct history_file *file, int *fd)
{
	bool is_open;

	(void)pthread_mutex_lock(&history->lock);
	if (file->fd < 0) {
		file->fd = *fd;
		*fd = -1;
	}
	is_open = file->fd >= 0;
	(void)pthread_mutex_unlock(&history->lock);
	return is_open;
}

/* One more reads it, whether or not it is open.  Takes over a reference of `file`. */
static void stand_in(struct history_reader *reader, struct history_file *file, uint64_t offset)
{
	struct history *history = reader->history;

	(void)pthread_mutex_lock(&history->lock);
	file->readers++;
	history->readers++;
	(void)pthread_mutex_unlock(&history->lock);
	reader->file = file;
	reader->offset = offset;
}

/* -EINPROGRESS: the file that it stands in is not open, and the caller must not wait. */
static int open_its_file(const struct history_reader *reader, bool may_wait)
{
	int fd = -1;
	int r;

	if (is_open_with(reader->history, reader->file, &fd))
		return 0;
	if (!may_wait)
		return -EINPROGRESS;
	r = open_file(reader->history, reader->file, HISTORY_PACKETS, &fd);
	if (r == 0)
		(void)is_open_with(reader->history, reader->file, &fd);
	fd_close(&fd); /* another one was quicker */
	return r;
}

/* Takes over a reference of `file`, also on an error.  -EINPROGRESS: it is not open, and the
 * caller must not wait. */
static int enter(struct history_reader *reader, struct history_file *file, uint64_t offset,
		 bool may_wait)
{
	int r;

	stand_in(reader, file, offset);
	r = open_its_file(reader, may_wait);
	if (r < 0)
		leave(reader);
	return r;
}

/* The first file that `is_it` is true of, from the oldest or from the newest one on, with a
 * reference. */
static bool find_file(struct history *history, bool from_newest,
		      bool (*is_it)(const struct history_file *file, const void *wanted),
		      const void *wanted, struct seen_file *ret)
{
	struct list *files = &history->files;
	struct list_node *node;
	bool is_found = false;

	(void)pthread_mutex_lock(&history->lock);
	node = from_newest ? files->head.prev : files->head.next;
	while (!is_found && node != &files->head) {
		struct history_file *file = history_file_at(node);

		is_found = is_it(file, wanted);
		if (is_found) {
			file->refs++;
			*ret = see(file);
		}
		node = from_newest ? node->prev : node->next;
	}
	(void)pthread_mutex_unlock(&history->lock);
	return is_found;
}

/* ---- finding a packet ---- */

/* What is looked for in a file. */
struct search {
	uint64_t key;
	int (*find)(int fd, const struct history_index *index, uint64_t end, uint64_t key,
		    uint64_t *ret);
};

/* Maps the index of the file that the reader has entered.  It is read before: a page that is
 * waited for in a mapping may hold up whoever else maps or unmaps something. */
static int map_index(const struct history_reader *reader, const struct seen_file *seen,
		     struct history_index *index)
{
	int fd;
	int r = open_file(reader->history, seen->file, HISTORY_INDEX, &fd);

	if (r == 0)
		r = history_bring_in(reader->history, fd, 0,
				     history_index_offset(seen->entry_count));
	if (r == 0)
		r = history_index_map(index, fd, seen->entry_count);
	fd_close(&fd);
	return r;
}

/* Moves the reader to the first packet of its file that the search is for; to the end of the file
 * where there is none. */
static int search_file(struct history_reader *reader, const struct seen_file *seen,
		       const struct search *search)
{
	struct history_index index = {0};
	int r = map_index(reader, seen, &index);

	if (r < 0 && r != -EBADMSG)
		return r;
	r = search->find(seen->file->fd, &index, seen->end.offset, search->key, &reader->offset);
	history_index_unmap(&index);
	return r;
}

/* Opens the reader in the file, and searches there. */
static int open_in(struct history_reader *reader, const struct seen_file *seen,
		   const struct search *search)
{
	int r = enter(reader, seen->file, 0, true);

	if (r < 0)
		return r;
	r = search_file(reader, seen, search);
	if (r < 0)
		history_reader_close(reader);
	return r;
}

/* ---- by sequence ---- */

struct wanted_sequence {
	uint32_t session;
	uint64_t sequence;
};

static bool is_of_session(const struct history_file *file, const void *wanted)
{
	const struct wanted_sequence *sequence = wanted;

	return file->first.session == sequence->session;
}

static bool has_begun_before(const struct history_file *file, const void *wanted)
{
	const struct wanted_sequence *sequence = wanted;

	return is_of_session(file, wanted) && file->first.sequence <= sequence->sequence;
}

/* Searches the newest file of the session that begins at the sequence or before. */
static int open_at(struct history_reader *reader, const struct wanted_sequence *wanted)
{
	const struct search search = {
		.key = wanted->sequence,
		.find = history_search_sequence,
	};
	struct seen_file seen;

	if (find_file(reader->history, true, has_begun_before, wanted, &seen))
		return open_in(reader, &seen, &search);
	if (!find_file(reader->history, true, is_of_session, wanted, &seen))
		return -ENOENT;
	history_unref_file(reader->history, &seen.file);
	return -ERANGE;
}

int history_reader_open_at(struct history_reader *reader, struct history *history, uint32_t session,
			   uint64_t sequence)
{
	struct wanted_sequence wanted = {session, sequence};
	struct history_entry oldest, end;

	*reader = (struct history_reader){.history = history};
	if (!history_range(history, &oldest, &end))
		return -ENOENT;
	if (!session)
		wanted.session = end.session;
	if (wanted.session == end.session && sequence > end.sequence)
		return -EAGAIN;
	return open_at(reader, &wanted);
}

/* ---- by time ---- */

static bool has_ended_after(const struct history_file *file, const void *wanted)
{
	return file->end.time_ns >= *(const uint64_t *)wanted;
}

static bool is_any(const struct history_file *file, const void *wanted)
{
	(void)file;
	(void)wanted;
	return true;
}

/* In the oldest file that ends then or later. */
static int open_by_time(struct history_reader *reader, struct history *history,
			const struct search *search, uint64_t time_ns)
{
	struct seen_file seen;

	*reader = (struct history_reader){.history = history};
	if (find_file(history, false, has_ended_after, &time_ns, &seen))
		return open_in(reader, &seen, search);
	if (find_file(history, true, is_any, NULL, &seen))
		return enter(reader, seen.file, seen.end.offset, true);
	return -ENOENT;
}

int history_reader_open_since(struct history_reader *reader, struct history *history,
			      uint64_t time_ns)
{
	const struct search search = {.key = time_ns, .find = history_search_time};

	return open_by_time(reader, history, &search, time_ns);
}

int history_reader_open_behind(struct history_reader *reader, struct history *history,
			       uint64_t time_ns)
{
	const struct search search = {.key = time_ns, .find = history_search_later};

	return open_by_time(reader, history, &search, time_ns + 1);
}

int history_reader_open_oldest(struct history_reader *reader, struct history *history)
{
	struct seen_file seen;

	*reader = (struct history_reader){.history = history};
	return find_file(history, false, is_any, NULL, &seen) ? enter(reader, seen.file, 0, true)
							      : -ENOENT;
}

static bool has_number(const struct history_file *file, const void *wanted)
{
	return file->number == *(const uint64_t *)wanted;
}

int history_reader_set_place(struct history_reader *reader, struct history *history,
			     uint64_t number, uint64_t offset)
{
	struct seen_file seen;

	*reader = (struct history_reader){.history = history};
	if (!find_file(history, true, has_number, &number, &seen))
		return -ERANGE;
	if (offset > seen.end.offset) {
		history_unref_file(history, &seen.file);
		return -ERANGE;
	}
	stand_in(reader, seen.file, offset);
	return 0;
}

uint64_t history_reader_file(const struct history_reader *reader)
{
	return reader->file->number;
}

/* ---- reading on ---- */

static bool is_behind(const struct history_file *file, const void *wanted)
{
	return file->number > *(const uint64_t *)wanted;
}

/* The file has been read.  Goes on into the next one: 1; 0: there is none; or an error, and the
 * reader stays. */
static int go_on(struct history_reader *reader, bool may_wait)
{
	struct history *history = reader->history;
	struct history_reader next = {.history = history};
	uint64_t number = reader->file->number;
	struct seen_file seen;
	int r;

	if (history_reader_is_cut_off(reader))
		return -ERANGE;
	if (!find_file(history, false, is_behind, &number, &seen))
		return 0;
	r = enter(&next, seen.file, 0, may_wait);
	if (r < 0)
		return r;
	leave(reader);
	*reader = next;
	return 1;
}

/* What is left of the file; it may be nothing.  True: nothing will be added to it. */
static bool look(const struct history_reader *reader, struct history_run *ret)
{
	struct history *history = reader->history;
	struct history_entry end;
	bool is_complete, is_unseen;

	(void)pthread_mutex_lock(&history->lock);
	is_unseen = history->is_unseen;
	end = reader->file->end;
	is_complete = reader->file->is_complete;
	(void)pthread_mutex_unlock(&history->lock);
	*ret = (struct history_run){
		.fd = reader->file->fd,
		.offset = reader->offset,
		.length = end.offset - reader->offset,
		.session = end.session,
		.sequence = end.sequence,
		.is_unseen = is_unseen,
	};
	return is_complete;
}

static int next(struct history_reader *reader, bool may_wait, struct history_run *ret)
{
	int r = open_its_file(reader, may_wait);

	*ret = (struct history_run){.fd = -1};
	if (r < 0)
		return r;
	while (look(reader, ret) && !ret->length) {
		r = go_on(reader, may_wait);
		if (r <= 0)
			return r;
	}
	return ret->length > 0;
}

int history_reader_place(struct history_reader *reader, struct history_entry *ret)
{
	uint8_t bytes[PACKET_HEADER_BYTES];
	struct packet_header header;
	struct history_run run;
	int r = history_reader_next(reader, &run);

	*ret = (struct history_entry){.session = run.session, .sequence = run.sequence};
	if (r <= 0)
		return r;
	if (pread(run.fd, bytes, sizeof(bytes), (off_t)run.offset) != (ssize_t)sizeof(bytes) ||
	    packet_header_decode(bytes, &header) < 0)
		return -EBADMSG;
	ret->session = header.session;
	ret->sequence = header.sequence;
	ret->time_ns = header.type == PACKET_GAP ? 0 : header.time;
	return 0;
}

int history_reader_next(struct history_reader *reader, struct history_run *ret)
{
	return next(reader, true, ret);
}

int history_reader_next_open(struct history_reader *reader, struct history_run *ret)
{
	return next(reader, false, ret);
}

void history_reader_advance(struct history_reader *reader, uint64_t bytes)
{
	reader->offset += bytes;
}

void history_reader_copy(struct history_reader *reader, const struct history_reader *from)
{
	struct history *history = from->history;

	*reader = *from;
	(void)pthread_mutex_lock(&history->lock);
	reader->file->refs++;
	reader->file->readers++;
	history->readers++;
	(void)pthread_mutex_unlock(&history->lock);
}

int history_reader_fd(const struct history_reader *reader)
{
	return reader->file->fd;
}

bool history_reader_is_before(const struct history_reader *a, const struct history_reader *b)
{
	return a->file->number < b->file->number || (a->file == b->file && a->offset < b->offset);
}

uint64_t history_reader_distance(const struct history_reader *a, const struct history_reader *b)
{
	return a->file == b->file ? b->offset - a->offset : UINT64_MAX;
}

bool history_reader_is_cut_off(const struct history_reader *reader)
{
	return history_newest_retired(reader->history) > reader->file->number;
}

void history_reader_close(struct history_reader *reader)
{
	leave(reader);
}
