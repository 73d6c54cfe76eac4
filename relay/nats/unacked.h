// SPDX-License-Identifier: MIT
/*
 * The messages that have been published to a stream, and of which it has not said yet that it has
 * them.  In the order in which they were published.  Pure.
 *
 * There are so many at most that a forwarder which loses its server publishes them again in no
 * time.  What waits beyond that lies in the ring of the feed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "nats/forward_id.h"

enum {
	UNACKED_MAX = 1024,
	UNACKED_BYTES = 4 << 20, /* beyond that, one more at most */
};

struct unacked_message {
	struct forward_id id;
	uint8_t *bytes; /* owned */
	size_t count;
	uint64_t sent_ms;      /* rw: monotonic, when it was last published */
	uint64_t expected_seq; /* rw: the stream is that far before it, as was known then */
	bool is_settled;       /* private: the stream has it, or never takes it */
};

/* All zero: empty. */
struct unacked {
	struct unacked_message list[UNACKED_MAX]; /* private: each by its number */
	uint64_t first, next; /* ro: the numbers of the oldest one, and of the next one to come */
	size_t bytes;         /* ro */
};

static inline bool unacked_is_empty(const struct unacked *unacked)
{
	return unacked->first == unacked->next;
}

static inline bool unacked_is_full(const struct unacked *unacked)
{
	return unacked->next - unacked->first == UNACKED_MAX || unacked->bytes >= UNACKED_BYTES;
}

/* Adds a copy of a message to what is not full.  Its number is `next` before.  0 or -ENOMEM. */
must_check int unacked_add(struct unacked *unacked, const struct forward_id *id,
			   const uint8_t *bytes, size_t count);

/* The one with this number.  NULL: it is settled, or there never was one. */
struct unacked_message *unacked_find(struct unacked *unacked, uint64_t number);

/* It is not to be published again.  False: that was known, or there is none. */
bool unacked_settle(struct unacked *unacked, uint64_t number);

/* Drops all. */
void unacked_clear(struct unacked *unacked);
