// SPDX-License-Identifier: MIT
/*
 * The ring of a rendition: its retained segments, from start_pos to the live edge end_pos.  Read
 * this header first in ring/.
 *
 *   start_pos              cursor.pos              end_pos
 *      |------ retained -------|----- not yet sent ----|     bytes since the rendition was opened
 *   oldest segment        one reader              live edge
 *
 *   segment.h    one piece of it, in a pipe or in memory
 *   cursor.h     a reader, and how far it has read
 *   ring_state.h, ring_kept.h    what the next process gets of it
 *
 * Invariant: the segments are contiguous in position and index, so one is found by its index at
 * once.  Packets are in order of position and time, and of sequence from sequence_index on.  The
 * newest whole packet is always retained, however long it is, so a reader at the live edge never
 * falls behind by one packet.  Packets are appended whole within one call chain; readers run
 * only between packets.
 */
#pragma once

#include <sys/uio.h>

#include "packet/packet.h"
#include "ring/segment.h"

enum {
	/* Pipes that may be out besides a ring's own max_pipes: laggards stand in them.  From there
	 * on, what the ring gives up and somebody still reads becomes blocks. */
	RING_HELD_PIPES = 16,
};

/* Where a media player may begin.  Each is a position plus one; 0: none yet. */
struct ring_media {
	uint64_t tables;    /* the newest tables */
	uint64_t tables_ns; /* monotonic: when they came */
	uint64_t key_frame; /* the newest key frame */
	uint64_t lead;      /* the tables before it, if they are near; else the key frame itself */
};

struct ring_params {
	size_t max_bytes; /* retained at most, the newest packet aside; see ring_max_cost()   */
	size_t max_pipes; /* older pipe segments become blocks: pipes are dear, bytes not */
};

struct ring {
	struct ring_params params;  /* rw: takes effect at the next trim          */
	struct segment **segments;  /* private: that of index i at i % segment_room */
	size_t segment_room;        /* private: a power of two, or 0              */
	size_t segment_count;       /* ro */
	size_t pipe_count;          /* ro: retained pipe segments                 */
	uint64_t blocks_made;       /* ro: pipe segments turned into blocks so far */
	size_t block_room;          /* private: what the next block begins with  */
	uint64_t oldest_pipe;       /* private: no retained pipe segment has a lower index */
	uint64_t cost;              /* ro: memory that the retained segments take */
	uint64_t start_pos;         /* ro */
	uint64_t end_pos;           /* ro */
	uint64_t next_index;        /* ro: of the next segment to be appended     */
	uint32_t session;           /* rw: of the sequence that runs              */
	uint64_t next_seq;          /* rw: sequence behind the newest packet      */
	uint64_t message_count;     /* ro: published so far                       */
	uint64_t sequence_index;    /* private: the sequence that runs began with this segment, */
	uint64_t sequence_first;    /* ro: and this number, ...                   */
	uint64_t sequence_messages; /* ro: after so many messages; what is not known any more is
				     * what the oldest segment has */
	struct ring_media media;    /* private */
	struct ring_record *record; /* private: NULL: none; see ring_kept.h */
};

/* What the ring remembers of a packet; see struct packet_mark. */
struct ring_packet {
	uint64_t first_seq;
	uint64_t next_seq;   /* sequence behind this packet */
	uint32_t count;      /* messages that end in it   */
	uint64_t arrived_ns; /* monotonic; one before the last packet's is taken for that */
	enum media_start media_start;
};

void ring_init(struct ring *ring, const struct ring_params *params);

/* Gives up all segments, in the end as well; those with a cursor inside live on until it leaves.
 * Positions and the sequence go on. */
void ring_clear(struct ring *ring);

/* Appends a packet held in `count` pipes, which the ring owns from here on (each PIPE_NONE after).
 * Returns 0 or -ENOMEM (nothing has changed, the pipes are still the caller's). */
int ring_append_pipes(struct ring *ring, struct pipe *pipes, size_t count, struct pipe_pool *pool,
		      const struct ring_packet *packet, unsigned tag);

/* Copies a packet that consists of `count` parts behind the newest one: small packets share a
 * block, a long one gets blocks of its own.  Of one without bytes nothing is kept, but it counts.
 * Returns 0 or -ENOMEM (nothing has changed). */
int ring_append_copy(struct ring *ring, const struct iovec *parts, size_t count,
		     const struct ring_packet *packet, unsigned tag);

/* Memory that the ring may take, the newest packet aside: its bytes and a quarter more, for marks,
 * parts of blocks that are not full, and pipes.  Where packets are so short that this is not
 * enough, the ring holds fewer bytes. */
uint64_t ring_max_cost(const struct ring *ring);

/* Drops the oldest packets until max_bytes and ring_max_cost() hold, but none that reaches to
 * segment `keep_index` or beyond (UINT64_MAX: no such care), then turns old pipe segments into
 * blocks until max_pipes holds.  To be called after each packet. */
void ring_trim(struct ring *ring, uint64_t keep_index);

/* The sequence goes on at `next_seq`, with nothing in the ring for what lies between.  With another
 * session, or if that is less than next_seq, it begins anew. */
void ring_set_sequence(struct ring *ring, uint32_t session, uint64_t next_seq);

/* segment_make_block() for a segment that the ring made, whether it still retains it or not. */
int ring_make_block(struct ring *ring, struct segment *segment);

/* True while more is retained than max_bytes or ring_max_cost() say although the newest packet is
 * not alone. */
bool ring_is_over_full(const struct ring *ring);

/* Index of the oldest retained segment (next_index when there is none). */
static inline uint64_t ring_first_index(const struct ring *ring)
{
	return ring->next_index - ring->segment_count;
}

/* The retained segment with this index; NULL when it has been trimmed or does not exist yet. */
static inline struct segment *ring_find_segment(const struct ring *ring, uint64_t index)
{
	return index >= ring_first_index(ring) && index < ring->next_index
		       ? ring->segments[index & (ring->segment_room - 1)]
		       : NULL;
}

/* The newest retained segment; NULL when there is none. */
static inline struct segment *ring_newest(const struct ring *ring)
{
	return ring_find_segment(ring, ring->next_index - 1);
}

/* For ring/ only: retains the segment, which has its place and its marks, as the newest one, and
 * takes over the caller's reference.  0 or -ENOMEM (nothing has changed). */
int ring_retain(struct ring *ring, struct segment *segment);

/* For ring/ only: counts a retained segment at what it takes now. */
void ring_reckon(struct ring *ring, struct segment *segment);
