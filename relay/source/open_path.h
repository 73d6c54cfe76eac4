// SPDX-License-Identifier: MIT
/* Opening the path of an ingest, and making sure of what is there. */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"

/* A fifo, for reading, without waiting for a writer (fifo(7)). 0 and *ret_fd, which does not block;
 * or -errno with a message that names it, -EINVAL: it is none. */
int open_fifo(const char *path, int *ret_fd, struct errmsg *err) must_check;

/* A regular file, and its length. As above. */
int open_regular(const char *path, int *ret_fd, uint64_t *ret_bytes, struct errmsg *err) must_check;
