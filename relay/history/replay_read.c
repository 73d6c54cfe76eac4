// SPDX-License-Identifier: MIT
/* Three wishes. */
#include "history/replay_read.h"

#include <errno.h>
#include <stdlib.h>

#include "history/history_cache.h"

int replay_find_end(struct history_reader *reader, struct history *history, uint64_t until_ns)
{
	struct history_run later;
	int r = history_reader_open_since(reader, history, until_ns + 1);

	if (r == 0)
		r = history_reader_next(reader, &later);
	if (r <= 0)
		history_reader_close(reader);
	return r == -ENOENT ? 0 : r;
}

static int find_next(struct replay_read *read)
{
	struct history_run run;
	int r = history_reader_next(&read->reader, &run);

	return r > 0 ? history_bring_in(run.fd, run.offset, u64_min(run.length, read->bytes)) : r;
}

static int bring_pages(const struct replay_read *read)
{
	int fd = history_reader_fd(&read->reader);
	int r = history_bring_in(fd, read->offset, read->bytes);

	return r < 0 ? r : history_is_unseen(read->read.history, fd, read->offset);
}

/* In the reading thread. */
static int run(struct history_read *history_read)
{
	struct replay_read *read = container_of(history_read, struct replay_read, read);

	switch (read->wish) {
	case REPLAY_WANTS_PAGES:
		return bring_pages(read);
	case REPLAY_WANTS_NEXT:
		return find_next(read);
	case REPLAY_WANTS_END:
		return replay_find_end(&read->reader, history_read->history, read->until_ns);
	}
	return -EINVAL;
}

static void finish(struct history_read *history_read)
{
	struct replay_read *read = container_of(history_read, struct replay_read, read);

	read->done(read->owner);
	history_reader_close(&read->reader);
}

static void free_read(struct history_read *history_read)
{
	struct replay_read *read = container_of(history_read, struct replay_read, read);

	history_reader_close(&read->reader);
	free(read);
}

struct replay_read *replay_read_new(struct history *history, void (*done)(void *owner), void *owner)
{
	struct replay_read *read = calloc(1, sizeof(*read));

	if (!read)
		return NULL;
	read->read = (struct history_read){
		.history = history,
		.run = run,
		.done = finish,
		.free = free_read,
	};
	read->reader.history = history;
	read->done = done;
	read->owner = owner;
	return read;
}

bool replay_read_begin(struct replay_read *read, const struct history_reader *from)
{
	if (read->wish != REPLAY_WANTS_END)
		history_reader_copy(&read->reader, from);
	if (!history_read_begin(&read->read))
		return false;
	finish(&read->read);
	return true;
}

void replay_read_drop(struct replay_read **read_ptr)
{
	struct replay_read *read = *read_ptr;
	struct history_read *history_read = read ? &read->read : NULL;

	*read_ptr = NULL;
	history_read_drop(&history_read);
}
