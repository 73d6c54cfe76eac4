// SPDX-License-Identifier: MIT
/*
 * What a history leaves in the page cache: the newest HISTORY_CACHED_BYTES of all its files, for
 * those who read right behind the live edge.  What is older is dropped from it, once.
 *
 * What readers bring in again is dropped behind them.  Where several read one file, that waits
 * until the last of them has left it, since nobody knows who of them comes there next.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct history;
struct history_file;
struct history_reader;
struct history_run;

enum {
	HISTORY_CACHED_BYTES = 64 << 20,
};

/* The sync thread's: drops what has become older, once it is on the disk (posix_fadvise(2),
 * POSIX_FADV_DONTNEED, which leaves what is dirty), and what readers have left behind.  Waits for
 * the disk.  What cannot be dropped stays until the kernel needs the room. */
void history_drop_old(struct history *history);

/* The reading thread's, before it brings in what the reader needs from `offset` on: drops what lies
 * behind that and was not there before. */
void history_drop_behind(const struct history_reader *reader, uint64_t offset);

/* The reading thread's, when the last reader has left the file, which `fd` is of: drops at once
 * what readers had brought in, however fast they read. */
void history_drop_left(struct history *history, struct history_file *file, int fd);

enum {
	HISTORY_LOOK_BYTES = 1 << 20,
};

/* How many bytes of the file of a run, from `offset` on, are in the page cache, of `bytes` and of
 * HISTORY_LOOK_BYTES: they can be read or sent without waiting for the disk (mincore(2)).  What it
 * has seen there counts for 100 ms, so that who sends in pieces looks once.  Nothing from
 * run->ready_to on.  Where it cannot be told, they are taken to be there. */
uint64_t history_cached(struct history_run *run, uint64_t offset, uint64_t bytes);

/* Reads `count` bytes of the file of a run, from `offset` on, without waiting for the disk.  False:
 * they are not in the page cache, or not in the file. */
bool history_read_cached(const struct history_run *run, uint64_t offset, void *bytes, size_t count);

/* True: `bytes` of the file of a reader, from `offset` on, are in the page cache,
 * HISTORY_LOOK_BYTES at most, and they have not come for this reader alone.  What is far ahead is
 * there, too. */
bool history_is_warm(const struct history_reader *reader, uint64_t offset, uint64_t bytes);

/* Brings `bytes` of a file, not 0, from `offset` on into the page cache.  The kernel may begin
 * to read what is behind them.  Waits for the disk.  0; -EBADMSG: the file is shorter; or
 * -errno of pread(2). */
must_check int history_bring_in(const struct history *history, int fd, uint64_t offset,
				uint64_t bytes);

/* How much a reader may have brought in at once: so much that all together have not too much. */
uint64_t history_bytes_ahead(struct history *history);

/* history_bring_in(), and looks whether they are there.  1: they are not, again and again.  So the
 * file system keeps nothing there, and from now on the runs say so. */
must_check int history_bring_in_and_look(struct history *history, int fd, uint64_t offset,
					 uint64_t bytes);
