// SPDX-License-Identifier: MIT
/* Takes pieces, finds messages, walks them, and goes back to finding. */
#include "tests/unit/sync_reader.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

struct framing_params sync_reader_params(enum framing_kind kind)
{
	return (struct framing_params){
		.kind = kind,
		.fixed_bytes = kind == FRAMING_TS ? TS_PACKET_BYTES : 0,
		.max_message = 1 << 20,
	};
}

static void drop_front(struct sync_reader *reader, size_t bytes)
{
	memmove(reader->rest, reader->rest + bytes, reader->rest_bytes - bytes);
	reader->rest_bytes -= bytes;
	reader->walked -= size_min(bytes, reader->walked);
}

static void keep_front(struct sync_reader *reader, size_t bytes, enum media_start media_start)
{
	if (media_start != MEDIA_START_NONE) {
		reader->starts[reader->start_count].at = reader->got_bytes;
		reader->starts[reader->start_count++].media_start = media_start;
	}
	memcpy(reader->got + reader->got_bytes, reader->rest, bytes);
	reader->got_bytes += bytes;
	drop_front(reader, bytes);
}

static uint8_t *copy_of(const uint8_t *bytes, size_t count)
{
	uint8_t *copy = malloc(size_max(count, 1));

	assert(copy);
	memcpy(copy, bytes, count);
	return copy;
}

// True when a message was found.
static bool find(struct sync_reader *reader)
{
	uint8_t *copy = copy_of(reader->rest, reader->rest_bytes);
	size_t passed = framing_find_sync(&reader->scan, copy, reader->rest_bytes, &reader->fault);

	free(copy);
	assert(passed <= reader->rest_bytes);
	reader->walked = 0;
	drop_front(reader, passed);
	reader->passed += passed;
	return !framing_is_out_of_sync(&reader->scan) && reader->fault == FRAMING_OK;
}

static void walk(struct sync_reader *reader)
{
	while (reader->walked < reader->rest_bytes) {
		size_t left = reader->rest_bytes - reader->walked;
		uint8_t *copy = copy_of(reader->rest + reader->walked, left);
		struct framing_walk walk;

		framing_walk(&reader->scan, copy, left, left, &walk);
		free(copy);
		assert(walk.whole_bytes <= walk.walked_bytes && walk.walked_bytes <= left);
		assert(walk.fault == FRAMING_OK || walk.messages == 0);
		if (walk.fault == FRAMING_NO_SYNC) {
			framing_scan_init(&reader->scan, &reader->params);
			reader->losses++;
			return;
		}
		if (walk.messages) {
			size_t whole = reader->walked + walk.whole_bytes;

			assert(reader->params.kind != FRAMING_TS ||
			       whole == walk.messages * TS_PACKET_BYTES);
			reader->messages += walk.messages;
			reader->walked += walk.walked_bytes;
			keep_front(reader, whole, walk.media_start);
		} else {
			assert(walk.walked_bytes == left);
			reader->walked += left;
		}
	}
}

void sync_reader_take(struct sync_reader *reader, const uint8_t *bytes, size_t count)
{
	memcpy(reader->rest + reader->rest_bytes, bytes, count);
	reader->rest_bytes += count;
	do {
		if (framing_is_out_of_sync(&reader->scan) && !find(reader))
			return;
		walk(reader);
	} while (framing_is_out_of_sync(&reader->scan));
}

void sync_reader_init(struct sync_reader *reader, enum framing_kind kind)
{
	*reader = (struct sync_reader){.params = sync_reader_params(kind)};
	framing_scan_init(&reader->scan, &reader->params);
	assert(framing_is_out_of_sync(&reader->scan));
}

void sync_reader_read(struct sync_reader *reader, enum framing_kind kind, const uint8_t *bytes,
		      size_t count, size_t piece)
{
	sync_reader_init(reader, kind);
	for (size_t at = 0; at < count && reader->fault == FRAMING_OK; at += piece)
		sync_reader_take(reader, bytes + at, size_min(piece, count - at));
	if (framing_finish(&reader->scan, false))
		keep_front(reader, reader->rest_bytes, reader->scan.media_start);
}
