// SPDX-License-Identifier: MIT
/*
 * History: a feed's files on disk.  Read this header first in history/.
 *
 *   0000000001.rly ... 0000000007.rly    the feed, framed, one file behind the other
 *   0000000001.idx ... 0000000007.idx    where what begins in each; see history_index.h
 *   history                              whose folder this is; see history_folder.h
 *
 *   history_writer.h    appends to the newest file, and begins the next one
 *   history_reader.h    reads from any moment on
 *   history_read.h      what readers wait for
 *   history_sync.h      what waits for the disk
 *   history_cache.h     what stays in the page cache
 *   history_recover.h   what has to be done about a file that was not closed for good
 *
 * A file holds exactly what a framed subscriber gets, in whole messages, and begins with a
 * heartbeat.  All of it belongs to one session.  A file is only ever appended to.  It is closed
 * for good when it is full, when the session ends and when relay stops, and it goes by
 * unlink(2).  So what a reader has been given stays as it is, even while a socket still refers to
 * its pages.
 *
 * One thread writes, one waits for the disk, and one reads for all readers, who are in one loop.
 * Anybody may ask for a report.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "base/list.h"
#include "history/history_folder.h"
#include "history/history_read.h"
#include "history_file/history_index.h"
#include "packet/packet.h"

struct history_params {
	const char *path;        /* of the folder */
	const char *feed;        /* whose it is */
	char framing[32];        /* of the feed, as the configuration has it */
	uint64_t max_bytes;      /* of all files, the newest one counted as full; 0: no limit */
	uint64_t max_age_ms;     /* of what is in them; 0: no limit */
	uint64_t max_file_bytes; /* a file that is longer is not gone on with */
	/* Nobody is given what is not on the disk: so what comes next is known after a
	 * power cut, too. */
	bool is_on_disk_first;
	bool goes_on; /* the feed goes on from another process, which may have given out more */
};

/* One file, and its index.  The list has a reference, and so has each reader in it. */
struct history_file {
	struct list_node node; /* in history->files while it is listed */
	uint64_t number;       /* ro: counts up from 1 */
	unsigned refs;         /* with the lock */
	bool is_complete;      /* with the lock: nothing will be appended */
	uint64_t entry_count;  /* with the lock: of the index, the end aside */
	/* Its first packet, and what is behind its last one: offset is its length, sequence the
	 * next one to come, time that of the last packet.  With the lock. */
	struct history_entry first, end;
	uint64_t dropped; /* with the lock: so far it has been dropped from the page cache */
	/* With the lock: what readers have had brought in since.  Up to dropped_behind it has been
	 * dropped behind them, but for what a socket still held. */
	uint64_t brought_from, brought_to, dropped_behind;

	/* With the lock. */
	unsigned readers;
	int fd;                        /* of its packets; -1: nobody has read for some time */
	struct list_node closing_node; /* in history->reads.closing */
};

static inline struct history_file *history_file_at(struct list_node *node)
{
	return list_entry(node, struct history_file, node);
}

/* Who waits for the disk. */
enum history_step {
	HISTORY_WRITING,
	HISTORY_SYNCING,
	HISTORY_READING,
	HISTORY_STEP_COUNT,
};

struct history {
	struct history_params params; /* ro: but for the limits, which have the lock */
	char *path;                   /* private */
	struct history_folder folder; /* ro */
	pthread_mutex_t lock;         /* held for some instructions, never over a call that waits */
	struct list files;            /* struct history_file, the oldest first */
	struct list delays;           /* struct history_delay, the reading thread's */
	struct list unsealed;         /* with the lock: struct history_unsealed */
	struct history_reads reads;   /* private */
	unsigned readers;             /* with the lock: of all files */
	bool is_unseen;               /* with the lock: nothing is kept in the page cache */
	int open_fd, open_index_fd;   /* with the lock: what is being written; -1: nothing */
	bool has_new_name;       /* with the lock: a file was made since the folder was synced */
	uint64_t next_number;    /* the writing thread's */
	uint64_t newest_retired; /* with the lock: the highest number; 0: none */
	uint64_t bytes;          /* with the lock: of files and indexes */
	/* Monotonic: since when the disk has been asked for something that it has not answered.  0:
	 * nobody waits for it.  One for each thread that does; anybody may read it. */
	_Atomic uint64_t waits_since_ns[HISTORY_STEP_COUNT];
};

/* What history_open() found. */
struct history_found {
	uint64_t files;
	uint64_t cut_bytes;       /* of a torn tail, that were cut off */
	uint64_t rebuilt;         /* indexes that were missing or wrong */
	struct history_entry end; /* behind the newest packet; session 0: there is none */
	bool is_same_boot;        /* the machine has not been started since it was last open */
	/* What the feed would have given out next: as history_keep_next() was told, or behind all
	 * there is where nobody got what was not on the disk.  session 0: it was not closed in good
	 * order, so what has been given out nobody knows. */
	struct sequence next;
};

/* Opens the folder, which is made where only its last part is missing, and locks it.  A file that
 * was not closed for good is read through: it is cut behind its last whole packet that is as it
 * was written, its index is made anew if it must be, and history_sync() closes it for good.  After
 * a start of the machine this takes as long as reading that file does.
 *
 * Errors, each with a message that says what is wrong where: -EBUSY another relay has it open, or a
 * thread of this one still waits for its disk; -EEXIST files that relay has not written; -EPERM it
 * belongs to another feed or framing; -EPROTONOSUPPORT it was written by another version; else
 * -errno.  Nothing has been changed then, but for a torn tail. */
must_check int history_open(const struct history_params *params, struct history **ret,
			    struct history_found *ret_found, struct errmsg *err);

/* The last thing before history_close(), once all is on the disk: what the feed would give out next
 * is kept for who opens it again.  session 0: nobody knows.  0; or -errno, and it is as
 * after a crash. */
must_check int history_keep_next(struct history *history, const struct sequence *next);

/* Unlocks the folder.  What has not been sealed is as a crash would have left it.  No writer and
 * no reader is left.  Clears the pointer; NULL inside is fine. */
void history_close(struct history **history);

/* Takes over other limits; they count from the next file on. */
void history_set_limits(struct history *history, const struct history_params *params);

/* How far the history reaches.  False: it has no packet.  Both: session, sequence and time of the
 * oldest packet, and of what is behind the newest one. */
bool history_range(struct history *history, struct history_entry *ret_oldest,
		   struct history_entry *ret_end);

/* For people. */
struct history_report {
	const char *path; /* of the folder; the history's */
	uint64_t files, bytes;
	struct history_entry oldest, end; /* session 0: there is no packet */
};
void history_read_report(struct history *history, struct history_report *ret);

/* ---- for history/ only ---- */

/* A file that is not listed; its reference is the caller's.  NULL: no memory. */
struct history_file *history_new_file(uint64_t number);

/* Readers are shown the file up to `end`, with so many entries.  The first time, it becomes the
 * newest one of the list; file->first is set by then. */
void history_show(struct history *history, struct history_file *file,
		  const struct history_entry *end, uint64_t entry_count);

/* The file gets no more.  Drops the caller's reference. */
void history_complete(struct history *history, struct history_file **file);

/* A file that gets no more, and is to be closed for good by history_seal(). */
struct history_unsealed {
	struct list_node node;
	uint64_t number;  /* of the file */
	int fd, index_fd; /* owned */
	uint64_t entry_count;
	struct history_entry end;
};

/* Adds one.  Takes over the descriptors, which are -1 then.  0 or -ENOMEM, nothing
 * has changed then. */
must_check int history_add_unsealed(struct history *history, uint64_t number, int *fd,
				    int *index_fd, uint64_t entry_count,
				    const struct history_entry *end);

/* The oldest one, which is the caller's; NULL: there is none. */
struct history_unsealed *history_take_unsealed(struct history *history);
void history_free_unsealed(struct history_unsealed *unsealed);

/* A thread asks the disk for something now, or it has been answered. */
void history_note_asked(struct history *history, enum history_step step);
void history_note_answered(struct history *history, enum history_step step);

/* The highest number of a file that has been retired; 0: none. */
uint64_t history_newest_retired(struct history *history);

/* The limits as they are now. */
struct history_params history_limits(struct history *history);

/* Drops a reference.  Frees the file with the last one; it is not listed and nobody reads it
 * then. */
void history_unref_file(struct history *history, struct history_file **file);

/* The sync thread's: unlinks whole files, the oldest first, until the limits hold.  The newest
 * one stays.  now_ns: wall clock.  0, or the first -errno; what could not be unlinked stays
 * listed. */
must_check int history_retire(struct history *history, uint64_t now_ns);
