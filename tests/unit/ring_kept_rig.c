// SPDX-License-Identifier: MIT
/* The stream, and the process that publishes it. */
#include "tests/unit/ring_kept_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "pipe/pipe_io.h"

enum {
	PERIOD = 251 * 17, /* of the bytes; no power of two, so that a shift by a page shows */
	LONGEST_PART = 1 << 16,
};

uint8_t rig_byte(uint64_t pos)
{
	return (uint8_t)((pos % PERIOD) * 167 >> 3);
}

/* Bytes of the stream from `pos` on, as many as any part has. */
static const uint8_t *bytes_at(uint64_t pos)
{
	static uint8_t bytes[LONGEST_PART + PERIOD];
	static bool is_filled;

	if (!is_filled) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = rig_byte(i);
		is_filled = true;
	}
	return bytes + pos % PERIOD;
}

struct rig_stream rig_stream_new(uint64_t seed, bool is_long)
{
	return (struct rig_stream){
		.random = seed * 0x9e3779b97f4a7c15 | 1, .is_long = is_long, .next_seq = 1};
}

static uint64_t length_of_next(struct rig_stream *stream, enum rig_step_kind kind,
			       size_t *ret_pipes)
{
	uint64_t chance = rig_random_below(&stream->random, 40);

	*ret_pipes = kind == RIG_PACKET_PIPES ? 1 + rig_random_below(&stream->random, 3) : 0;
	if (*ret_pipes)
		return *ret_pipes * (1 + rig_random_below(&stream->random, 2000));
	if (chance == 0)
		return 0;
	if (chance == 1 && stream->is_long)
		return rig_random_below(&stream->random, RIG_LONG_BYTES);
	return 1 + rig_random_below(&stream->random, chance < 20 ? 30 : 1500);
}

/* Every third packet has tables, every third a key frame; all of them come soon. */
static enum media_start media_of(struct rig_stream *stream, uint64_t number, uint64_t pos)
{
	struct ring_media *media = &stream->media;

	if (number % 3 == 1) {
		media->tables = pos + 1;
		media->tables_ns = number;
		return MEDIA_START_TABLES;
	}
	if (number % 3 == 2) {
		media->key_frame = pos + 1;
		media->lead = media->tables ? media->tables : pos + 1;
		return MEDIA_START_KEY_FRAME;
	}
	return MEDIA_START_NONE;
}

struct rig_step rig_stream_next(struct rig_stream *stream)
{
	uint64_t chance = rig_random_below(&stream->random, 20);
	enum rig_step_kind kind = chance == 0  ? RIG_JUMP
				  : chance < 6 ? RIG_PACKET_PIPES
					       : RIG_PACKET_COPY;
	uint64_t count = rig_random_below(&stream->random, 4);
	struct rig_step step = {
		.kind = kind,
		.number = ++stream->number,
		.pos = stream->pos,
		.tag = (unsigned)rig_random_below(&stream->random, 30) == 0,
		.messages_before = stream->messages,
		.next_seq = stream->next_seq + count,
	};

	if (kind == RIG_JUMP) {
		stream->session += count == 0;
	} else {
		step.length = length_of_next(stream, kind, &step.pipe_count);
		/* Each step must show. */
		if (!step.length && !count)
			step.next_seq += ++count;
		step.packet = (struct ring_packet){
			.first_seq = stream->next_seq,
			.next_seq = step.next_seq,
			.count = (uint32_t)count,
			.arrived_ns = step.number, /* so that a mark says which packet it is */
		};
		if (step.length)
			step.packet.media_start = media_of(stream, step.number, step.pos);
		stream->messages += count;
	}
	step.media = stream->media;
	stream->pos += step.length;
	step.session = stream->session;
	stream->next_seq = step.next_seq;
	return step;
}

/* ---- the writer ---- */

bool rig_writer_open(struct rig_writer *writer, uint64_t seed, bool is_long,
		     struct rig_progress *progress)
{
	const struct ring_params params = {.max_bytes = RIG_RING_BYTES, .max_pipes = RIG_PIPES};

	*writer = (struct rig_writer){
		.random = seed << 20 | 5,
		.stream = rig_stream_new(seed, is_long),
		.progress = progress,
	};
	(void)bytes_at(0);
	ring_init(&writer->ring, &params);
	writer->ring.next_seq = writer->stream.next_seq;
	for (size_t i = 0; i < RIG_CURSORS; i++)
		cursor_join_live(&writer->cursors[i], &writer->ring);
	if (pipe_pool_init(&writer->pool, RIG_SLOTS, 200, 4) < 0 ||
	    ring_record_new(&params, RIG_LONG_BYTES, &writer->record) < 0)
		return false;
	ring_set_record(&writer->ring, writer->record);
	atomic_store(&progress->record_fd, ring_record_fd(writer->record));
	return true;
}

void rig_writer_close(struct rig_writer *writer)
{
	for (size_t i = 0; i < RIG_CURSORS; i++)
		cursor_leave(&writer->cursors[i]);
	ring_clear(&writer->ring);
	pipe_pool_fini(&writer->pool);
	ring_record_free(&writer->record);
}

static bool fill_pipe(struct pipe *pipe, uint64_t pos, size_t bytes)
{
	while (bytes) {
		size_t written = 0;
		int err = 0;

		if (pipe_write(pipe, bytes_at(pos), bytes, &written, &err) != PIPE_IO_OK)
			return false;
		pos += written;
		bytes -= written;
	}
	return true;
}

static bool publish_pipes(struct rig_writer *writer, const struct rig_step *step)
{
	size_t each = step->length / step->pipe_count;
	struct pipe pipes[4];

	for (size_t i = 0; i < step->pipe_count; i++) {
		if (pipe_pool_get(&writer->pool, &pipes[i]) < 0 ||
		    !fill_pipe(&pipes[i], step->pos + i * each, each))
			return false;
	}
	return ring_append_pipes(&writer->ring, pipes, step->pipe_count, &writer->pool,
				 &step->packet, step->tag) == 0;
}

static bool publish_copy(struct rig_writer *writer, const struct rig_step *step)
{
	struct iovec parts[RIG_LONG_BYTES / LONGEST_PART + 1];
	uint64_t pos = step->pos, end = pos + step->length;
	size_t count = 0;

	while (pos < end) {
		size_t bytes = size_min(end - pos, LONGEST_PART);

		/* Only read. */
		parts[count++] = (struct iovec){(void *)(uintptr_t)bytes_at(pos), bytes};
		pos += bytes;
	}
	return ring_append_copy(&writer->ring, parts, count, &step->packet, step->tag) == 0;
}

bool rig_writer_publish(struct rig_writer *writer)
{
	struct rig_step step = rig_stream_next(&writer->stream);
	bool is_done = true;

	atomic_store(&writer->progress->steps_begun, step.number);
	switch (step.kind) {
	case RIG_PACKET_COPY:
		is_done = publish_copy(writer, &step);
		break;
	case RIG_PACKET_PIPES:
		is_done = publish_pipes(writer, &step);
		break;
	case RIG_JUMP:
		ring_set_sequence(&writer->ring, step.session, step.next_seq);
		break;
	}
	atomic_store(&writer->progress->steps_done, step.number);
	return is_done;
}

static bool trim(struct rig_writer *writer, bool is_all)
{
	atomic_store(&writer->progress->may_lose, true);
	if (is_all)
		ring_clear(&writer->ring);
	else
		ring_trim(&writer->ring, UINT64_MAX);
	atomic_store(&writer->progress->start_pos, writer->ring.start_pos);
	atomic_store(&writer->progress->may_lose, false);
	return true;
}

bool rig_writer_trim(struct rig_writer *writer)
{
	return trim(writer, false);
}

static bool make_block(struct rig_writer *writer, size_t number)
{
	struct segment *segment = cursor_segment(&writer->cursors[number]);
	bool is_made;

	if (!segment || segment->kind == SEGMENT_BLOCK)
		return true;
	atomic_store(&writer->progress->may_lose, true);
	is_made = ring_make_block(&writer->ring, segment) == 0;
	atomic_store(&writer->progress->may_lose, false);
	return is_made;
}

static void move(struct rig_writer *writer, struct cursor *cursor)
{
	if (rig_random_below(&writer->random, 8) == 0) {
		cursor_leave(cursor);
		if (rig_random_below(&writer->random, 2))
			cursor_join_live(cursor, &writer->ring);
		else
			cursor_join_past(cursor, &writer->ring, 0, 0);
		return;
	}
	switch (cursor_settle(cursor, &writer->ring)) {
	case CURSOR_UNREAD:
		/* A packet without bytes may have a block of its own. */
		if (cursor->offset == cursor->segment->length)
			break;
		cursor_advance(cursor,
			       1 + rig_random_below(&writer->random,
						    cursor->segment->length - cursor->offset));
		break;
	case CURSOR_BEHIND:
		cursor_join_live(cursor, &writer->ring);
		break;
	case CURSOR_LIVE:
		break;
	}
}

static bool move_cursor(struct rig_writer *writer, size_t number)
{
	struct cursor *cursor = &writer->cursors[number];
	struct rig_place *place = &writer->progress->places[number];

	atomic_store(&place->is_known, false);
	move(writer, cursor);
	atomic_store(&place->is_inside, cursor->segment != NULL);
	atomic_store(&place->index, cursor->segment ? cursor->segment->index : 0);
	atomic_store(&place->offset, cursor->offset);
	atomic_store(&place->is_known, true);
	return true;
}

bool rig_writer_operate(struct rig_writer *writer)
{
	uint64_t chance = rig_random_below(&writer->random, 200);
	size_t number = rig_random_below(&writer->random, RIG_CURSORS);

	atomic_fetch_add(&writer->progress->operations, 1);
	if (chance == 0)
		return trim(writer, true);
	if (chance < 10)
		return make_block(writer, number);
	if (chance < 40)
		return rig_writer_trim(writer);
	/* Some move seldom: what they stand in is given up long before. */
	if (chance < 100)
		return number > 2 || rig_random_below(&writer->random, 20) == 0
			       ? move_cursor(writer, number)
			       : true;
	return rig_writer_publish(writer);
}
