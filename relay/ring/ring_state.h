// SPDX-License-Identifier: MIT
/*
 * The state of a ring and of the cursors in it, as one process leaves it to the next.
 *
 *   ring_record_read() (ring_kept.h) --> struct ring_state --> ring_restore()
 *
 * Segments that the ring has given up and that a cursor still stands in are there too, so that a
 * packet in hand can be finished.  Pipes travel as descriptors and keep their bytes.  A state that
 * has been read holds together: positions, indexes and marks are what a ring can have.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "continuity/kept_struct.h"
#include "ring/cursor.h"
#include "ring/ring.h"

struct segment_state {
	uint64_t index, start_pos, next_seq, next_messages;
	size_t length;
	uint32_t session;
	unsigned tag;
	bool is_retained; /* by the ring; else only by cursors */
	bool is_sealed;
	bool is_continuation;
	bool is_continued;     /* by the next one in the list */
	int read_fd, write_fd; /* a pipe, owned until it is restored; -1: a block */
	unsigned slots;        /* of the pipe */
	struct packet_mark begin;
	struct packet_mark *marks; /* owned */
	size_t mark_count;
	const uint8_t *block; /* in the record that was read */
	size_t block_bytes;
	uint32_t slot;         /* there */
	uint64_t marks_offset; /* there; 0: the first is `begin`, there are no more */
};

/* All zero is an empty ring. */
struct ring_state {
	uint64_t start_pos, end_pos, next_index, next_seq, message_count, blocks_made;
	uint32_t session;
	struct ring_media media;
	struct segment_state *segments; /* owned; by index */
	size_t segment_count;
	bool is_adopted; /* blocks lie in the memory of the ring's own record already */
};

struct cursor_state {
#define KEPT_DEF "ring/cursor_kept.def"
#include "continuity/kept_members.def"
};

extern const struct kept_table cursor_kept_table, mark_kept_table;

void cursor_capture(const struct cursor *cursor, struct cursor_state *ret);

/* What does not hold together: in a state, or of a cursor in one.  NULL: nothing. */
const char *ring_state_fault(const struct ring_state *ring);
const char *cursor_state_fault(const struct cursor_state *state, const struct ring_state *ring);

/* Moves the cursor over `bytes` more that its reader has got.  0; -ERANGE: so many are not there
 * without a gap, and the cursor is of no further use. */
must_check int cursor_state_advance(struct cursor_state *state, const struct ring_state *ring,
				    uint64_t bytes);

/* Segments as they come back; each is referenced until ring_restored_drop(). */
struct ring_restored {
	struct segment **segments;
	size_t count;
};

/* Makes the ring, which is emptied before, what the state says; blocks are copied, but for those
 * of a record that was adopted (ring_record_adopt()).  Pipes become the ring's, and part of
 * `pool`; one whose slots are not `slots` is read into a block.  0; -ENOMEM, or -EIO when a pipe
 * does not hold what the state says, and the ring is empty then.  Descriptors that were taken are
 * -1 in *state. */
must_check int ring_restore(struct ring *ring, struct ring_state *state, struct pipe_pool *pool,
			    unsigned slots, struct ring_restored *ret);
void ring_restored_drop(struct ring_restored *restored);

/* Puts a cursor where it was. */
void cursor_restore(struct cursor *cursor, const struct cursor_state *state,
		    const struct ring_restored *restored);

/* Closes the descriptors that are left (of a state that was read) and frees what is owned. */
void ring_state_close(struct ring_state *state);
void ring_state_free(struct ring_state *state);
