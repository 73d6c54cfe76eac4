// SPDX-License-Identifier: MIT
/* Opening a folder, and the list of its files. */
#include "history/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "history/history_folder.h"
#include "history/history_recover.h"

static uint64_t bytes_of(const struct history_file *file)
{
	return file->end.offset + history_index_offset(file->entry_count + 1);
}

/* ---- files ---- */

struct history_file *history_new_file(uint64_t number)
{
	struct history_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->number = number;
	file->refs = 1;
	file->fd = -1;
	list_node_init(&file->node);
	list_node_init(&file->closing_node);
	return file;
}

void history_show(struct history *history, struct history_file *file,
		  const struct history_entry *end, uint64_t entry_count)
{
	if (!entry_count)
		return;
	(void)pthread_mutex_lock(&history->lock);
	if (list_is_linked(&file->node)) {
		history->bytes -= bytes_of(file);
	} else {
		file->refs++;
		list_append(&history->files, &file->node);
	}
	file->end = *end;
	file->entry_count = entry_count;
	history->bytes += bytes_of(file);
	(void)pthread_mutex_unlock(&history->lock);
}

void history_complete(struct history *history, struct history_file **file)
{
	(void)pthread_mutex_lock(&history->lock);
	(*file)->is_complete = true;
	(void)pthread_mutex_unlock(&history->lock);
	history_unref_file(history, file);
}

/* With the lock.  True: it was the last one, and the file is to be freed. */
static bool drop(struct history_file *file)
{
	return --file->refs == 0;
}

static void free_file(struct history_file *file)
{
	fd_close(&file->fd);
	free(file);
}

void history_unref_file(struct history *history, struct history_file **file_ptr)
{
	struct history_file *file = *file_ptr;
	bool is_last;

	*file_ptr = NULL;
	if (!file)
		return;
	(void)pthread_mutex_lock(&history->lock);
	is_last = drop(file);
	(void)pthread_mutex_unlock(&history->lock);
	if (is_last)
		free_file(file);
}

/* ---- files that get no more ---- */

int history_add_unsealed(struct history *history, uint64_t number, int *fd, int *index_fd,
			 uint64_t entry_count, const struct history_entry *end)
{
	struct history_unsealed *unsealed = calloc(1, sizeof(*unsealed));

	if (!unsealed)
		return -ENOMEM;
	unsealed->number = number;
	unsealed->fd = *fd;
	unsealed->index_fd = *index_fd;
	unsealed->entry_count = entry_count;
	unsealed->end = *end;
	*fd = *index_fd = -1;
	list_node_init(&unsealed->node);
	(void)pthread_mutex_lock(&history->lock);
	list_append(&history->unsealed, &unsealed->node);
	(void)pthread_mutex_unlock(&history->lock);
	return 0;
}

struct history_unsealed *history_take_unsealed(struct history *history)
{
	struct list_node *node;

	(void)pthread_mutex_lock(&history->lock);
	node = list_first(&history->unsealed);
	if (node)
		list_remove(node);
	(void)pthread_mutex_unlock(&history->lock);
	return node ? list_entry(node, struct history_unsealed, node) : NULL;
}

void history_free_unsealed(struct history_unsealed *unsealed)
{
	fd_close(&unsealed->fd);
	fd_close(&unsealed->index_fd);
	free(unsealed);
}

/* ---- opening ---- */

/* Opens both files of a number, the index also where it is missing. */
static int open_both(const struct history *history, uint64_t number, int *ret_fd, int *ret_index_fd)
{
	int r = history_folder_open_file(history->folder.fd, number, HISTORY_PACKETS, O_RDWR,
					 ret_fd);

	*ret_index_fd = -1;
	if (r == 0)
		r = history_folder_open_file(history->folder.fd, number, HISTORY_INDEX,
					     O_RDWR | O_CREAT, ret_index_fd);
	if (r < 0)
		fd_close(ret_fd);
	return r;
}

/* One that was not closed for good will be. */
static int load(struct history *history, uint64_t number, bool is_same_boot,
		struct history_recovered *ret)
{
	int fd, index_fd;
	int r = open_both(history, number, &fd, &index_fd);

	if (r < 0)
		return r;
	r = history_check_sealed(fd, index_fd, ret);
	if (r == -EBADMSG) {
		r = history_recover(fd, index_fd, is_same_boot, ret);
		if (r == 0)
			r = history_add_unsealed(history, number, &fd, &index_fd, ret->entry_count,
						 &ret->end);
	}
	fd_close(&fd);
	fd_close(&index_fd);
	return r;
}

static int add_file(struct history *history, uint64_t number,
		    const struct history_recovered *recovered)
{
	struct history_file *file = history_new_file(number);

	if (!file)
		return -ENOMEM;
	file->first = recovered->first;
	history_show(history, file, &recovered->end, recovered->entry_count);
	history_complete(history, &file);
	return 0;
}

static struct history_unsealed *find_unsealed(const struct history *history, uint64_t number)
{
	struct list_node *node;

	list_for_each (&history->unsealed, node) {
		struct history_unsealed *unsealed = list_entry(node, struct history_unsealed, node);

		if (unsealed->number == number)
			return unsealed;
	}
	return NULL;
}

/* After a power cut, the end of more than one file may be missing.  So that no reader takes the
 * next one for what comes right behind, the file before ends with a gap. */
static int tell_gap(struct history *history, const struct history_entry *next)
{
	struct list_node *newest = list_last(&history->files);
	struct history_file *file = newest ? history_file_at(newest) : NULL;
	struct history_unsealed *unsealed = file ? find_unsealed(history, file->number) : NULL;
	struct history_recovered recovered;
	int r;

	if (!unsealed || next->session != file->end.session || next->sequence <= file->end.sequence)
		return 0;
	recovered = (struct history_recovered){.end = unsealed->end,
					       .entry_count = unsealed->entry_count};
	r = history_recover_gap(unsealed->fd, unsealed->index_fd, next->sequence, &recovered);
	unsealed->end = recovered.end;
	unsealed->entry_count = recovered.entry_count;
	if (r == 0)
		history_show(history, file, &recovered.end, recovered.entry_count);
	return r;
}

/* Loads one file; one without a packet goes. */
static int take_file(struct history *history, uint64_t number, bool is_same_boot,
		     struct history_found *found)
{
	struct history_recovered recovered;
	int r = load(history, number, is_same_boot, &recovered);

	if (r == -ENODATA) {
		found->cut_bytes += recovered.cut_bytes;
		return history_folder_unlink(history->folder.fd, number);
	}
	if (r == 0)
		r = tell_gap(history, &recovered.first);
	if (r < 0)
		return r;
	found->files++;
	found->cut_bytes += recovered.cut_bytes;
	found->rebuilt += recovered.was_rebuilt;
	found->end = recovered.end;
	return add_file(history, number, &recovered);
}

static int take_files(struct history *history, struct history_found *found, struct errmsg *err)
{
	const struct history_folder *folder = &history->folder;
	char name[HISTORY_NAME_BYTES];

	for (size_t i = 0; i < folder->count; i++) {
		uint64_t number = folder->numbers[i];
		int r = take_file(history, number, folder->is_same_boot, found);

		if (r < 0) {
			errmsg_errno(err, r, "history %s: %s", history->path,
				     history_name_print(name, number, HISTORY_PACKETS));
			return r;
		}
		history->next_number = number + 1;
	}
	return 0;
}

static struct history *new_history(const struct history_params *params)
{
	struct history *history = calloc(1, sizeof(*history));

	if (!history)
		return NULL;
	list_init(&history->files);
	list_init(&history->unsealed);
	list_init(&history->delays);
	list_init(&history->reads.waiting);
	list_init(&history->reads.closing);
	(void)pthread_cond_init(&history->reads.changed, NULL);
	(void)pthread_mutex_init(&history->lock, NULL);
	history->folder.fd = history->open_fd = history->open_index_fd = -1;
	history->reads.null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	history->next_number = 1;
	history->path = strdup(params->path);
	history->params = *params;
	history->params.path = history->path;
	history->params.feed = NULL;
	if (!history->path)
		history_close(&history);
	return history;
}

int history_open(const struct history_params *params, struct history **ret,
		 struct history_found *ret_found, struct errmsg *err)
{
	struct history *history = new_history(params);
	int r;

	*ret = NULL;
	*ret_found = (struct history_found){0};
	if (!history) {
		errmsg_errno(err, ENOMEM, "history %s", params->path);
		return -ENOMEM;
	}
	r = history_folder_open(&history->folder, params, err);
	if (r == 0)
		r = take_files(history, ret_found, err);
	if (r < 0) {
		history_close(&history);
		return r;
	}
	ret_found->is_same_boot = history->folder.is_same_boot;
	ret_found->next = history->folder.next;
	if (!ret_found->next.session && history->folder.is_on_disk_first)
		ret_found->next = (struct sequence){.session = ret_found->end.session,
						    .next_seq = ret_found->end.sequence};
	*ret = history;
	return 0;
}

int history_keep_next(struct history *history, const struct sequence *next)
{
	return history_folder_set_next(&history->folder, next);
}

void history_close(struct history **history_ptr)
{
	struct history *history = *history_ptr;
	struct history_unsealed *unsealed;
	struct list_node *node;

	*history_ptr = NULL;
	if (!history)
		return;
	while ((node = list_first(&history->reads.closing))) {
		struct history_file *file = list_entry(node, struct history_file, closing_node);

		list_remove(node);
		history_unref_file(history, &file);
	}
	while ((unsealed = history_take_unsealed(history)))
		history_free_unsealed(unsealed);
	while ((node = list_first(&history->files))) {
		list_remove(node);
		free_file(history_file_at(node));
	}
	fd_close(&history->reads.null_fd);
	history_folder_close(&history->folder);
	(void)pthread_cond_destroy(&history->reads.changed);
	(void)pthread_mutex_destroy(&history->lock);
	free(history->path);
	free(history);
}

/* ---- looking ---- */

static bool range(const struct history *history, struct history_entry *ret_oldest,
		  struct history_entry *ret_end)
{
	if (list_is_empty(&history->files))
		return false;
	*ret_oldest = history_file_at(list_first(&history->files))->first;
	*ret_end = history_file_at(list_last(&history->files))->end;
	return true;
}

bool history_range(struct history *history, struct history_entry *ret_oldest,
		   struct history_entry *ret_end)
{
	bool has_any;

	(void)pthread_mutex_lock(&history->lock);
	has_any = range(history, ret_oldest, ret_end);
	(void)pthread_mutex_unlock(&history->lock);
	return has_any;
}

void history_read_report(struct history *history, struct history_report *ret)
{
	*ret = (struct history_report){.path = history->path};
	(void)pthread_mutex_lock(&history->lock);
	ret->files = list_length(&history->files);
	ret->bytes = history->bytes;
	(void)range(history, &ret->oldest, &ret->end);
	(void)pthread_mutex_unlock(&history->lock);
}

uint64_t history_newest_retired(struct history *history)
{
	uint64_t number;

	(void)pthread_mutex_lock(&history->lock);
	number = history->newest_retired;
	(void)pthread_mutex_unlock(&history->lock);
	return number;
}

/* ---- waiting for the disk ---- */

void history_note_asked(struct history *history, enum history_step step)
{
	atomic_store_explicit(&history->waits_since_ns[step], clock_mono_ns(),
			      memory_order_relaxed);
}

void history_note_answered(struct history *history, enum history_step step)
{
	atomic_store_explicit(&history->waits_since_ns[step], 0, memory_order_relaxed);
}

/* ---- limits ---- */

void history_set_limits(struct history *history, const struct history_params *params)
{
	(void)pthread_mutex_lock(&history->lock);
	history->params.max_bytes = params->max_bytes;
	history->params.max_age_ms = params->max_age_ms;
	history->params.max_file_bytes = params->max_file_bytes;
	(void)pthread_mutex_unlock(&history->lock);
}

struct history_params history_limits(struct history *history)
{
	struct history_params params;

	(void)pthread_mutex_lock(&history->lock);
	params = history->params;
	(void)pthread_mutex_unlock(&history->lock);
	return params;
}

/* With the lock: the oldest file, if it is over a limit and not the newest one. */
static struct history_file *too_much(const struct history *history, uint64_t now_ns)
{
	const struct history_params *params = &history->params;
	const struct history_file *newest;
	struct history_file *oldest;
	uint64_t room; /* that the newest one may still need */

	if (list_is_empty(&history->files) ||
	    list_first(&history->files) == list_last(&history->files))
		return NULL;
	oldest = history_file_at(list_first(&history->files));
	newest = history_file_at(list_last(&history->files));
	room = params->max_file_bytes - u64_min(params->max_file_bytes, newest->end.offset);
	if (params->max_bytes && history->bytes + room > params->max_bytes)
		return oldest;
	if (params->max_age_ms && oldest->end.time_ns + params->max_age_ms * NS_PER_MS < now_ns)
		return oldest;
	return NULL;
}

int history_retire(struct history *history, uint64_t now_ns)
{
	for (;;) {
		struct history_file *oldest;
		int r;

		(void)pthread_mutex_lock(&history->lock);
		oldest = too_much(history, now_ns);
		(void)pthread_mutex_unlock(&history->lock);
		if (!oldest)
			return 0;
		r = history_folder_unlink(history->folder.fd, oldest->number);
		if (r < 0)
			return r;
		(void)pthread_mutex_lock(&history->lock);
		list_remove(&oldest->node);
		history->bytes -= bytes_of(oldest);
		history->newest_retired = oldest->number;
		(void)pthread_mutex_unlock(&history->lock);
		history_unref_file(history, &oldest);
	}
}
