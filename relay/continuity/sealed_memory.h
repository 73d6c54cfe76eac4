// SPDX-License-Identifier: MIT
/*
 * Memory that outlives the process.  Read this header first in continuity/.  page_room.h says which
 * pages of such memory are taken.
 *
 * It is a file in memory (memfd_create(2)), and the next process gets its descriptor.  Its size is
 * sealed: nobody who has the descriptor can cut it, so nobody who has mapped it can fault.
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"

/* `bytes` bytes of zeros, to be mapped and written; their number is sealed.  *ret_fd is the
 * caller's and close-on-exec.  `name` shows in /proc/PID/maps.  Returns 0, or -errno with *ret_fd
 * -1. */
must_check int sealed_memory_new(const char *name, uint64_t bytes, int *ret_fd);

/* The same in two steps, for what is written once and then only read.  Begin gives an empty file,
 * which the caller writes.  Finish seals its length and its bytes.  Each returns 0 or -errno; a
 * file that could not be sealed stays the caller's. */
must_check int sealed_memory_begin(const char *name, int *ret_fd);
must_check int sealed_memory_finish(int fd);
