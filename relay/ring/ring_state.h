// SPDX-License-Identifier: MIT
/*
 * The state of a ring and of the cursors in it, as one process leaves it to the next.
 *
 *   ring_capture() --> struct ring_state --> ring_state_transfer() --> ... --> ring_restore()
 *
 * Segments that the ring has given up and that a cursor still stands in are captured too, so that
 * a packet in hand can be finished.  Pipes travel as descriptors and keep their bytes.  A state
 * that has been read holds together: positions, indexes and marks are what a ring can have.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "continuity/kept_struct.h"
#include "ring/cursor.h"
#include "ring/ring.h"

struct segment_state {
#define KEPT_DEF "ring/segment_kept.def"
#include "continuity/kept_members.def"
	struct packet_mark begin;
	struct packet_mark *marks; /* owned */
	size_t mark_count;
	uint8_t *block; /* the ring's, or in the stream that was read */
};

/* All zero is an empty ring. */
struct ring_state {
#define KEPT_DEF "ring/ring_kept.def"
#include "continuity/kept_members.def"
	struct ring_media media;
	struct segment_state *segments; /* owned; by index */
	size_t segment_count;
};

struct cursor_state {
#define KEPT_DEF "ring/cursor_kept.def"
#include "continuity/kept_members.def"
};

extern const struct kept_table cursor_kept_table, mark_kept_table, segment_kept_table,
	ring_kept_table;

/* Describes the ring, and `held` segments that cursors stand in (any order, also those that it
 * retains).  The ring must not change until the state is freed.  0 or -ENOMEM. */
must_check int ring_capture(const struct ring *ring, struct segment *const *held, size_t held_count,
			    struct ring_state *ret);
void cursor_capture(const struct cursor *cursor, struct cursor_state *ret);

/* Written to, or read from; what is read is checked. */
void ring_state_transfer(struct state_stream *stream, struct ring_state *state);
void cursor_state_transfer(struct state_stream *stream, struct cursor_state *state,
			   const struct ring_state *ring);

/* What does not hold together: in a state that has not been read from a stream, or of a cursor in
 * one.  NULL: nothing. */
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

/* Makes the ring, which is emptied before, what the state says.  Pipes become the ring's, and part
 * of `pool`; one whose slots are not `slots` is read into a block.  0; -ENOMEM, or -EIO when a pipe
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
