// SPDX-License-Identifier: MIT
/*
 * The ring: appending packets and trimming old ones.  Readers' places are in cursor.c.
 */
#include "ring/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "ring/ring_kept.h"

enum {
	BLOCK_BYTES = 64 * 1024,    /* small packets share such a block, ...                */
	BLOCK_BYTES_MIN = 64,       /* which begins smaller where the one before ended early */
	LONG_BLOCK_BYTES = 1 << 20, /* a long packet is cut in blocks of this               */
	SHORT_REST_BYTES = 4096,    /* that is no block of its own, such as a trailer       */
	MARKS_MAX = 1024,           /* of a block: more packets than these are in the next one  */
	SEGMENT_ROOM_MIN = 16,
	COST_SHARE = 4,             /* the quarter of ring_max_cost(), ...                  */
	COST_MIN = 2 * BLOCK_BYTES, /* but as much as the newest block needs                */
};

/* The longest that a stream is to go without its tables (ETSI TR 101 290, 5.2.1).  Farther back, a
 * player would only get more pictures that it cannot show. */
static const uint64_t TABLES_NEAR_NS = 500000000;

void ring_init(struct ring *ring, const struct ring_params *params)
{
	*ring = (struct ring){.params = *params, .block_room = BLOCK_BYTES_MIN};
}

/* ---- the segments by index ---- */

static struct segment **slot_of(const struct ring *ring, uint64_t index)
{
	return &ring->segments[index & (ring->segment_room - 1)];
}

static struct segment *oldest(const struct ring *ring)
{
	return ring_find_segment(ring, ring_first_index(ring));
}

static int make_room(struct ring *ring)
{
	struct ring grown = *ring;

	if (ring->segment_count < ring->segment_room)
		return 0;
	grown.segment_room = ring->segment_room ? 2 * ring->segment_room : SEGMENT_ROOM_MIN;
	grown.segments = calloc(grown.segment_room, sizeof(struct segment *));
	if (!grown.segments)
		return -ENOMEM;
	for (uint64_t i = ring_first_index(ring); i < ring->next_index; i++)
		*slot_of(&grown, i) = *slot_of(ring, i);
	free(ring->segments);
	*ring = grown;
	return 0;
}

/* A power of two: sizes that malloc(3) can use again. */
static size_t block_room_for(size_t bytes)
{
	size_t room = BLOCK_BYTES_MIN;

	while (room < bytes && room < BLOCK_BYTES)
		room *= 2;
	return room;
}

void ring_reckon(struct ring *ring, struct segment *segment)
{
	size_t cost = segment_cost(segment);

	ring->cost = ring->cost - segment->cost + cost;
	segment->cost = cost;
}

/* A block that ends early is cut.  If each began as large as the longest, malloc(3) would get holes
 * that fit nothing, so the next one begins with what this one had use for. */
static void seal(struct ring *ring, struct segment *segment)
{
	if (segment->kind == SEGMENT_BLOCK && !segment->is_sealed)
		ring->block_room = block_room_for(2 * segment->length);
	segment_seal(segment);
	ring_reckon(ring, segment);
}

int ring_retain(struct ring *ring, struct segment *segment)
{
	if (make_room(ring) < 0)
		return -ENOMEM;
	*slot_of(ring, segment->index) = segment;
	ring->next_index = segment->index + 1;
	ring->segment_count++;
	if (segment->kind == SEGMENT_PIPE && ring->pipe_count++ == 0)
		ring->oldest_pipe = segment->index;
	segment->cost = 0;
	ring_reckon(ring, segment);
	return 0;
}

/* Takes it out of the ring's accounts. */
static void release(struct ring *ring, const struct segment *segment)
{
	ring->segment_count--;
	ring->pipe_count -= segment->kind == SEGMENT_PIPE;
	ring->cost -= segment->cost;
}

/* Laggards that stand in long messages each hold a chain of segments that the ring has given up.
 * From some pipes on, these shall be bytes and not descriptors. */
static void spare_descriptors(struct ring *ring, struct segment *segment)
{
	const struct pipe_pool *pool = segment->pool;

	if (segment->kind == SEGMENT_PIPE && segment->refs > 1 &&
	    pool->open_count - pool->idle_count > ring->params.max_pipes + RING_HELD_PIPES &&
	    segment_make_block(segment) == 0)
		ring->blocks_made++;
}

static void drop_oldest(struct ring *ring)
{
	struct segment *segment = oldest(ring);

	release(ring, segment);
	ring->start_pos += segment->length;
	segment_seal(segment);
	spare_descriptors(ring, segment);
	segment_unref(&segment);
}

void ring_clear(struct ring *ring)
{
	if (ring->record)
		ring_record_commit(ring->record, ring, ring->next_index);
	while (ring->segment_count)
		drop_oldest(ring);
	free(ring->segments);
	ring->segments = NULL;
	ring->segment_room = 0;
}

/* ---- appending ---- */

/* What has been appended is there from now on, also for whoever reads the record. */
static void commit(struct ring *ring)
{
	if (ring->record)
		ring_record_commit(ring->record, ring, ring_first_index(ring));
}

/* The packet at `pos` is in the ring now. */
static void note_media(struct ring *ring, const struct ring_packet *packet, uint64_t pos)
{
	struct ring_media *media = &ring->media;

	switch (packet->media_start) {
	case MEDIA_START_NONE:
		break;
	case MEDIA_START_TABLES:
		media->tables = pos + 1;
		media->tables_ns = packet->arrived_ns;
		break;
	case MEDIA_START_KEY_FRAME:
		media->key_frame = media->lead = pos + 1;
		if (media->tables && packet->arrived_ns - media->tables_ns <= TABLES_NEAR_NS)
			media->lead = media->tables;
		break;
	}
}

static const struct packet_mark *newest_mark(const struct segment *last)
{
	return last->mark_count ? &last->marks[last->mark_count - 1] : &last->begin;
}

/* Where a reader begins is looked up by halves: no packet came before the one ahead of it. */
static struct packet_mark mark_of(const struct ring *ring, const struct ring_packet *packet,
				  size_t offset)
{
	const struct segment *last = ring_newest(ring);
	uint64_t before_ns = last ? newest_mark(last)->arrived_ns : 0;

	return (struct packet_mark){
		.offset = (uint32_t)offset,
		.first_seq = packet->first_seq,
		.messages_before = ring->message_count,
		.arrived_ns = u64_max(packet->arrived_ns, before_ns),
	};
}

/* Puts the new segment behind the newest one.  `segment` must be complete but for its place. */
static int append(struct ring *ring, struct segment *segment, bool starts,
		  const struct ring_packet *packet)
{
	struct segment *last = ring_newest(ring);
	struct packet_mark mark = mark_of(ring, packet, 0);

	if (starts && segment_add_mark(segment, &mark) < 0)
		return -ENOMEM;
	if (!starts)
		mark = *newest_mark(last);
	segment->is_continuation = !starts;
	segment->index = ring->next_index;
	segment->session = ring->session;
	segment->start_pos = ring->end_pos;
	segment->begin = mark;
	if (ring_retain(ring, segment) < 0)
		return -ENOMEM;
	/* A packet counts as published when its first piece is there; the others follow at once. */
	if (starts)
		ring->message_count += packet->count;
	if (last)
		seal(ring, last);
	if (!starts) {
		last->continued_by = segment;
		segment_ref(segment);
	}
	segment->next_seq = packet->next_seq;
	segment->next_messages = ring->message_count;
	ring->end_pos += segment->length;
	ring->next_seq = packet->next_seq;
	return 0;
}

/* The `count` newest segments are complete. */
static void finish(struct ring *ring, size_t count)
{
	commit(ring);
	for (uint64_t index = ring->next_index - count; index < ring->next_index; index++)
		ring_reckon(ring, *slot_of(ring, index));
}

static int append_block(struct ring *ring, uint8_t *block, size_t room, size_t length, bool starts,
			const struct ring_packet *packet, unsigned tag)
{
	struct segment *segment = segment_new_block(block, room, length);

	if (!segment)
		return -ENOMEM;
	segment->record = ring->record;
	segment->tag = tag;
	if (append(ring, segment, starts, packet) < 0) {
		segment->block = NULL;
		segment_unref(&segment);
		return -ENOMEM;
	}
	return 0;
}

/* What a packet is made of, read in order. */
struct source_parts {
	const struct iovec *parts;
	size_t at; /* in parts[0] */
};

static size_t sum_bytes(const struct iovec *parts, size_t count)
{
	size_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += parts[i].iov_len;
	return sum;
}

static void gather(struct source_parts *from, uint8_t *to, size_t bytes)
{
	while (bytes) {
		const struct iovec *part = from->parts;
		size_t step = size_min(bytes, part->iov_len - from->at);

		if (step)
			memcpy(to, (const uint8_t *)part->iov_base + from->at, step);
		to += step;
		bytes -= step;
		from->at += step;
		if (from->at == part->iov_len)
			*from = (struct source_parts){.parts = part + 1};
	}
}

/* Makes room for `length` bytes more, if they fit into a block at all. */
static bool has_room(struct segment *segment, size_t length)
{
	size_t needed = segment->length + length;

	return needed <= segment->block_bytes ||
	       (segment->block_bytes <= BLOCK_BYTES / 2 && needed <= BLOCK_BYTES &&
		segment_grow_block(segment, block_room_for(needed)) == 0);
}

/* Behind the last packet of the growing block, when it fits there. */
static int append_to_newest(struct ring *ring, struct source_parts *from, size_t length,
			    const struct ring_packet *packet, unsigned tag)
{
	struct segment *last = ring_newest(ring);
	size_t room = last ? last->block_bytes + last->mark_room : 0;
	struct packet_mark mark;

	if (!last || last->kind != SEGMENT_BLOCK || last->is_sealed || last->tag != tag ||
	    last->mark_count >= MARKS_MAX || !has_room(last, length))
		return -ENOSPC;
	mark = mark_of(ring, packet, last->length);
	if (segment_add_mark(last, &mark) < 0)
		return -ENOMEM;
	gather(from, last->block + last->length, length);
	note_media(ring, packet, ring->end_pos);
	ring->message_count += packet->count;
	last->length += length;
	last->next_seq = packet->next_seq;
	last->next_messages = ring->message_count;
	ring->end_pos += length;
	ring->next_seq = packet->next_seq;
	commit(ring);
	if (last->block_bytes + last->mark_room != room)
		ring_reckon(ring, last);
	return 0;
}

/* The newest segment of the sequence that runs; NULL: there is none. */
static struct segment *newest_of_sequence(const struct ring *ring)
{
	return ring->sequence_index < ring->next_index ? ring_newest(ring) : NULL;
}

/* Nobody has to read it, but it has come. */
static void count_empty(struct ring *ring, const struct ring_packet *packet)
{
	struct segment *last = newest_of_sequence(ring);

	ring->message_count += packet->count;
	ring->next_seq = packet->next_seq;
	if (last) {
		last->next_messages = ring->message_count;
		last->next_seq = packet->next_seq;
	}
	commit(ring);
}

/* Takes back the `count` newest segments, after a failure in mid-packet. */
static void take_back(struct ring *ring, size_t count)
{
	while (count--) {
		struct segment *segment = ring_newest(ring);
		struct segment *before;

		release(ring, segment);
		ring->next_index--;
		ring->end_pos -= segment->length;
		before = ring_newest(ring);
		if (before && before->continued_by == segment) {
			struct segment *rest = segment;

			before->continued_by = NULL;
			segment_unref(&rest);
		}
		ring->next_seq = before ? before->next_seq : ring->next_seq;
		ring->message_count = segment->begin.messages_before;
		segment_unref(&segment);
	}
}

int ring_append_pipes(struct ring *ring, struct pipe *pipes, size_t count, struct pipe_pool *pool,
		      const struct ring_packet *packet, unsigned tag)
{
	const uint64_t pos = ring->end_pos;

	for (size_t made = 0; made < count; made++) {
		struct segment *segment = segment_new_pipe(&pipes[made], pool);

		if (segment && append(ring, segment, made == 0, packet) == 0) {
			segment->tag = tag;
			continue;
		}
		if (segment) {
			pipes[made] = segment->pipe;
			segment->pipe = PIPE_NONE;
			segment_unref(&segment);
		}
		for (size_t i = made; i-- > 0;) {
			segment = ring_newest(ring);
			pipes[i] = segment->pipe;
			segment->pipe = PIPE_NONE;
			take_back(ring, 1);
		}
		return -ENOMEM;
	}
	note_media(ring, packet, pos);
	finish(ring, count);
	return 0;
}

/* A block in a record cannot grow, but its pages can be cut. */
static size_t room_of_new_block(const struct ring *ring, size_t part)
{
	if (part > BLOCK_BYTES / 2)
		return part;
	return ring->record ? BLOCK_BYTES : size_max(ring->block_room, block_room_for(part));
}

int ring_append_copy(struct ring *ring, const struct iovec *parts, size_t count,
		     const struct ring_packet *packet, unsigned tag)
{
	struct source_parts from = {.parts = parts};
	size_t left = sum_bytes(parts, count);
	const uint64_t pos = ring->end_pos;
	size_t made = 0;
	int r;

	if (left == 0) {
		count_empty(ring, packet);
		return 0;
	}
	r = append_to_newest(ring, &from, left, packet, tag);
	if (r != -ENOSPC)
		return r;
	do {
		size_t part = left > LONG_BLOCK_BYTES + SHORT_REST_BYTES ? LONG_BLOCK_BYTES : left;
		size_t room = room_of_new_block(ring, part);
		uint8_t *block = ring_record_take(ring->record, room);

		if (!block || append_block(ring, block, room, part, !made, packet, tag) < 0) {
			if (block)
				ring_record_give(ring->record, block, room);
			take_back(ring, made);
			return -ENOMEM;
		}
		gather(&from, block, part);
		left -= part;
		made++;
	} while (left);
	note_media(ring, packet, pos);
	finish(ring, made);
	return 0;
}

/* Segments that the packet in front consists of; 0 when it is the only packet. */
static size_t oldest_packet_segments(const struct ring *ring)
{
	const struct segment *segment = oldest(ring);
	size_t count = 1;

	if (!segment)
		return 0;
	while (segment->continued_by) {
		segment = segment->continued_by;
		count++;
	}
	return count < ring->segment_count ? count : 0;
}

uint64_t ring_max_cost(const struct ring *ring)
{
	return ring->params.max_bytes + size_max(ring->params.max_bytes / COST_SHARE, COST_MIN);
}

bool ring_is_over_full(const struct ring *ring)
{
	return (ring->end_pos - ring->start_pos > ring->params.max_bytes ||
		ring->cost > ring_max_cost(ring)) &&
	       oldest_packet_segments(ring) > 0;
}

void ring_set_sequence(struct ring *ring, uint32_t session, uint64_t next_seq)
{
	struct segment *last = newest_of_sequence(ring);

	if (session != ring->session || next_seq < ring->next_seq) {
		/* So that from one segment on the sequence only grows, in one session. */
		if (last)
			seal(ring, last);
		ring->sequence_index = ring->next_index;
		ring->sequence_first = next_seq;
		ring->sequence_messages = ring->message_count;
	} else if (last) {
		/* Whoever joins behind its last packet takes the sequence from there. */
		last->next_seq = next_seq;
	}
	ring->session = session;
	ring->next_seq = next_seq;
	commit(ring);
}

int ring_make_block(struct ring *ring, struct segment *segment)
{
	bool was_pipe = segment->kind == SEGMENT_PIPE;
	int r = segment_make_block(segment);

	if (was_pipe && r == 0 && ring_find_segment(ring, segment->index) == segment) {
		ring->pipe_count--;
		ring_reckon(ring, segment);
	}
	return r;
}

/* Without memory the pipe simply stays one: dearer, but right. */
static void turn_pipes_into_blocks(struct ring *ring)
{
	uint64_t index = ring->oldest_pipe;

	if (index < ring_first_index(ring))
		index = ring_first_index(ring);
	for (; ring->pipe_count > ring->params.max_pipes; index++) {
		struct segment *segment = ring_find_segment(ring, index);

		if (segment->kind == SEGMENT_BLOCK)
			continue;
		if (ring_make_block(ring, segment) < 0)
			break;
		ring->blocks_made++;
	}
	ring->oldest_pipe = index;
}

void ring_trim(struct ring *ring, uint64_t keep_index)
{
	while (ring_is_over_full(ring)) {
		size_t count = oldest_packet_segments(ring);

		if (oldest(ring)->index + count > keep_index)
			break;
		if (ring->record)
			ring_record_commit(ring->record, ring, oldest(ring)->index + count);
		while (count--)
			drop_oldest(ring);
	}
	if (ring->pipe_count > ring->params.max_pipes) {
		turn_pipes_into_blocks(ring);
		commit(ring);
	}
}
