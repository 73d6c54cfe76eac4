// SPDX-License-Identifier: MIT
/* Inflating; see the header. */
#include "tests/unit/inflate_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "packet/websocket_frame.h"
#include "tests/unit/format_rig.h"

enum {
	STEP_BYTES = 65536,
};

static void append(struct inflate_wire *wire, const uint8_t *bytes, size_t count)
{
	wire->bytes = realloc(wire->bytes, wire->size + count + 1);
	assert_non_null(wire->bytes);
	memcpy(wire->bytes + wire->size, bytes, count);
	wire->size += count;
}

static void begin(z_stream *stream)
{
	*stream = (z_stream){.next_in = NULL};
	assert_int_equal(inflateInit2(stream, -15), Z_OK);
}

// All of it comes out, and the stream has not ended.
static void take(z_stream *stream, const uint8_t *bytes, size_t count, struct inflate_wire *ret)
{
	uint8_t out[STEP_BYTES];

	stream->next_in = (z_const Bytef *)(uintptr_t)bytes;
	stream->avail_in = (uInt)count;
	do {
		int r;

		stream->next_out = out;
		stream->avail_out = sizeof(out);
		r = inflate(stream, Z_SYNC_FLUSH);
		assert_true(r == Z_OK || r == Z_BUF_ERROR);
		append(ret, out, sizeof(out) - stream->avail_out);
	} while (!stream->avail_out);
	assert_int_equal(stream->avail_in, 0);
}

static void take_message(const uint8_t *frame, const uint8_t *payload, size_t count,
			 struct inflate_wire *ret)
{
	static const uint8_t end[] = {0, 0, 0xff, 0xff};
	struct inflate_wire message = {.bytes = NULL};
	uint8_t head[WEBSOCKET_HEAD_BYTES];
	z_stream stream;

	begin(&stream);
	take(&stream, payload, count, &message);
	take(&stream, end, sizeof(end), &message);
	(void)inflateEnd(&stream);
	assert_true(count < message.size);
	append(ret, head, websocket_frame_head(head, frame[0] & 15, true, message.size));
	append(ret, message.bytes, message.size);
	ret->compressed++;
	free(message.bytes);
}

struct inflate_wire inflate_rig_frames(const uint8_t *wire, size_t size)
{
	struct inflate_wire ret = {.bytes = NULL};

	for (size_t at = 0; at < size;) {
		uint64_t count = wire[at + 1];
		size_t extra = count == 127 ? 8 : count == 126 ? 2 : 0;
		size_t head = 2 + extra;

		assert_true(wire[at] & 0x80 && count <= 127 && !(wire[at] & 0x30));
		for (size_t i = 0; i < extra; i++)
			count = (i ? count << 8 : 0) | wire[at + 2 + i];
		assert_true(count <= size - at - head);
		if (wire[at] & 0x40)
			take_message(wire + at, wire + at + head, count, &ret);
		else
			append(&ret, wire + at, head + count);
		at += head + count;
	}
	return ret;
}

struct inflate_wire inflate_rig_chunks(const uint8_t *wire, size_t size)
{
	struct format_wire chunks = format_rig_chunks(wire, size);
	struct inflate_wire ret = {.bytes = NULL};
	z_stream stream;

	assert_int_equal(chunks.torn_bytes, 0);
	begin(&stream);
	take(&stream, chunks.payload, chunks.size, &ret);
	(void)inflateEnd(&stream);
	ret.compressed = chunks.size < ret.size ? chunks.pieces : 0;
	free(chunks.payload);
	return ret;
}
