// SPDX-License-Identifier: MIT
/*
 * A ring's record: what the ring is, kept in shared memory all the time, so that the process that
 * follows one that was killed can go on with it.
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
#include "ring/ring.h"

struct ring_record;
struct ring_state;

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

/* ---- reading, in another process ---- */

/* Where the blocks of a state are. */
struct ring_record_map {
	uint8_t *start;
	size_t bytes;
};

/* Maps a dead process's record and describes the ring as ring_capture() does, with all segments
 * that nobody has given up.  Before a segment that is not known nothing is retained; what is known
 * there counts as held.  translate() says which descriptor here is the dead one's `fd` (any number:
 * it is not believed), -1: gone.  It gives nothing away: what *ret refers to is for ring_restore()
 * to take, all else stays the caller's.  Blocks of *ret lie in the map: ring_state_free(), then
 * ring_record_close().  The memfd may be closed at once.
 * 0, or: -ENODATA (no ring was ever recorded), -EBADMSG (not a record, of another version, or it
 * does not hold together), -ENOMEM, -errno of mmap(2). */
must_check int ring_record_read(int memfd, int (*translate)(void *owner, int fd), void *owner,
				struct ring_state *ret, struct ring_record_map *ret_map);

/* Unmaps.  Idempotent. */
void ring_record_close(struct ring_record_map *map);

/* ---- what the ring and its segments tell it: for ring/ only ---- */

/* The ring as it is now, with all that has been appended, but retained from `first_index` on: to be
 * called behind what adds, and before what gives up. */
void ring_record_commit(struct ring_record *record, struct ring *ring, uint64_t first_index);

/* A segment that is not at the end of the ring: it comes back from a state. */
void ring_record_add(struct ring_record *record, struct segment *segment);

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
