// SPDX-License-Identifier: MIT
/*
 * Appends to a history: the bytes of a framed stream, into one file after the other.
 *
 * A file begins with a heartbeat that says what comes next.  It is gone on with until it is full,
 * or has had a day or a tenth of max_age, or the session changes; and it ends between two
 * messages.  So whole files can be retired in time.  Readers are shown whole messages only, once
 * they are written.  The end of a session is left out: after a restart it may go on.
 *
 * All calls are the writing thread's, and wait for the disk.  After one that has failed,
 * history_writer_end() is next, and then it may go on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "history_file/history_index.h"

struct history;
struct history_file;

enum {
	HISTORY_PENDING_ENTRIES = 64,
};

struct history_writer {
	struct history *history;
	struct history_file *file;  /* private: NULL: the next packet begins one; referenced */
	int fd, index_fd;           /* ro: of that file; -1: none */
	uint64_t begun_ns;          /* private: wall clock; when it was made */
	uint64_t max_bytes, max_ns; /* private: after which the next one begins */
	uint64_t offset;            /* private: of the next byte, written or in hand */
	uint64_t written;           /* ro: bytes of the file that are written */

	/* What has been appended.  Private. */
	uint64_t packet_left; /* bytes of the packet in hand that are to come */
	bool is_skipping;     /* it has been appended before */
	bool is_message_open; /* the next packet goes on with a message */
	uint32_t session;     /* 0: nothing yet */
	uint64_t next_seq;
	/* Readers are shown what history_writer_commit() has brought to the disk, and no more.  Rw,
	 * before anything is appended. */
	bool shows_committed;
	bool is_new;           /* private: the name of the file is not on the disk yet */
	uint64_t gaps, missed; /* ro: how many gap packets, and the messages in them */
	uint64_t total_bytes;  /* ro: written to all files */

	/* Of the index.  Private. */
	struct history_rule rule;
	uint64_t entry_count; /* written and pending */
	uint64_t pending_count;
	uint32_t crc; /* of the bytes since the newest entry */
	uint8_t pending[HISTORY_PENDING_ENTRIES * HISTORY_ENTRY_BYTES];

	/* Where the newest whole message ends, and how many entries are before it: of what has been
	 * appended, and of what is written, which is what readers are shown. */
	struct history_entry end, shown;
	uint64_t end_entry_count, shown_entry_count;
};

/* Goes on behind `end`, as history_open() has found it, or another writer has left it; session 0:
 * there is nothing yet. */
void history_writer_begin(struct history_writer *writer, struct history *history,
			  const struct history_entry *end);

/* Appends bytes of the stream, in order, and returns how many it has taken: all but a header that
 * is not whole yet, which has to be offered again with what comes behind it.  now_ns: wall clock.
 * -EPROTO: they are no framed stream that goes on from what was before; or -errno of the disk.
 * After an error, what readers are shown ends with the last whole packet that was written. */
must_check ssize_t history_writer_append(struct history_writer *writer, const uint8_t *bytes,
					 size_t count, uint64_t now_ns);

/* Waits until all whole messages that were appended are on the disk, and shows them; shown.sequence
 * is behind them.  0 or -errno: after that, nobody knows what is on the disk of them. */
must_check int history_writer_commit(struct history_writer *writer);

/* The file gets no more, also in the middle of a packet, which is then cut off; what comes next
 * begins one.  It is closed for good by history_sync().  Idempotent.  0 or -errno: on the
 * disk the file is as a crash would have left it. */
must_check int history_writer_end(struct history_writer *writer);
