// SPDX-License-Identifier: MIT
/*
 * A cursor: how far a reader is in a ring, as a segment and an offset in it.
 *
 * It refers to a segment only while it stands inside; at the live edge, or between two segments, it
 * only knows the index of the next one and pins nothing.  A cursor whose next segment has been
 * trimmed is behind.  It always leaves the ring at a packet boundary.
 */
#pragma once

#include "base/compiler.h"
#include "ring/ring.h"

struct pipe_set;

struct cursor {
	struct segment *segment; /* private: referenced; NULL between segments   */
	size_t offset;           /* private: read so far of the segment          */
	uint64_t next_index;     /* private: of the segment to go to next        */
	uint64_t pos;            /* ro: of the next byte to read                 */
	uint32_t session;        /* private: between segments, of the last packet     */
	uint64_t next_seq;       /* private: between segments, behind the last packet */
	uint64_t messages_read;  /* private: between segments, behind the last packet */
};

/* How far behind the live edge it is. */
enum cursor_lag {
	CURSOR_LIVE,   /* all has been read                                      */
	CURSOR_UNREAD, /* there is more: cursor_segment() and cursor_offset()    */
	CURSOR_BEHIND, /* what comes next has been trimmed                       */
};

/* At the live edge: reads what comes from now on. */
void cursor_join_live(struct cursor *cursor, const struct ring *ring);

/* In the past: at the oldest packet within `bytes` of the live edge (0 = no such limit) that came
 * not before `since_ns` (monotonic; 0 = no such limit).  When there is none, at the newest packet
 * with messages; at the live edge only when there is no past. */
void cursor_join_past(struct cursor *cursor, const struct ring *ring, uint64_t bytes,
		      uint64_t since_ns);

/* At the packet that begins at this position, or at the live edge where that is it.  False: the
 * ring has no such packet; then it stands at the live edge. */
bool cursor_join_position(struct cursor *cursor, const struct ring *ring, uint64_t pos) must_check;

/* In the past: at the newest key frame, or at the tables near before it, as long as the ring has
 * them; at the live edge when it has no key frame. */
void cursor_join_key_frame(struct cursor *cursor, const struct ring *ring);

/* In the past: at the oldest packet that came at `since_ns` (monotonic) or later; at the live
 * edge when there is none.  Returns 0; -ERANGE when the ring may have given up such (the cursor is
 * untouched): its oldest packet came later by more than a millisecond, or it has none, and others
 * came before in the session. */
int cursor_join_since(struct cursor *cursor, const struct ring *ring, uint64_t since_ns) must_check;

/* In the past: at the packet that holds message `seq`, so what it holds before that comes as well.
 * Where no packet has it (the sequence made a jump), at the one behind; at the live edge when it is
 * still to come.  Returns 0; -ERANGE when it is older than cursor_oldest_seq() (the cursor is
 * untouched). */
int cursor_join_seq(struct cursor *cursor, const struct ring *ring, uint64_t seq) must_check;

/* How far back, at most. */
struct cursor_reach {
	uint64_t bytes;
	uint64_t messages;
	size_t packets;
};

/* In the past of the sequence that runs: at a packet with as much behind it as `most` says, in
 * whole segments.  When there is none, at the newest packet with messages. */
void cursor_join_recent(struct cursor *cursor, const struct ring *ring,
			const struct cursor_reach *most);

/* The oldest sequence to join at; ring->next_seq when there is none.  What lies before a sequence
 * that started anew does not count. */
uint64_t cursor_oldest_seq(const struct ring *ring);

/* The position of the first packet of the sequence that runs whose first message is `seq` or one
 * behind it; the live edge when there is none yet. */
uint64_t cursor_find_seq(const struct ring *ring, uint64_t seq);

/* When the oldest packet in the ring came (monotonic), of whatever sequence; 0 when there is
 * none. */
uint64_t cursor_oldest_time(const struct ring *ring);

/* The position of the first packet, from the cursor on, that came later than `until_ns`
 * (monotonic); UINT64_MAX when there is none yet. */
uint64_t cursor_find_later(const struct cursor *cursor, const struct ring *ring, uint64_t until_ns);

/* Leaves the ring; gives up the segment at once.  Idempotent. */
void cursor_leave(struct cursor *cursor);

/* Goes on to the next segment when the current one has been read; says what there is. */
enum cursor_lag cursor_settle(struct cursor *cursor, const struct ring *ring);

/* True when it will be behind as soon as the packet in hand is finished. */
bool cursor_is_behind(const struct cursor *cursor, const struct ring *ring);

/* Its share of the bytes that only cursors still hold, since the ring has given them up. */
uint64_t cursor_pinned_bytes(const struct cursor *cursor, const struct ring *ring);

/* Only after CURSOR_UNREAD: where to read. */
struct segment *cursor_segment(const struct cursor *cursor);
size_t cursor_offset(const struct cursor *cursor);

/* `bytes` have been read; must not pass the end of the segment. */
void cursor_advance(struct cursor *cursor, size_t bytes);

/* Reads a whole packet, for a cursor that stands between two: its bytes as they are on the wire, in
 * malloc'ed memory that is the caller's, and what the ring remembers of it.  Of a gap, next_seq is
 * not known.  `pipes`: that the ring's are of.  1; 0: it is at the live edge, nothing is read.
 * -ENOMEM, or -EIO: a pipe did not give its bytes; the cursor may then stand inside the packet. */
int cursor_read_packet(struct cursor *cursor, struct ring *ring, struct pipe_set *pipes,
		       struct ring_packet *ret_packet, uint8_t **ret_bytes,
		       size_t *ret_count) must_check;

/* True between two packets, and so between two messages: nothing that was begun is unfinished. */
bool cursor_is_at_packet_start(const struct cursor *cursor);

/* Sequence of the first message that has not been read at all; meaningful between two packets. */
uint64_t cursor_unread_seq(const struct cursor *cursor);

/* The session that cursor_unread_seq() is of. */
uint32_t cursor_unread_session(const struct cursor *cursor);

/* Messages of this ring up to the last one that has been read whole, since the ring was opened. */
uint64_t cursor_messages_read(const struct cursor *cursor);

/* When the oldest packet came that is not yet read to its end (monotonic); 0 at the live edge. */
uint64_t cursor_unread_time(const struct cursor *cursor, const struct ring *ring);
