// SPDX-License-Identifier: MIT
/*
 * Runs of a history, sent in pieces.
 *
 * A run is sent to the end that it had when it was looked at: there the ring is asked.  It has what
 * comes next as soon as the run that is left has been short.
 */
#include "history/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/packet_header.h"
#include "history/history.h"
#include "history/history_reader.h"
#include "packet/sequence.h"

enum {
	PIECE_BYTES = 256 * 1024, /* sent in one turn, so that all others have theirs */
};

struct replay {
	struct history_reader reader;
	struct history_run run;    /* what is left of the one in hand */
	struct history_reader end; /* with has_end: nothing from here on */
	bool has_end;
	uint64_t until_ns; /* wall clock; 0: none */
};

/* ---- runs ---- */

/* Once its time has passed, and something later is written, that is the end.  Before, nothing later
 * can be in a run that has been looked at, and perhaps the ring will have to find the end. */
static int look_for_end(struct replay *replay)
{
	struct history_run later;
	int r;

	if (!replay->until_ns || replay->has_end || clock_wall_ns() <= replay->until_ns)
		return 0;
	r = history_reader_open_since(&replay->end, replay->reader.history, replay->until_ns + 1);
	if (r == 0)
		r = history_reader_next(&replay->end, &later);
	replay->has_end = r > 0;
	if (!replay->has_end)
		history_reader_close(&replay->end);
	return r == -ENOENT ? 0 : r < 0 ? r : 0;
}

/* The next run: 1, or 0 when there is none. */
static int next_run(struct replay *replay)
{
	int r = history_reader_next(&replay->reader, &replay->run);
	int end_error = look_for_end(replay);

	return end_error < 0 ? end_error : r;
}

/* ---- opening ---- */

/* What comes next there.  0 or -errno. */
static int read_place(struct replay *replay, struct stream_place *ret)
{
	struct history_run *run = &replay->run;
	uint8_t bytes[PACKET_HEADER_BYTES];
	struct packet_header header;
	int r = next_run(replay);

	if (r <= 0) {
		*ret = (struct stream_place){run->session, run->sequence};
		return r;
	}
	if (pread(run->fd, bytes, sizeof(bytes), (off_t)run->offset) != (ssize_t)sizeof(bytes) ||
	    packet_header_decode(bytes, &header) < 0)
		return -EBADMSG;
	*ret = (struct stream_place){header.session, header.sequence};
	return 0;
}

/* Would a reader by time have missed what came before the oldest there is?  Not if that is the first
 * message of all. */
static bool reaches(struct history *history, uint64_t since_ns)
{
	struct history_entry oldest, end;

	return history_range(history, &oldest, &end) &&
	       (oldest.time_ns <= since_ns + NS_PER_MS || oldest.sequence <= SEQUENCE_FIRST);
}

static int open_reader(struct replay *replay, struct history *history,
		       const struct replay_range *range)
{
	int r;

	if (range->has_from && range->sequence)
		r = history_reader_open_at(&replay->reader, history, range->session,
					   range->sequence);
	else if (range->has_from)
		r = history_reader_open_oldest(&replay->reader, history);
	else if (range->may_miss || reaches(history, range->since_ns))
		r = history_reader_open_since(&replay->reader, history, range->since_ns);
	else
		r = -ERANGE;
	/* Of a session nothing may be written yet. */
	return r == -ENOENT ? -EAGAIN : r;
}

int replay_open(struct history *history, const struct replay_range *range, struct replay **ret,
		struct stream_place *ret_place)
{
	struct replay *replay = calloc(1, sizeof(*replay));
	int r = replay ? open_reader(replay, history, range) : -ENOMEM;

	if (r < 0) {
		free(replay);
		return r;
	}
	replay->until_ns = range->until_ns;
	r = read_place(replay, ret_place);
	if (r < 0) {
		replay_free(replay);
		return r;
	}
	*ret = replay;
	return 0;
}

void replay_free(struct replay *replay)
{
	history_reader_close(&replay->reader);
	if (replay->has_end)
		history_reader_close(&replay->end);
	free(replay);
}

/* ---- sending ---- */

/* What may be sent of the run. */
static size_t bytes_allowed(const struct replay *replay)
{
	uint64_t bytes = replay->run.length;

	if (replay->has_end)
		bytes = history_reader_is_before(&replay->reader, &replay->end)
				? u64_min(bytes,
					  history_reader_distance(&replay->reader, &replay->end))
				: 0;
	return (size_t)u64_min(bytes, PIECE_BYTES);
}

static enum replay_outcome send_piece(struct replay *replay, int fd, size_t bytes, size_t *ret_sent,
				      int *ret_err)
{
	off_t offset = (off_t)replay->run.offset;
	ssize_t sent;

	do
		sent = sendfile(fd, replay->run.fd, &offset, bytes);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno == EAGAIN)
		return REPLAY_BLOCKED;
	if (sent <= 0) {
		*ret_err = sent < 0 ? errno : EIO; /* the file has become shorter */
		return REPLAY_FAILED;
	}
	*ret_sent = (size_t)sent;
	history_reader_advance(&replay->reader, (uint64_t)sent);
	replay->run.offset += (uint64_t)sent;
	replay->run.length -= (uint64_t)sent;
	return REPLAY_MORE;
}

static enum replay_outcome send_some(void *owner, int fd, size_t *ret_sent,
				     struct stream_place *ret_place, int *ret_err)
{
	struct replay *replay = owner;
	enum replay_outcome outcome = REPLAY_AT_END;
	size_t bytes;
	int r = 1;

	if (!replay->run.length)
		r = next_run(replay);
	if (r == -ERANGE)
		return REPLAY_GONE;
	if (r < 0) {
		*ret_err = -r;
		return REPLAY_FAILED;
	}
	bytes = bytes_allowed(replay);
	if (r > 0 && !bytes)
		return REPLAY_OVER;
	if (r > 0)
		outcome = send_piece(replay, fd, bytes, ret_sent, ret_err);
	if (replay->run.length)
		return outcome;
	*ret_place = (struct stream_place){replay->run.session, replay->run.sequence};
	return r > 0 ? REPLAY_SEAM : REPLAY_AT_END;
}

static void free_replay(void *owner)
{
	replay_free(owner);
}

const struct subscriber_replay replay_of_history = {
	.send = send_some,
	.free = free_replay,
};
