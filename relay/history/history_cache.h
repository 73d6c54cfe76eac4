// SPDX-License-Identifier: MIT
/*
 * What a history leaves in the page cache: the newest HISTORY_CACHED_BYTES of all its files, for
 * those who read right behind the live edge.  What is older is dropped from it, once: whoever
 * brings it in again sees to it that it goes again.
 */
#pragma once

#include <stdint.h>

struct history;

enum {
	HISTORY_CACHED_BYTES = 64 << 20,
};

/* The sync thread's: drops what has become older, once it is on the disk (posix_fadvise(2),
 * POSIX_FADV_DONTNEED, which leaves what is dirty).  Waits for the disk.  What cannot be dropped
 * stays until the kernel needs the room. */
void history_drop_old(struct history *history);
