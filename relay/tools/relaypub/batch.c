// SPDX-License-Identifier: MIT
/* One buffer.  What is kept moves to its front when that is no more than lies before it, so that a
 * byte is moved once on average, and memory that is not needed is never touched. */
#include "tools/relaypub/batch.h"

#include "base/packet_header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int batch_init(struct batch *batch, enum delimiter framing, size_t room)
{
	*batch = (struct batch){.framing = framing, .room = room, .bytes = malloc(room)};
	return batch->bytes ? 0 : -ENOMEM;
}

void batch_fini(struct batch *batch)
{
	free(batch->bytes);
	batch->bytes = NULL;
}

static void move_to_front(struct batch *batch)
{
	size_t start = batch->start;

	memmove(batch->bytes, batch->bytes + start, batch->end - start);
	batch->start = 0;
	batch->sent -= start;
	batch->whole -= start;
	batch->end -= start;
}

uint8_t *batch_space(struct batch *batch, size_t need)
{
	if (batch->start >= batch->end - batch->start || batch->room - batch->end < need)
		move_to_front(batch);
	return batch->room - batch->end < need ? NULL : batch->bytes + batch->end;
}

void batch_add(struct batch *batch, size_t size)
{
	const uint8_t *added = batch->bytes + batch->end;
	const uint8_t *feed = added + size;

	batch->end += size;
	if (batch->framing == DELIMITER_LINE) {
		feed = memrchr(added, '\n', size);
		feed = feed ? feed + 1 : NULL;
	}
	if (feed)
		batch->whole = (size_t)(feed - batch->bytes);
}

void batch_finish(struct batch *batch)
{
	batch->whole = batch->end;
}

size_t batch_unsent_bytes(const struct batch *batch)
{
	return batch->whole - batch->sent;
}

const uint8_t *batch_unsent(const struct batch *batch)
{
	return batch->bytes + batch->sent;
}

void batch_note_sent(struct batch *batch, size_t size)
{
	batch->sent += size;
}

/* Bytes of the message that begins at `at`, before batch->whole. */
static size_t message_bytes(const struct batch *batch, size_t at)
{
	struct delimiter_scan scan = {.kind = batch->framing};
	struct delimiter_piece piece = {.ends = false};
	struct packet_header header;
	size_t size = 0;

	if (batch->framing == DELIMITER_NONE)
		return 1;
	if (batch->framing == DELIMITER_RELAY)
		// It is ours, so it can be decoded.
		return packet_header_decode(batch->bytes + at, &header) < 0
			       ? batch->whole - at
			       : PACKET_HEADER_BYTES + header.length;
	while (at + size < batch->whole && !piece.ends)
		size += delimiter_scan_next(&scan, batch->bytes + at + size,
					    batch->whole - at - size, &piece);
	return size;
}

static void forget(struct batch *batch, size_t to)
{
	batch->start = to;
	batch->sent = size_max(batch->sent, to);
}

size_t batch_acknowledge(struct batch *batch, size_t unacknowledged)
{
	size_t from = batch->start;
	size_t limit = batch->sent - size_min(unacknowledged, batch->sent - from);
	size_t at = from;

	// Both ends of what was sent are ends of messages without looking.
	if (limit == batch->whole || batch->framing == DELIMITER_NONE)
		at = limit;
	while (at < limit) {
		size_t size = message_bytes(batch, at);

		if (size > limit - at)
			break;
		at += size;
	}
	forget(batch, at);
	return at - from;
}

size_t batch_rewind(struct batch *batch)
{
	size_t size = batch->sent - batch->start;

	batch->sent = batch->start;
	return size;
}

size_t batch_drop_first(struct batch *batch)
{
	size_t size = 0;

	if (batch->framing != DELIMITER_NONE && batch->start < batch->whole)
		size = message_bytes(batch, batch->start);
	forget(batch, batch->start + size);
	return size;
}
