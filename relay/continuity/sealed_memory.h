// SPDX-License-Identifier: MIT
/*
 * Memory that outlives the process.  Read this header first in continuity/.  page_room.h says which
 * pages of such memory are taken.
 *
 * It is a file in memory (memfd_create(2)), and the next process gets its descriptor.  Its size is
 * sealed: nobody who has the descriptor can cut it, so nobody who has mapped it can fault.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* `bytes` bytes of zeros, to be mapped and written; their number is sealed.  *ret_fd is the
 * caller's and close-on-exec.  `name` shows in /proc/PID/maps.  Returns 0, or -errno with *ret_fd
 * -1. */
must_check int sealed_memory_new(const char *name, uint64_t bytes, int *ret_fd);

/* The same in steps, for what is written once and then only read.  Begin gives an empty file, write
 * appends to it.  Finish seals its length and its bytes.  Each returns 0 or -errno; a file that
 * could not be written or sealed stays the caller's. */
must_check int sealed_memory_begin(const char *name, int *ret_fd);
must_check int sealed_memory_write(int fd, const void *bytes, size_t count);
must_check int sealed_memory_finish(int fd);

/* All of that at once.  Returns 0, or -errno with *ret_fd -1. */
must_check int sealed_memory_copy(const char *name, const void *bytes, size_t count, int *ret_fd);

/* Maps the whole of one, to be read only; the caller unmaps it.  0; -EBADMSG: its size is not
 * sealed, or there is nothing in it; or -errno of mmap(2). */
must_check int sealed_memory_map(int fd, uint8_t **ret, size_t *ret_bytes);
