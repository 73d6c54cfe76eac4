// SPDX-License-Identifier: MIT
/*
 * What waits for the disk, in a thread of its own: writing back, closing files for good, retiring
 * old ones, and keeping the page cache clean (history_cache.h).  So the writing thread waits for
 * room in the page cache only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct history;

/* In a thread of its own.  Waits until what has been written is on the disk (is_due;
 * fdatasync(2)), or only begins to write it (sync_file_range(2)).  Closes files for good, once
 * they are on the disk, and retires those over the limits.  now_ns: wall clock.  0, or the first
 * -errno; what failed is as a crash would leave it. */
must_check int history_sync(struct history *history, bool is_due, uint64_t now_ns);

/* Waits until all that history_open() has found is on the disk, names as well.  Before anything is
 * written, and before history_sync().  0 or -errno. */
must_check int history_sync_found(struct history *history);

/* ---- for history_writer.c ---- */

/* These are being written from now on; they stay the writer's.  -1: none. */
void history_set_open(struct history *history, int fd, int index_fd);
