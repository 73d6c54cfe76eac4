// SPDX-License-Identifier: MIT
/*
 * A body of gzip (RFC 1952), in chunks.  What another format says is compressed: the payload, or
 * events.
 *
 * Each packet is a piece of blocks that needs none before it, so a reader can begin with any of
 * them.  News and last words are stored, not compressed.  The head of gzip comes with the head of
 * the answer (http/stream_answer.c).
 *
 * There is no trailer: its sum would be another for each reader, who began somewhere else.  The
 * chunks say where the body ends, and clients go by that.
 */
#include <stdlib.h>
#include <string.h>

#include "packet/deflate_blocks.h"
#include "packet/encoder.h"
#include "packet/encoder_chunked.h"

/* What is compressed: an encoder whose bytes are no chunks. */
static const struct encoder *inner_of(const struct encoder *encoder)
{
	return format_is_events(encoder->format) ? &encoder_events_plain : &encoder_raw;
}

/* Words of the inner encoder, as a chunk. */
static size_t store_words(const uint8_t *words, size_t bytes, uint8_t *out)
{
	size_t at = bytes ? chunk_head(deflate_store(words, bytes, NULL), out) : 0;

	if (!bytes)
		return 0;
	at += deflate_store(words, bytes, out + at);
	memcpy(out + at, CHUNK_END, 2);
	return at + 2;
}

static size_t store_news(const struct encoder *encoder, const struct packet *packet, uint8_t *out)
{
	const struct encoder *inner = inner_of(encoder);
	uint8_t words[ENCODER_HEADER_MAX];

	return store_words(words, inner->header(inner, packet, words), out);
}

static size_t store_greeting(const struct encoder *encoder, const struct packet *place,
			     uint32_t retry_ms, uint8_t *out)
{
	const struct encoder *inner = inner_of(encoder);
	uint8_t words[ENCODER_HEADER_MAX];

	return store_words(words, inner->greeting(inner, place, retry_ms, words), out);
}

static size_t store_farewell(const struct encoder *encoder, enum close_reason reason,
			     const struct packet *place, uint32_t retry_ms, uint8_t *out)
{
	const struct encoder *inner = inner_of(encoder);
	uint8_t words[ENCODER_HEADER_MAX];
	size_t bytes = inner->farewell ? inner->farewell(inner, reason, place, retry_ms, words) : 0;

	bytes = store_words(words, bytes, out);
	return bytes + chunk_last(reason, out + bytes);
}

/* Compressed, or 0: it would be no shorter, or there is no memory for it. */
static size_t compress_text(const uint8_t *text, size_t bytes, uint8_t *out)
{
	z_stream stream;
	size_t compressed;

	if (!deflate_open(&stream, bytes))
		return 0;
	compressed = deflate_piece(&stream, text, bytes, out);
	deflate_close(&stream);
	return compressed ? compressed + DEFLATE_END_BYTES : 0;
}

/* The chunk.  Its head is known last, and moves the text to where it ends. */
static uint8_t *make_chunk(const uint8_t *text, size_t bytes, bool compresses, size_t *ret_bytes)
{
	uint8_t *out =
		malloc(CHUNK_HEAD_MAX + deflate_store(text, bytes, NULL) + strlen(CHUNK_END));
	size_t body = 0, head_bytes;

	*ret_bytes = 0;
	if (!out)
		return NULL;
	if (compresses)
		body = compress_text(text, bytes, out + CHUNK_HEAD_MAX);
	if (!body)
		body = deflate_store(text, bytes, out + CHUNK_HEAD_MAX);
	head_bytes = chunk_head(body, out);
	memmove(out + head_bytes, out + CHUNK_HEAD_MAX, body);
	memcpy(out + head_bytes + body, CHUNK_END, 2);
	*ret_bytes = head_bytes + body + 2;
	return out;
}

static uint8_t *rewrite(const struct encoder *encoder, const struct packet *packet,
			const struct framing_params *framing, const uint8_t *payload,
			size_t *ret_bytes)
{
	const struct encoder *inner = inner_of(encoder);
	size_t bytes = (size_t)packet->length;
	uint8_t *text = NULL, *out;

	if (inner->rewrite) {
		text = inner->rewrite(inner, packet, framing, payload, &bytes);
		*ret_bytes = 0;
		if (!text)
			return NULL;
	}
	out = make_chunk(text ? text : payload, bytes, encoder->alone, ret_bytes);
	free(text);
	return out;
}

#define GZIP_ENCODER(name, id, greets, alone_or_null)                                              \
	const struct encoder name = {                                                              \
		.format = FORMAT_##id,                                                             \
		.header = store_news,                                                              \
		.rewrite = rewrite,                                                                \
		.greeting = greets,                                                                \
		.farewell = store_farewell,                                                        \
		.alone = alone_or_null,                                                            \
	}
/* Compressed, and for one reader alone. */
#define GZIP_ENCODERS(name, id, greets)                                                            \
	static GZIP_ENCODER(name##_alone, id, greets, NULL);                                       \
	GZIP_ENCODER(name, id, greets, &name##_alone)

GZIP_ENCODERS(encoder_chunked_gzip, HTTP_GZIP, NULL);
GZIP_ENCODERS(encoder_events_gzip, EVENTS_GZIP, store_greeting);
