// SPDX-License-Identifier: MIT
/* Five wishes. */
#include "history/replay_read.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "history/history.h"
#include "history/history_cache.h"
#include "packet/packet.h"

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

/* ---- where a range begins ---- */

/* Would a reader by time have missed what came before the oldest there is?  Not if that is the
 * first message of all. */
static bool reaches(struct history *history, uint64_t since_ns)
{
	struct history_entry oldest, end;

	return history_range(history, &oldest, &end) &&
	       (oldest.time_ns <= since_ns + NS_PER_MS || oldest.sequence <= SEQUENCE_FIRST);
}

/* The reader stands at a message that was asked for.  Is it old enough to be refused? */
static int check_age(struct history_reader *reader, uint64_t oldest_ns)
{
	struct history_reader oldest;
	int r = history_reader_open_since(&oldest, reader->history, oldest_ns);

	if (r == 0 && history_reader_is_before(reader, &oldest))
		r = -ERANGE;
	history_reader_close(&oldest);
	if (r < 0)
		history_reader_close(reader);
	return r;
}

static int open_by_sequence(struct history_reader *reader, struct history *history,
			    const struct replay_range *range)
{
	int r;

	if (!range->sequence && range->oldest_ns)
		return history_reader_open_since(reader, history, range->oldest_ns);
	if (!range->sequence)
		return history_reader_open_oldest(reader, history);
	r = history_reader_open_at(reader, history, range->session, range->sequence);
	return r == 0 && range->oldest_ns ? check_age(reader, range->oldest_ns) : r;
}

static int open_by_time(struct history_reader *reader, struct history *history,
			const struct replay_range *range)
{
	uint64_t since_ns = u64_max(range->since_ns, range->oldest_ns);

	if (!range->may_miss && (since_ns > range->since_ns || !reaches(history, since_ns)))
		return -ERANGE;
	return history_reader_open_since(reader, history, since_ns);
}

static int open_reader(struct history_reader *reader, struct history *history,
		       const struct replay_range *range)
{
	int r = range->has_from ? open_by_sequence(reader, history, range)
				: open_by_time(reader, history, range);

	/* Of a session nothing may be written yet. */
	return r == -ENOENT ? -EAGAIN : r;
}

/* Once its time has passed, what came later may be there. */
static int find_range_end(struct history_reader *end, struct history *history, uint64_t until_ns)
{
	*end = (struct history_reader){.history = history};
	if (!until_ns || clock_wall_ns() <= until_ns)
		return 0;
	return replay_find_end(end, history, until_ns);
}

int replay_find_start(struct history *history, const struct replay_range *range,
		      struct replay_start *ret)
{
	struct history_entry first = {0};
	int r;

	*ret = (struct replay_start){.reader.history = history, .end.history = history};
	r = open_reader(&ret->reader, history, range);
	if (r == 0)
		r = history_reader_place(&ret->reader, &first);
	if (r >= 0)
		r = find_range_end(&ret->end, history, range->until_ns);
	ret->place = (struct stream_place){first.session, first.sequence};
	if (r >= 0)
		return 0;
	replay_start_close(ret);
	return r;
}

void replay_start_close(struct replay_start *start)
{
	history_reader_close(&start->reader);
	history_reader_close(&start->end);
}

/* ---- wishes ---- */

/* Nobody needs to know it where it cannot be read. */
static void find_oldest(struct replay_read *read)
{
	struct history_reader oldest;
	int r = history_reader_open_since(&oldest, read->read.history, read->since_ns);

	if (r == 0)
		r = history_reader_place(&oldest, &read->oldest);
	if (r < 0)
		read->oldest = (struct history_entry){0};
	history_reader_close(&oldest);
}

static int find_start(struct replay_read *read)
{
	if (read->since_ns)
		find_oldest(read);
	return replay_find_start(read->read.history, &read->range, &read->start);
}

static int find_next(struct replay_read *read)
{
	struct history_run run;
	int r = history_reader_next(&read->reader, &run);

	if (r <= 0)
		return r;
	history_drop_behind(&read->reader, run.offset);
	return history_bring_in(read->read.history, run.fd, run.offset,
				u64_min(run.length, read->bytes));
}

/* In the reading thread. */
static int run(struct history_read *history_read)
{
	struct replay_read *read = container_of(history_read, struct replay_read, read);

	switch (read->wish) {
	case REPLAY_WANTS_PAGES:
		history_drop_behind(&read->reader, read->offset);
		return history_bring_in_and_look(history_read->history,
						 history_reader_fd(&read->reader), read->offset,
						 read->bytes);
	case REPLAY_WANTS_NEXT:
		return find_next(read);
	case REPLAY_WANTS_END:
		return replay_find_end(&read->reader, history_read->history, read->until_ns);
	case REPLAY_WANTS_DELAY:
		return history_reader_open_behind(&read->reader, history_read->history,
						  read->until_ns);
	case REPLAY_WANTS_START:
		return find_start(read);
	}
	return -EINVAL;
}

static void close_readers(struct replay_read *read)
{
	history_reader_close(&read->reader);
	replay_start_close(&read->start);
}

static void finish(struct history_read *history_read)
{
	struct replay_read *read = container_of(history_read, struct replay_read, read);

	read->done(read->owner);
	close_readers(read);
}

static void free_read(struct history_read *history_read)
{
	struct replay_read *read = container_of(history_read, struct replay_read, read);

	close_readers(read);
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
	if (from)
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
