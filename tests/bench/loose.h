// SPDX-License-Identifier: MIT
/*
 * Bytes that arrive as from a network card. A card puts each segment of 1448 bytes on a page of its
 * own, where loopback hands over fragments of up to 32 KiB. Here the publisher puts each piece on a
 * page of its own, and splices the pages into its socket. So a row needs no card, and every run has
 * the same pieces.
 */
#ifndef BENCH_LOOSE_H
#define BENCH_LOOSE_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct loose {
	int pipe[2]; /* -1: not open */
	uint8_t *pages;
	struct iovec *pieces; /* one for each page */
	uint64_t count;       /* pieces of the chunk */
	uint64_t next;        /* the piece that goes into the pipe next */
	uint64_t held;        /* bytes that are in the pipe */
};

/* For loose_close() before loose_open(). */
#define LOOSE_CLOSED                                                                               \
	(struct loose)                                                                             \
	{                                                                                          \
		.pipe = { -1, -1 }                                                                 \
	}

/*
 * Copies the chunk to pages, in pieces of piece_bytes (1 to a page); the last piece may be shorter.
 * The bytes never change after that, so sockets may hold the pages as long as they like. Returns 0
 * or -errno; -EOPNOTSUPP where the kernel puts two pieces on one page, since the row would then
 * measure something else. loose_close() is owed in both cases.
 */
int loose_open(struct loose *loose, const uint8_t *chunk, uint64_t chunk_bytes,
	       uint64_t piece_bytes);
void loose_close(struct loose *loose);

/*
 * Sends the next bytes of the chunk, which begins anew behind its end, as far as the socket takes
 * them; never beyond the end of the chunk. Returns the bytes, or -1 with errno, as send(2) does.
 */
ssize_t loose_send(struct loose *loose, int socket_fd);

#endif
