// SPDX-License-Identifier: MIT
/*
 * Copying what came between two times out of history files, as they lie, into one framed file.
 *
 * Whole messages are copied.  Where a session ends and the next one begins, an end packet comes
 * between them, as subscribers get it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "history_file/history_index.h"

struct history_copy {
	int fd;                      /* the caller's */
	uint64_t since_ns, until_ns; /* wall clock; until_ns 0: no end */
	uint64_t bytes;              /* ro: copied so far */
	struct history_entry end;    /* private: of the file before, if anything of it was copied */
};

/* Into `fd`, from where it stands. */
void history_copy_begin(struct history_copy *copy, int fd, uint64_t since_ns, uint64_t until_ns);

/* The next file, which is the oldest one first; index_fd -1: it has no index.  0, or -errno with a
 * message: -EBADMSG: it is not as it was written; else of reading or writing. */
must_check int history_copy_add(struct history_copy *copy, int fd, int index_fd,
				struct errmsg *err);
