// SPDX-License-Identifier: MIT
/*
 * The file that an ingest reads: a fifo, or a regular file.
 */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"
#include "source/ingest.h"

/* Is `fd` the file that is at the path now? */
bool ingest_file_is_open(const struct ingest_params *params, int fd);

/* FILE: opens it; nothing is read yet.  *ret_fd is the descriptor to be read; where the file is
 * read past the page cache, that is the pipe of *ret_direct, which is NULL before and else stays
 * so.  Both are the caller's.  0 or -errno with a message that names the path. */
int ingest_file_open(const struct ingest_params *params, const char *feed,
		     struct direct_file **ret_direct, int *ret_fd, struct errmsg *err) must_check;

/* Logs that direct I/O was refused with errno `err`. */
void ingest_file_log_indirect(const struct ingest_params *params, const char *feed, int err);
