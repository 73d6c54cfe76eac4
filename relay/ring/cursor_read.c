// SPDX-License-Identifier: MIT
/* Packets read back from a ring, as they are on the wire. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "pipe/pipe_set.h"
#include "ring/cursor.h"

/* Of the packet that begins where the cursor is. */
static size_t packet_bytes(const struct cursor *cursor)
{
	const struct segment *segment = cursor->segment;
	size_t bytes = 1 + segment_packet_rest(segment, cursor->offset + 1);
	size_t end = cursor->offset + bytes;

	while (end == segment->length && segment->continued_by) {
		segment = segment->continued_by;
		end = segment_packet_rest(segment, 0);
		bytes += end;
	}
	return bytes;
}

static enum media_start media_at(const struct ring *ring, uint64_t pos)
{
	if (pos + 1 == ring->media.key_frame)
		return MEDIA_START_KEY_FRAME;
	if (pos + 1 == ring->media.tables || pos + 1 == ring->media.lead)
		return MEDIA_START_TABLES;
	return MEDIA_START_NONE;
}

/* A pipe holds bytes of one packet only.  Where tee is refused, they come into memory for all. */
static int copy_part(struct ring *ring, struct pipe_set *pipes, struct segment *segment,
		     size_t offset, uint8_t *to, size_t bytes)
{
	int r;

	if (segment->kind == SEGMENT_PIPE && offset == 0 &&
	    pipe_set_peek(pipes, &segment->pipe, to, bytes))
		return 0;
	r = ring_make_block(ring, segment);
	if (r == 0)
		memcpy(to, segment->block + offset, bytes);
	return r;
}

/* The cursor moves on by as much. */
static int read_bytes(struct cursor *cursor, struct ring *ring, struct pipe_set *pipes, uint8_t *to,
		      size_t bytes)
{
	while (bytes) {
		size_t part;
		int r;

		if (cursor_settle(cursor, ring) != CURSOR_UNREAD)
			return -EIO;
		part = size_min(bytes, cursor->segment->length - cursor->offset);
		r = copy_part(ring, pipes, cursor->segment, cursor->offset, to, part);
		if (r < 0)
			return r;
		cursor_advance(cursor, part);
		to += part;
		bytes -= part;
	}
	return 0;
}

int cursor_read_packet(struct cursor *cursor, struct ring *ring, struct pipe_set *pipes,
		       struct ring_packet *ret_packet, uint8_t **ret_bytes, size_t *ret_count)
{
	uint64_t messages;
	int r;

	if (cursor_settle(cursor, ring) != CURSOR_UNREAD)
		return 0;
	messages = cursor_messages_read(cursor);
	*ret_packet = (struct ring_packet){
		.first_seq = cursor_unread_seq(cursor),
		.arrived_ns = cursor_unread_time(cursor, ring),
		.media_start = media_at(ring, cursor->pos),
	};
	*ret_count = packet_bytes(cursor);
	*ret_bytes = malloc(*ret_count);
	if (!*ret_bytes)
		return -ENOMEM;
	r = read_bytes(cursor, ring, pipes, *ret_bytes, *ret_count);
	if (r < 0) {
		free(*ret_bytes);
		return r;
	}
	ret_packet->count = (uint32_t)(cursor_messages_read(cursor) - messages);
	ret_packet->next_seq = ret_packet->first_seq + ret_packet->count;
	return 1;
}
