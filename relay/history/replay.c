// SPDX-License-Identifier: MIT
/*
 * Runs of a history, sent in pieces.
 *
 * A run is sent to the end that it had when it was looked at: there the ring is asked.  It has what
 * comes next as soon as the run that is left has been short.
 *
 * Its loop never waits for the disk.  What is not in the page cache, and whatever else has to be
 * read, is asked for (replay_read.h), and the replay rests until it is there.
 */
#include "history/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/packet_header.h"
#include "history/history.h"
#include "history/history_cache.h"
#include "history/history_delay.h"
#include "history/history_reader.h"
#include "history/replay_read.h"
#include "net/token_bucket.h"
#include "packet/packet.h"

enum {
	PIECE_BYTES = 1 << 20, /* sent in one turn, so that all others have theirs */
	RATE_PARTS = 10,       /* of a second's bytes, at once */
};

struct replay {
	struct history_reader reader;
	struct history_run run; /* what is left of the one in hand */
	struct replay_format format;
	struct replay_block block; /* of it, and not sent yet; always empty in the framed format */
	uint64_t block_offset;     /* where in the file what is in the block begins */
	uint64_t block_sent;       /* bytes of it that have been sent */
	uint64_t passed_over;      /* bytes from here on that the socket has; nothing is in hand */
	bool is_inside;            /* the socket has a part of a packet */
	struct token_bucket rate;  /* bytes; they are owed where more were sent */
	struct history_reader end; /* with has_end: nothing from here on */
	bool has_end;
	uint64_t until_ns;             /* wall clock; 0: none */
	struct history_delay *delay;   /* nothing from its end on yet; NULL: none */
	void (*on_freed)(void *owner); /* NULL: nobody is told */
	void *owner;
	struct replay_read *read; /* owned */
	bool is_reading;          /* it rests until that is done, */
	bool is_ahead;            /* or goes on: that is wanted next */
	bool has_looked;          /* for the end, behind the run in hand */
	int error;                /* of reading, not told yet: an errno; 0: none */
	void (*wake)(void *subscriber);
	void *subscriber;
};

/* ---- asking the disk ---- */

static void take_reader(struct history_reader *reader, struct history_reader *from)
{
	const struct history_reader before = *reader;

	*reader = *from;
	*from = before;
}

static void take_result(struct replay *replay, struct replay_read *read, bool result)
{
	if (read->wish == REPLAY_WANTS_PAGES) {
		replay->run.is_unseen = result;
		replay->run.ready_to = read->offset + read->bytes;
	} else if (read->wish == REPLAY_WANTS_NEXT) {
		take_reader(&replay->reader, &read->reader);
		replay->run.ready_to = replay->reader.offset + read->bytes;
	} else {
		replay->has_looked = true;
		replay->has_end = result;
		if (result)
			take_reader(&replay->end, &read->reader);
	}
}

static void take_read(void *owner)
{
	struct replay *replay = owner;
	struct replay_read *read = replay->read;
	int r = read->read.result;

	replay->is_reading = false;
	/* What failed ahead is asked for again when it is needed. */
	replay->error = r < 0 && !replay->is_ahead ? -r : 0;
	replay->is_ahead = false;
	if (r >= 0)
		take_result(replay, read, r > 0);
	if (replay->wake)
		replay->wake(replay->subscriber);
}

/* The rest of the wish is set.  MORE: it has been done at once.  RESTS: it comes, or has failed. */
static enum replay_outcome ask(struct replay *replay, enum replay_wish wish)
{
	struct history_reader *from = wish == REPLAY_WANTS_END ? NULL : &replay->reader;

	replay->read->wish = wish;
	replay->is_reading = true;
	return replay_read_begin(replay->read, from) && !replay->error ? REPLAY_MORE : REPLAY_RESTS;
}

/* Something is to be asked for.  True: what was asked for ahead comes first. */
static bool must_wait(struct replay *replay)
{
	replay->is_ahead = false;
	return replay->is_reading;
}

static uint64_t bytes_ahead(const struct replay *replay)
{
	return history_bytes_ahead(replay->reader.history);
}

/* Of the run in hand, as many as it has. */
static enum replay_outcome ask_for_pages(struct replay *replay, uint64_t offset, uint64_t bytes)
{
	if (must_wait(replay))
		return REPLAY_RESTS;
	replay->read->offset = offset;
	replay->read->bytes = u64_min(bytes, replay->run.offset + replay->run.length - offset);
	return ask(replay, REPLAY_WANTS_PAGES);
}

/* ---- runs ---- */

/* Once its time has passed, and something later is written, that is the end.  Before, nothing later
 * can be in a run that has been looked at, and perhaps the ring will have to find the end. */
static bool must_look_for_end(const struct replay *replay)
{
	return replay->until_ns && !replay->has_end && !replay->has_looked &&
	       clock_wall_ns() > replay->until_ns;
}

/* The next run.  MORE: it is in hand, or has length 0; AT_END: there is none. */
static enum replay_outcome next_run(struct replay *replay, struct replay_progress *ret)
{
	uint64_t ready_to = replay->run.ready_to;
	int r = 0;

	if (must_wait(replay))
		return REPLAY_RESTS;
	/* The end is looked for behind the run that was looked at before. */
	if (!replay->has_looked)
		r = history_reader_next_open(&replay->reader, &replay->run);
	replay->run.ready_to = ready_to;
	if (r == -EINPROGRESS) {
		replay->read->bytes = bytes_ahead(replay);
		return ask(replay, REPLAY_WANTS_NEXT);
	}
	if (r < 0) {
		ret->err = -r;
		return r == -ERANGE ? REPLAY_GONE : REPLAY_FAILED;
	}
	if (must_look_for_end(replay)) {
		replay->read->until_ns = replay->until_ns;
		return ask(replay, REPLAY_WANTS_END);
	}
	replay->has_looked = false;
	return replay->run.length ? REPLAY_MORE : REPLAY_AT_END;
}

/* ---- opening ---- */

static struct replay *new_replay(struct history *history, const struct replay_format *format,
				 uint64_t until_ns, uint64_t rate)
{
	struct replay *replay = calloc(1, sizeof(*replay));

	if (!replay)
		return NULL;
	replay->read = replay_read_new(history, take_read, replay);
	if (!replay->read) {
		free(replay);
		return NULL;
	}
	replay->format = *format;
	replay->until_ns = until_ns;
	token_bucket_init(&replay->rate, rate, rate / RATE_PARTS + 1);
	return replay;
}

int replay_begin(struct history *history, const struct replay_range *range,
		 const struct replay_format *format, struct replay_start *start,
		 struct replay **ret)
{
	struct replay *replay = new_replay(history, format, range->until_ns, range->rate);
	int r = replay ? 0 : -ENOMEM;

	if (r == 0 && range->delay_ns)
		r = history_delay_open(history, range->delay_ns, &replay->delay);
	if (r < 0) {
		if (replay)
			replay_free(replay);
		replay_start_close(start);
		return r;
	}
	take_reader(&replay->reader, &start->reader);
	replay->has_end = history_reader_is_open(&start->end);
	take_reader(&replay->end, &start->end);
	*ret = replay;
	return 0;
}

static bool is_framed(const struct replay *replay)
{
	return replay->format.encoder->format == FORMAT_FRAMED;
}

int replay_resume(struct history *history, const struct kept_replay *kept,
		  const struct replay_format *format, struct replay **ret)
{
	const struct history_folder *folder = &history->folder;
	struct replay *replay;
	int r;

	if (kept->device != folder->device || kept->inode != folder->inode)
		return -ERANGE;
	replay = new_replay(history, format, kept->until_ns, kept->rate);
	if (!replay)
		return -ENOMEM;
	r = history_reader_set_place(&replay->reader, history, kept->place.file,
				     kept->place.offset);
	if (r == 0 && kept->delay_ns)
		r = history_delay_open(history, kept->delay_ns, &replay->delay);
	if (r < 0) {
		replay_free(replay);
		return r;
	}
	replay->passed_over = kept->place.sent;
	replay->is_inside = kept->place.is_inside && (replay->passed_over || is_framed(replay));
	*ret = replay;
	return 0;
}

void replay_set_owner(struct replay *replay, void (*on_freed)(void *owner), void *owner)
{
	replay->on_freed = on_freed;
	replay->owner = owner;
}

void replay_free(struct replay *replay)
{
	history_reader_close(&replay->reader);
	if (replay->has_end)
		history_reader_close(&replay->end);
	history_delay_close(&replay->delay);
	replay_block_clear(&replay->block);
	replay_read_drop(&replay->read);
	if (replay->on_freed)
		replay->on_freed(replay->owner);
	free(replay);
}

/* ---- sending ---- */

/* What of the run lies before that. */
static uint64_t bytes_before(const struct replay *replay, const struct history_reader *end)
{
	if (!history_reader_is_open(end) || !history_reader_is_before(&replay->reader, end))
		return 0;
	return u64_min(replay->run.length, history_reader_distance(&replay->reader, end));
}

/* What may be sent of the run; it ends between two packets. */
static uint64_t bytes_allowed(const struct replay *replay)
{
	uint64_t bytes = replay->run.length;

	if (replay->has_end)
		bytes = bytes_before(replay, &replay->end);
	if (replay->delay)
		bytes = u64_min(bytes, bytes_before(replay, &replay->delay->end));
	return bytes;
}

bool replay_is_over(const struct replay *replay)
{
	return replay->has_end && !history_reader_is_before(&replay->reader, &replay->end);
}

static void advance(struct replay *replay, uint64_t bytes)
{
	history_reader_advance(&replay->reader, bytes);
	replay->run.offset += bytes;
	replay->run.length -= bytes;
}

/* That may be sent at once. */
static uint64_t piece_bytes(const struct replay *replay)
{
	uint64_t part = replay->rate.per_second / RATE_PARTS + 1;

	return replay->rate.per_second ? u64_min(part, PIECE_BYTES) : PIECE_BYTES;
}

/* As it lies. */
static enum replay_outcome send_file(struct replay *replay, int fd, struct replay_progress *ret)
{
	uint64_t allowed = bytes_allowed(replay);
	size_t bytes = (size_t)history_cached(&replay->run, replay->run.offset,
					      u64_min(allowed, piece_bytes(replay)));
	off_t offset = (off_t)replay->run.offset;
	ssize_t sent;

	if (!bytes)
		return ask_for_pages(replay, replay->run.offset, bytes_ahead(replay));
	sent = TEMP_FAILURE_RETRY(sendfile(fd, replay->run.fd, &offset, bytes));
	if (sent < 0 && errno == EAGAIN)
		return REPLAY_BLOCKED;
	if (sent <= 0) {
		ret->err = sent < 0 ? errno : EIO; /* the file has become shorter */
		return REPLAY_FAILED;
	}
	ret->sent = (size_t)sent;
	advance(replay, (uint64_t)sent);
	replay->is_inside = ret->sent < allowed;
	return REPLAY_MORE;
}

/* The next packets go into the block.  MORE: they are there, or there was nothing to send of
 * them. */
static enum replay_outcome fill_block(struct replay *replay, struct replay_progress *ret)
{
	uint64_t taken, missed;
	int r;

	replay->block_offset = replay->run.offset;
	replay->block_sent = 0;
	r = replay_block_fill(&replay->block, &replay->format, &replay->run, bytes_allowed(replay),
			      &taken, &missed);
	if (r == -EINPROGRESS)
		return ask_for_pages(replay, replay->run.offset,
				     u64_max(taken, bytes_ahead(replay)));
	if (r < 0) {
		ret->err = -r;
		return REPLAY_FAILED;
	}
	advance(replay, taken);
	ret->missed += missed;
	return missed && !replay->format.passes_gaps ? REPLAY_GONE : REPLAY_MORE;
}

static enum replay_outcome send_block(struct replay *replay, int fd, struct replay_progress *ret)
{
	struct replay_block *block = &replay->block;
	size_t sent;
	int r = replay_block_send(block, fd, &replay->run, &sent);

	ret->sent += sent;
	replay->block_sent += sent;
	if (r == -EINPROGRESS)
		return ask_for_pages(replay, block->payload_offset,
				     u64_min(block->payload_left, bytes_ahead(replay)));
	if (r < 0) {
		ret->err = -r;
		return REPLAY_FAILED;
	}
	return r ? REPLAY_MORE : REPLAY_BLOCKED;
}

/* In another format. */
static enum replay_outcome send_encoded(struct replay *replay, int fd, struct replay_progress *ret)
{
	enum replay_outcome outcome = REPLAY_MORE;

	while (outcome == REPLAY_MORE && ret->sent < piece_bytes(replay)) {
		if (!replay_block_is_empty(&replay->block))
			outcome = send_block(replay, fd, ret);
		else if (bytes_allowed(replay))
			outcome = fill_block(replay, ret);
		else
			break;
	}
	replay->is_inside = !replay_block_is_empty(&replay->block);
	return outcome;
}

/* Who had to wait for the disk has what comes next brought in while it sends.  Where that is in the
 * page cache anyhow, it waits no longer. */
static void read_ahead(struct replay *replay)
{
	const struct history_run *run = &replay->run;
	uint64_t from = run->ready_to, end = run->offset + run->length;
	uint64_t bytes = u64_min(bytes_ahead(replay), end - u64_min(end, from));

	if (!from || !bytes || run->is_unseen || replay->is_reading || from > run->offset + bytes)
		return;
	if (history_is_warm(&replay->reader, from, bytes)) {
		replay->run.ready_to = 0;
		return;
	}
	(void)ask_for_pages(replay, from, bytes);
	replay->is_ahead = replay->is_reading;
}

static enum replay_outcome send_run(struct replay *replay, int fd, struct replay_progress *ret)
{
	read_ahead(replay);
	if (is_framed(replay))
		return send_file(replay, fd, ret);
	return send_encoded(replay, fd, ret);
}

/* Nothing of a run is in hand: looks for more.  MORE: it is there. */
static enum replay_outcome find_more(struct replay *replay, struct replay_progress *ret)
{
	enum replay_outcome outcome = REPLAY_MORE;

	while (outcome == REPLAY_MORE && (!replay->run.length || replay->has_looked))
		outcome = next_run(replay, ret);
	if (outcome == REPLAY_AT_END && replay->delay)
		return REPLAY_RESTS;
	if (outcome == REPLAY_MORE && !bytes_allowed(replay))
		return replay_is_over(replay) ? REPLAY_OVER : REPLAY_RESTS;
	return outcome;
}

/* Of one that rests between two packets: what comes next, if that needs no disk. */
static struct stream_place find_next(const struct replay *replay)
{
	const struct history_run *run = &replay->run;
	uint8_t bytes[PACKET_HEADER_BYTES];
	struct packet_header header;

	if (!run->length)
		return (struct stream_place){run->session, run->sequence};
	if (!history_read_cached(run, run->offset, bytes, sizeof(bytes)) ||
	    packet_header_decode(bytes, &header) < 0)
		return (struct stream_place){0};
	return (struct stream_place){header.session, header.sequence};
}

/* Reading has failed since it was called last. */
static enum replay_outcome tell_error(struct replay *replay, struct replay_progress *ret)
{
	ret->err = replay->error;
	replay->error = 0;
	return ret->err == ERANGE ? REPLAY_GONE : REPLAY_FAILED;
}

static void pass_over_file(struct replay *replay)
{
	uint64_t allowed = bytes_allowed(replay);
	uint64_t bytes = u64_min(allowed, replay->passed_over);

	advance(replay, bytes);
	replay->passed_over -= bytes;
	replay->is_inside = bytes < allowed;
}

static void pass_over_block(struct replay *replay)
{
	uint64_t dropped = replay_block_drop(&replay->block, replay->passed_over);

	replay->block_sent += dropped;
	replay->passed_over -= dropped;
	replay->is_inside = !replay_block_is_empty(&replay->block);
}

/* Makes anew what another process has sent, and leaves it out.  MORE: done. */
static enum replay_outcome pass_over(struct replay *replay, struct replay_progress *ret)
{
	enum replay_outcome outcome = REPLAY_MORE;

	while (outcome == REPLAY_MORE && replay->passed_over) {
		outcome = find_more(replay, ret);
		if (outcome != REPLAY_MORE)
			break;
		if (is_framed(replay))
			pass_over_file(replay);
		else
			outcome = fill_block(replay, ret);
		if (!replay_block_is_empty(&replay->block))
			pass_over_block(replay);
	}
	if (outcome != REPLAY_AT_END && outcome != REPLAY_OVER)
		return outcome;
	ret->err = EBADMSG; /* so much was there once */
	return REPLAY_FAILED;
}

/* The disk, or its rate. */
static bool must_rest(const struct replay *replay, uint64_t now_ns)
{
	return (replay->is_reading && !replay->is_ahead) ||
	       token_bucket_wait_ns(&replay->rate, now_ns, 1);
}

static enum replay_outcome send_some(void *owner, int fd, struct replay_progress *ret)
{
	struct replay *replay = owner;
	enum replay_outcome outcome = REPLAY_MORE;
	uint64_t now_ns = clock_mono_ns();
	int r = replay->delay ? history_delay_look(replay->delay) : 0;

	if (r < 0) {
		ret->err = -r;
		return REPLAY_FAILED;
	}
	if (must_rest(replay, now_ns))
		return REPLAY_RESTS;
	if (replay->error)
		return tell_error(replay, ret);
	if (replay->passed_over)
		outcome = pass_over(replay, ret);
	if (outcome == REPLAY_MORE && replay_block_is_empty(&replay->block))
		outcome = find_more(replay, ret);
	if (outcome == REPLAY_MORE)
		outcome = send_run(replay, fd, ret);
	token_bucket_take(&replay->rate, now_ns, ret->sent);
	if (outcome == REPLAY_RESTS && replay->error)
		return tell_error(replay, ret);
	ret->place = (struct stream_place){replay->run.session, replay->run.sequence};
	if (outcome == REPLAY_RESTS)
		ret->place = replay->is_reading ? (struct stream_place){0} : find_next(replay);
	if (outcome == REPLAY_MORE && !replay->run.length && !replay->is_inside && !replay->delay)
		return REPLAY_SEAM;
	return outcome;
}

static bool rests(void *owner)
{
	struct replay *replay = owner;

	if (must_rest(replay, clock_mono_ns()))
		return true;
	if (!replay->delay || history_delay_look(replay->delay) < 0)
		return false;
	return replay_block_is_empty(&replay->block) &&
	       !(history_reader_is_open(&replay->delay->end) &&
		 history_reader_is_before(&replay->reader, &replay->delay->end));
}

static void attend(void *owner, void (*wake)(void *subscriber), void *subscriber)
{
	struct replay *replay = owner;

	replay->wake = wake;
	replay->subscriber = subscriber;
}

static bool is_inside(const void *owner)
{
	return ((const struct replay *)owner)->is_inside;
}

static bool is_cut_off(const void *owner)
{
	return history_reader_is_cut_off(&((const struct replay *)owner)->reader);
}

static void capture(const void *owner, struct kept_replay *ret)
{
	const struct replay *replay = owner;
	const struct history_folder *folder = &replay->reader.history->folder;
	bool has_block = !replay_block_is_empty(&replay->block);

	*ret = (struct kept_replay){
		.device = folder->device,
		.inode = folder->inode,
		.until_ns = replay->until_ns,
		.delay_ns = replay->delay ? replay->delay->delay_ns : 0,
		.rate = replay->rate.per_second,
		.place =
			{
				.file = history_reader_file(&replay->reader),
				.offset = has_block ? replay->block_offset : replay->reader.offset,
				.sent = has_block ? replay->block_sent : replay->passed_over,
				.is_inside = replay->is_inside,
			},
	};
}

static void free_replay(void *owner)
{
	replay_free(owner);
}

const struct subscriber_replay replay_of_history = {
	.attend = attend,
	.send = send_some,
	.is_inside = is_inside,
	.rests = rests,
	.is_cut_off = is_cut_off,
	.capture = capture,
	.free = free_replay,
};
