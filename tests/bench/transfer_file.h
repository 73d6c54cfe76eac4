// SPDX-License-Identifier: MIT
/*
 * The file of the transfer bench: made of position-coded bytes (tools/shared/positions.h), and put
 * into or out of the page cache. All return 0 or -errno.
 */
#ifndef BENCH_TRANSFER_FILE_H
#define BENCH_TRANSFER_FILE_H

#include <stdint.h>

/* The seed of the positions. */
#define TRANSFER_SEED 4

/* Writes it anew, down to the disk. */
int transfer_file_make(const char *path, uint64_t bytes);

/* Reads all of it, or has the kernel drop all of it (fsync first, since dirty pages stay). */
int transfer_file_warm(const char *path);
int transfer_file_cool(const char *path);

/* How much of it is in the page cache, 0 to 1, by mincore(2). */
int transfer_file_cached(const char *path, double *ret_share);

#endif
