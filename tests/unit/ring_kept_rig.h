// SPDX-License-Identifier: MIT
/*
 * A ring with a record, fed with a stream of which all is known: what was published after any
 * number of steps, and each byte by its position.  So whoever reads the record can check
 * everything, without having seen the process that wrote it.
 *
 * The writer says in shared memory what it is about; it uses no assertion of the test's, because it
 * may run in a process of its own: where something fails, it ends.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring/cursor.h"
#include "ring/ring_kept.h"
#include "ring/ring_state.h"
#include "tests/unit/rig_random.h"

enum {
	RIG_CURSORS = 6,
	RIG_RING_BYTES = 24000,
	RIG_PIPES = 6, /* retained ones */
	RIG_SLOTS = 16,
	RIG_LONG_BYTES = 3 << 20, /* of a long packet */
};

/* What the stream does next. */
enum rig_step_kind {
	RIG_PACKET_COPY,
	RIG_PACKET_PIPES,
	RIG_JUMP, /* of the sequence */
};

struct rig_step {
	enum rig_step_kind kind;
	uint64_t number; /* 1, 2, ... */
	uint64_t pos, length;
	size_t pipe_count;
	unsigned tag;
	struct ring_packet packet;
	uint64_t messages_before;
	uint32_t session;  /* of the ring, after it */
	uint64_t next_seq; /* and its number */
	struct ring_media media;
};

/* The stream up to its next step. */
struct rig_stream {
	uint64_t random;
	bool is_long; /* packets over several blocks, now and then */
	uint32_t session;
	uint64_t number, pos, next_seq, messages;
	struct ring_media media;
};

/* Where a cursor of the writer is. */
struct rig_place {
	_Atomic bool is_known; /* not on the move */
	_Atomic bool is_inside;
	_Atomic uint64_t index, offset;
};

/* Shared with the writer. */
struct rig_progress {
	_Atomic int record_fd;
	_Atomic uint64_t operations; /* begun */
	_Atomic uint64_t steps_begun, steps_done;
	_Atomic bool may_lose; /* trims or makes blocks just now */
	_Atomic uint64_t start_pos;
	struct rig_place places[RIG_CURSORS];
};

struct rig_writer {
	uint64_t random;
	struct rig_stream stream;
	struct rig_progress *progress;
	struct ring_record *record;
	struct ring ring;
	struct pipe_pool pool;
	struct cursor cursors[RIG_CURSORS];
};

struct rig_stream rig_stream_new(uint64_t seed, bool is_long);
struct rig_step rig_stream_next(struct rig_stream *stream);
uint8_t rig_byte(uint64_t pos);

/* False: something could not be had. */
bool rig_writer_open(struct rig_writer *writer, uint64_t seed, bool is_long,
		     struct rig_progress *progress);
void rig_writer_close(struct rig_writer *writer);
/* One operation on the ring, a random one. */
bool rig_writer_operate(struct rig_writer *writer);
/* The stream's next step. */
bool rig_writer_publish(struct rig_writer *writer);
bool rig_writer_trim(struct rig_writer *writer);

/* NULL, or what is wrong with the state that the writer with this seed has left. */
const char *rig_find_fault(const struct ring_state *state, uint64_t seed, bool is_long,
			   const struct rig_progress *progress);

/* NULL, or what the state says in another way than the ring.  `held`: segments that
 * only cursors hold. */
const char *rig_find_difference(const struct ring *ring, struct segment *const *held,
				size_t held_count, const struct ring_state *state);

/* The same, of what the ring retains only. */
const char *rig_find_retained_difference(const struct ring *ring, const struct ring_state *state);
