// SPDX-License-Identifier: MIT
/*
 * A segment: one sealed, or still growing, piece of a rendition that many subscribers read.
 *
 * It is backed either by a pipe (zero-copy: readers tee from its head) or by a block of memory
 * (copied: readers send from it).  A pipe segment is sealed when it is made, because tee(2) always
 * copies from the head.  A block segment is append-only: readers follow its committed length.
 *
 * Lifetime: reference counted.  The ring holds one reference while the segment is retained, each
 * cursor inside holds one, and a segment that ends in mid-packet holds one on the segment that goes
 * on, so that a reader inside a packet can always finish it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "continuity/kept_sum.h"
#include "pipe/pipe.h"
#include "pipe/pipe_pool.h"

struct ring_record;

enum segment_kind {
	SEGMENT_BLOCK,
	SEGMENT_PIPE,
};

/* Where a packet begins in a segment, and what a reader that joins or leaves there must know. */
struct packet_mark {
	uint64_t first_seq;       /* sequence of the packet's first message           */
	uint64_t messages_before; /* published in this ring before the packet         */
	uint64_t arrived_ns;      /* monotonic, when it was published                 */
	uint32_t offset;          /* of the packet's first byte in the segment        */
};

struct segment {
	unsigned refs; /* private */
	enum segment_kind kind;
	uint64_t index;               /* ro: 0, 1, 2 ... in the ring's life     */
	uint32_t session;             /* ro: that all its packets have          */
	uint64_t start_pos;           /* ro: position of the first byte          */
	size_t length;                /* ro: committed bytes                     */
	bool is_sealed;               /* ro: length is final                     */
	bool is_continuation;         /* ro: begins in mid-packet                */
	unsigned tag;                 /* rw: the owner's (which engine made it)  */
	struct packet_mark begin;     /* ro: of the packet that its first byte belongs to */
	uint64_t next_seq;            /* ro: sequence of what comes behind it    */
	uint64_t next_messages;       /* ro: published until then, in all        */
	struct segment *continued_by; /* private: the rest of the last packet; referenced */

	struct packet_mark *marks; /* ro: in order of offset */
	size_t mark_count;
	size_t mark_room;   /* private */
	uint64_t marks_sum; /* private: segment_sum_mark() over them */

	struct pipe pipe; /* SEGMENT_PIPE: holds exactly `length` bytes */
	struct pipe_pool *pool;

	uint8_t *block; /* SEGMENT_BLOCK: malloc'ed or in the record, block_bytes long */
	size_t block_bytes;

	size_t cost; /* private: what the ring has counted it at */

	struct ring_record *record; /* private: that its memory may lie in; NULL: malloc'ed */
	uint32_t slot;              /* private: its number in the record; 0: it is not there */
};

/* A sealed segment that owns *pipe from here on (*pipe becomes PIPE_NONE); the pipe goes back to
 * `pool` when the last reference is gone.  Returns NULL when there is no memory; the pipe is then
 * untouched. */
struct segment *segment_new_pipe(struct pipe *pipe, struct pipe_pool *pool);

/* A growing segment around `block` (malloc'ed, owned from here on), of which the first `length`
 * bytes are committed.  Returns NULL when there is no memory; the block is then untouched. */
struct segment *segment_new_block(uint8_t *block, size_t block_bytes, size_t length);

void segment_ref(struct segment *segment);

/* Drops the caller's reference and clears its pointer; NULL inside is fine. */
void segment_unref(struct segment **segment);

/* Nothing more will be appended: what it has not used of its block and for its marks is given back.
 * Idempotent. */
void segment_seal(struct segment *segment);

/* Makes the block larger; what is in it stays, but not where it was.  Returns 0, or -ENOMEM
 * (nothing has changed), also for one that may be in a record: its place is known there. */
int segment_grow_block(struct segment *segment, size_t bytes);

/* Memory that the segment takes, in bytes: what it carries, and all that it takes to carry it.  The
 * one place that says what counts.  Of a pipe that is its bytes and what the kernel needs for the
 * pipe itself; how many pages the bytes lie in, the kernel does not tell. */
size_t segment_cost(const struct segment *segment);

/* Notes that a packet begins at mark->offset.  Returns 0 or -ENOMEM (nothing has changed). */
int segment_add_mark(struct segment *segment, const struct packet_mark *mark);

/* A sum of marks with one more, for who keeps them; when it came does not count. */
static inline uint64_t segment_sum_mark(uint64_t sum, const struct packet_mark *mark)
{
	sum = kept_sum_add(sum, mark->first_seq, mark->messages_before);
	return kept_sum_add(sum, mark->offset, 0);
}

/* Bytes from `offset` to the end of the packet that `offset` is in, or to the end of the segment
 * when the packet goes on in the next one; 0 when a packet begins at `offset`, or nothing is behind
 * it. */
size_t segment_packet_rest(const struct segment *segment, size_t offset);

/* The mark of the packet that begins at or after `offset`; NULL when there is none. */
const struct packet_mark *segment_mark_from(const struct segment *segment, size_t offset);

/* Turns a pipe segment into a block segment with the same bytes, for when the kernel or a sandbox
 * refuses tee or splice.  Returns 0, -ENOMEM, or -EIO when the pipe did not give its bytes (it is
 * then lost). */
int segment_make_block(struct segment *segment);
