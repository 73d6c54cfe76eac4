// SPDX-License-Identifier: MIT
/*
 * Packets on their way from a reader's thread to the feed: gathered, and written into a socket in
 * the framed format, as another relay would send them.
 *
 * A batch belongs to one thread.
 */
#pragma once

#include <nats/nats.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/packet_header.h"

enum {
	BATCH_PACKETS = 64,
	BATCH_BYTES = 256 << 10, /* then it is written; one message may be longer */
};

struct packet_batch {
	int fd;                    /* owned: a stream socket, non-blocking */
	_Atomic bool *is_stopped;  /* nobody reads any more */
	size_t count, piece_count; /* ro */
	size_t bytes;              /* ro */
	uint8_t heads[BATCH_PACKETS][PACKET_HEADER_BYTES]; /* private from here on */
	natsMsg *messages[BATCH_PACKETS];                  /* NULL: none */
	struct iovec pieces[2 * BATCH_PACKETS];
};

static inline bool packet_batch_is_full(const struct packet_batch *batch)
{
	return batch->count == BATCH_PACKETS || batch->bytes >= BATCH_BYTES;
}

/* Adds a packet to a batch that is not full.  Its payload is that of the message, which is the
 * batch's from now on; NULL: it has none. */
void packet_batch_add(struct packet_batch *batch, const struct packet_header *header,
		      natsMsg *message);

/* Writes all, and waits for room as long as it takes.  False: it was stopped, or nobody reads. */
must_check bool packet_batch_write(struct packet_batch *batch);

/* Drops what is not written, and closes the socket. */
void packet_batch_fini(struct packet_batch *batch);
