// SPDX-License-Identifier: MIT
/*
 * Reading a history from any moment on, in runs that lie in a file as they go to a framed
 * subscriber.
 *
 *   struct history_reader reader;
 *   struct history_run run;
 *
 *   r = history_reader_open_at(&reader, history, session, sequence);
 *   while ((r = history_reader_next(&reader, &run)) > 0) {
 *           sent = sendfile(socket, run.fd, &(off_t){run.offset}, some of run.length);
 *           history_reader_advance(&reader, sent);
 *   }
 *   r == 0: all that is written has been read; what comes next is run.session and run.sequence
 *
 * A run never ends in the middle of a packet, but a reader may stop anywhere in it.  A file
 * begins with a heartbeat, so a reader that goes on into the next file gets one.  It says nothing
 * new. Gaps are gap packets.
 *
 * Opening one waits for the disk: one index, and twice what lies between two of its entries; so
 * much more where only heartbeats came for a long time.  A reader is used in one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "history_file/history_index.h"

struct history;
struct history_file;

struct history_reader {
	struct history *history;   /* ro */
	struct history_file *file; /* private: referenced; NULL: closed */
	uint64_t offset;           /* ro: of the next byte to read */
};

/* The number of the file that it stands in. */
uint64_t history_reader_file(const struct history_reader *reader);

/* Bytes that may be read, or sent by sendfile(2), in any pieces. */
struct history_run {
	int fd; /* for pread(2) and sendfile(2); open as long as the reader stands in that file */
	uint64_t offset;   /* where the reader stands */
	uint64_t length;   /* not 0 */
	uint32_t session;  /* behind this run: of what comes next, */
	uint64_t sequence; /* and its sequence */
	bool is_unseen;    /* what of it is in the page cache, nobody can tell */

	/* Where reading has had to wait for the disk: so far it has been brought in.  What is
	 * behind that is not touched, for the kernel might begin to read ahead there, and so wait.
	 * 0: nothing had to be. */
	uint64_t ready_to;

	/* history_cached()'s: what it has seen there, and until when it need not look again. */
	uint64_t seen_from, seen_to; /* offsets */
	uint64_t seen_until_ns;      /* monotonic */
};

/* At the packet that holds message `sequence`, so what that packet holds before it comes as
 * well.  A message that begins in an earlier packet comes from there.  Where the sequence lies in
 * a gap, at the gap packet.  session 0: the newest one.  Returns 0, or with the reader closed:
 * -ERANGE: it is older than the oldest there is (history_range()), or has been retired since;
 * -ENOENT: nothing of this session is recorded;
 * -EAGAIN: it is not written yet.  What comes right behind the newest packet counts as written.  So
 * does what would come behind the end of a session that is over: the reader stands at that end;
 * -EBADMSG: the file is not as it was written;
 * else -errno of open(2), mmap(2) or pread(2). */
must_check int history_reader_open_at(struct history_reader *reader, struct history *history,
				      uint32_t session, uint64_t sequence);

/* At the first packet that starts a message and came at time_ns (wall clock) or later.  At the
 * oldest where all is later.  At the end where all is earlier.  A clock that was set back is taken
 * to have stood still.  Returns 0, or as above: -ENOENT where there is no packet. */
must_check int history_reader_open_since(struct history_reader *reader, struct history *history,
					 uint64_t time_ns);

/* At the first packet that came later than time_ns, also if it goes on with a message: for reading
 * up to it.  Else as above. */
must_check int history_reader_open_behind(struct history_reader *reader, struct history *history,
					  uint64_t time_ns);

/* At the oldest packet.  Returns 0, or as above: -ENOENT where there is no packet. */
must_check int history_reader_open_oldest(struct history_reader *reader, struct history *history);

/* At this byte of the file with this number, which may be inside of a packet.  Does not wait for
 * the disk: the file is opened when it is read.  Returns 0, or with the reader closed -ERANGE:
 * there is no such file, or it does not have so many bytes. */
must_check int history_reader_set_place(struct history_reader *reader, struct history *history,
					uint64_t number, uint64_t offset);

/* What comes next, up to the end of what is written of this file.  Goes on into the next file
 * where this one has been read.  The same run again, perhaps longer, until the reader advances.
 * Returns 1; 0: what has been written has all been read, and *ret has length 0, and says what
 * comes next; or with length 0
 * -ERANGE: what comes next has been retired, because the reader took too long.  It stays where it
 * is.  It may be opened anew, and has missed what lies between;
 * else -errno of open(2). */
must_check int history_reader_next(struct history_reader *reader, struct history_run *ret);

/* The same, without waiting for the disk.  -EINPROGRESS: a file has to be opened, which
 * history_reader_next() does. */
must_check int history_reader_next_open(struct history_reader *reader, struct history_run *ret);

/* What comes next where it stands, between two packets: session, sequence and time of the packet
 * there; time 0: it is a gap, or still to be written.  Returns 0; -EBADMSG, or as above. */
must_check int history_reader_place(struct history_reader *reader, struct history_entry *ret);

/* `bytes` of the run have been read. */
void history_reader_advance(struct history_reader *reader, uint64_t bytes);

static inline bool history_reader_is_open(const struct history_reader *reader)
{
	return reader->file;
}

/* Opens one where another one stands.  It is as if both had been opened alike. */
void history_reader_copy(struct history_reader *reader, const struct history_reader *from);

/* Of the file that it stands in; open as long as it stands there. */
int history_reader_fd(const struct history_reader *reader);

/* True: `a` stands before `b`, both of the same history.  For reading up to where another one
 * stands. */
bool history_reader_is_before(const struct history_reader *a, const struct history_reader *b);

/* Bytes from `a` to `b`, which is not before it, as long as both stand in one file; else
 * UINT64_MAX. */
uint64_t history_reader_distance(const struct history_reader *a, const struct history_reader *b);

/* True: what comes behind the file that it stands in has been retired, so it cannot go on. */
bool history_reader_is_cut_off(const struct history_reader *reader);

/* Gives up the file.  Idempotent; fine for one that could not be opened. */
void history_reader_close(struct history_reader *reader);
