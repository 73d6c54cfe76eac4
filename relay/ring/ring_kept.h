// SPDX-License-Identifier: MIT
/*
 * A ring's record: what the ring is, kept in shared memory all the time.  So the next process can
 * go on with it, whether this one hands over or is killed.
 *
 *   ring_set_record() --> ... SIGKILL ... --> ring_record_read() --> ring_restore()
 *
 * The record is a memfd.  Blocks and marks lie in it from the start, so nothing is written twice;
 * of a pipe it has the descriptors, which somebody else must have kept open.  Invariant: at any
 * instruction that the writer may end at, what the record says is the ring before or after a step,
 * a packet is there whole or not at all, and a segment whose bytes are on the move is not there.
 * What finds no room in the record is not there either, but the ring goes on with it.
 *
 * One thread writes.  Without a record (NULL) nothing is spent but a branch.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "continuity/kept_fds.h"
#include "ring/ring.h"

struct ring_record;
struct ring_state;
struct segment_state;
struct state_stream;

/* For one ring: a memfd with room for some times params->max_bytes and for long packets of
 * max_packet_bytes; memory is taken as it is used.  It must outlive the ring's last segment, also
 * those that only cursors hold.  0 or -errno: memfd_create(2), mmap(2), ... */
must_check int ring_record_new(const struct ring_params *params, size_t max_packet_bytes,
			       struct ring_record **ret);

/* Unmaps and closes.  NULL inside is fine. */
void ring_record_free(struct ring_record **record);

/* The memfd, for whoever lists the descriptors; the record's to close. */
int ring_record_fd(const struct ring_record *record);

/* All that the ring does is recorded from now on.  The ring must have no segments, and no cursor
 * inside one. */
void ring_set_record(struct ring *ring, struct ring_record *record);

/* Does it know all segments that the ring retains?  Without room it may know less. */
bool ring_record_is_whole(const struct ring *ring);

/* Has it nothing of any segment? */
bool ring_record_is_empty(const struct ring_record *record);

/* Is the segment there, with all in which its last packet goes on? */
bool ring_record_has(const struct segment *segment);

/* Adds the record and all pipes in it to what the stream brings along. */
void ring_record_add_fds(const struct ring_record *record, struct state_stream *stream);

/* Of a record: one of another schema cannot be read. */
uint32_t ring_record_schema(void);

/* ---- reading, in another process ---- */

/* Where the blocks of a state are. */
struct ring_record_map {
	uint8_t *start; /* NULL: nowhere, and there is no fd */
	size_t bytes;
	int fd; /* the memfd, owned */
};

/* Maps the record of another process and describes the ring, with all segments that nobody has
 * given up.  Before a segment that is not known nothing is retained; what is known there counts as
 * held.  Pipes of *ret are taken out of `fds`, for ring_restore() to take.  Blocks of *ret lie in
 * the map: ring_state_free(), then ring_record_close().  The memfd may be closed at once.  0, or
 * with nothing taken: -ENODATA (no ring was ever recorded), -EBADMSG (not a record, of another
 * version, or it does not hold together), -ENOMEM, -errno of mmap(2). */
must_check int ring_record_read(int memfd, struct kept_fds *fds, struct ring_state *ret,
				struct ring_record_map *ret_map);

/* Unmaps and closes.  Idempotent. */
void ring_record_close(struct ring_record_map *map);

/* Before ring_restore(): the new ring's record becomes the one that was read, so that no
 * block has to be copied.  Does nothing where the two have not the same room, or something
 * has been recorded already. */
void ring_record_adopt(struct ring_record *record, struct ring_state *state,
		       const struct ring_record_map *map);

/* ---- what the ring and its segments tell it: for ring/ only ---- */

/* The ring as it is now, with all that has been appended, but retained from `first_index` on: to be
 * called behind what adds, and before what gives up. */
void ring_record_commit(struct ring_record *record, struct ring *ring, uint64_t first_index);

/* Of a state that was adopted: its segment made of a block, with marks that lie in the record;
 * NULL: no memory, and nothing has changed.  Or what such a block has in the record, given up. */
must_check struct segment *ring_record_make_block(struct ring_record *record,
						  struct segment_state *state);
void ring_record_give_block(struct ring_record *record, const struct segment_state *state);

/* All of these have come back from a state, in order; the ring retains the last ones. */
void ring_record_resume(struct ring_record *record, struct ring *ring,
			struct segment *const *segments, size_t count);

/* For segments with a slot.  Before it is given up; before its pipe is emptied; when its bytes are
 * in a block; before its block is cut to its length. */
void ring_record_forget(struct segment *segment);
void ring_record_hide(struct segment *segment);
void ring_record_show_block(struct segment *segment);
void ring_record_cut_block(const struct segment *segment);

/* More room for a recorded segment's marks.  0 or -ENOMEM (nothing has changed). */
must_check int ring_record_grow_marks(struct segment *segment);

/* malloc() and free(), in the record's memory where there is a record (may be NULL) and room. */
must_check void *ring_record_take(struct ring_record *record, size_t bytes);
void ring_record_give(struct ring_record *record, void *memory, size_t bytes);

/* Gives back what lies behind the first `to_bytes`, wherever these are then.  A rest that is not
 * worth it stays.  Returns how many bytes there are now. */
must_check size_t ring_record_cut(struct ring_record *record, void **memory, size_t bytes,
				  size_t to_bytes);

/* What the memory takes: pages in the record, else what malloc() takes.  And the segment's slot; 0:
 * it has none. */
size_t ring_record_cost(const struct ring_record *record, const void *memory, size_t bytes);
size_t ring_record_slot_bytes(const struct segment *segment);
