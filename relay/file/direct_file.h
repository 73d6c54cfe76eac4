// SPDX-License-Identifier: MIT
/*
 * Reads a file past the page cache (O_DIRECT, open(2)) and hands its bytes out through a pipe.
 *
 * A thread of its own reads aligned blocks and writes them into the pipe, so that the disk's
 * latency is never the loop's: the pipe holds two blocks while the next one is on its way, and to
 * the loop the file looks like a fifo that ends.  Invariant: what the thread touches belongs to it
 * alone but for two numbers; it ends by itself when the file does, when it cannot be read, or when
 * nobody holds the other end of the pipe.
 *
 * Whether a file is worth it is said here too; the choice is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct direct_file;

/* Opens `path` and starts to read it at once, as far ahead as the pipe holds (2 blocks of 512 KiB
 * where the quota of pipe pages allows).  *ret_fd, non-blocking, gives the bytes and is the
 * caller's to close; EOF there is the end of the file, or of what could be read: then ask
 * direct_file_error().  0, or with nothing left open
 *   -EINVAL              the file system does not do direct I/O, or keeps its files in memory
 *   -EDQUOT, -EMFILE ..  no pipe (pipe.h)
 *   -EAGAIN, -ENOMEM     no thread, no memory
 *   -errno               what else open(2) said */
must_check int direct_file_start(const char *path, struct direct_file **ret, int *ret_fd);

/* Bytes that went into the pipe so far. */
uint64_t direct_file_bytes(const struct direct_file *file);

/* Why reading ended: 0 at the end of the file, or an errno of pread(2).  -EINVAL's positive twin
 * with no byte read says that the file system refused after all. */
int direct_file_error(const struct direct_file *file);

/* Gives up the caller's part; to be called when *ret_fd is closed.  A thread in the middle of a
 * read ends after it and frees what it holds.  NULL and a pointer to NULL are fine. */
void direct_file_release(struct direct_file **file);

/* What the kernel could give to programs without swapping: MemAvailable (proc(5)), and where
 * /proc does not show that, as in relay's unit, free memory alone (sysinfo(2)). */
uint64_t direct_file_available_memory(void);

/* True for a file that would take more than a quarter of that from the page cache. */
bool direct_file_is_large(uint64_t file_bytes, uint64_t available_bytes);
