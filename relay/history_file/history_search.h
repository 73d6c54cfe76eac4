// SPDX-License-Identifier: MIT
/*
 * Finding a packet in a history file: by its index, and by a scan from there.
 *
 * `index` is that of the file, mapped; count 0: there is none.  Where it is not what it should be,
 * the whole file is scanned.  `end` is where the packets of the file end.  Returns 0, and *ret is
 * where the packet begins, or `end` where there is none; -EBADMSG: the file is not as it was
 * written; or -errno of pread(2).
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "history_file/history_index.h"

/* The first packet that holds the message or a part of it, or tells that it is missing. */
must_check int history_search_sequence(int fd, const struct history_index *index, uint64_t end,
				       uint64_t sequence, uint64_t *ret);

/* The first packet that starts a message and came then or later (wall clock).  A clock that was
 * set back is taken to have stood still. */
must_check int history_search_time(int fd, const struct history_index *index, uint64_t end,
				   uint64_t time_ns, uint64_t *ret);

/* The first packet that came later than that, also if it goes on with a message. */
must_check int history_search_later(int fd, const struct history_index *index, uint64_t end,
				    uint64_t time_ns, uint64_t *ret);
