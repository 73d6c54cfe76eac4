// SPDX-License-Identifier: MIT
/*
 * A history file that was not closed for good, or whose index is not what it should be: it is read
 * through, cut behind what is certain, and gets its index anew.  Then it can be closed for good.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "history_file/history_index.h"

struct history_recovered {
	struct history_entry first, end; /* see struct history_file */
	uint64_t entry_count;
	uint64_t cut_bytes; /* that were cut off */
	bool was_rebuilt;   /* the index was missing, wrong or another version's */
};

/* Both descriptors are open for reading and writing, and stay the caller's.  trusts_tail: whole
 * packets behind the last entry count although no CRC speaks for them, and what is before it is
 * not read again: the kernel has had them all the time.  Returns 0, not on the disk yet;
 * -ENODATA: there is no whole message; nothing has been changed, and only cut_bytes is set, to
 * all of it; -ENOMEM; or -errno, and it may be tried again. */
must_check int history_recover(int fd, int index_fd, bool trusts_tail,
			       struct history_recovered *ret);

/* For a file that history_recover() has cut, and the next one goes on with `sequence` of the same
 * session: what lies between is missing, and a gap packet at its end says so.  Changes end and
 * entry_count of *file.  0, not on the disk yet; or -errno, and it is to be recovered again. */
must_check int history_recover_gap(int fd, int index_fd, uint64_t sequence,
				   struct history_recovered *file);

/* Closes a file for good: writes its last entry behind `entry_count` others.  Both are on the disk
 * afterwards.  0 or -errno. */
must_check int history_seal(int fd, int index_fd, uint64_t entry_count,
			    const struct history_entry *end);

/* Is the file closed for good?  Then it is read no further, and *ret has what its index says
 * (was_rebuilt and cut_bytes are 0).  0; -EBADMSG: it is not; or -errno. */
must_check int history_check_sealed(int fd, int index_fd, struct history_recovered *ret);

/* pwrite(2) of all of it.  0 or -errno. */
must_check int history_write_at(int fd, uint64_t offset, const uint8_t *bytes, size_t count);
