// SPDX-License-Identifier: MIT
/*
 * WebSocket messages (RFC 6455, frames of a server).  A frame's head stands before the shared
 * payload; only text that is not UTF-8 and packets that become several messages are rewritten, once
 * for all.
 *
 * is_text: text messages, else binary.  What is not UTF-8 becomes U+FFFD, byte by byte; a packet
 * that is all UTF-8 is shared as it is, after one look at it.
 * per_message: one WebSocket message for each message, as the publisher delimits it, LF and length
 * prefix included; else, and with framing = none and relay, for each packet.
 * tells_gaps: a gap is a text message {"gap":{"from":F,"to":T}}; else it cannot be said.
 * is_framed: a binary message is a packet of the framed format with its header, and news are such
 * packets, too.
 * Else a heartbeat is an empty ping, so that the peer's own code answers.  The farewell is a close
 * frame that says why.
 * coding DEFLATE: permessage-deflate (RFC 7692).  Each message is compressed by itself, once for
 * all who read it.  One that would not become shorter goes as it is, and so do gaps, and short ones
 * of a packet that becomes several.
 *
 * Where packets are of several feeds, a line stands before the payload: "NAME SESSION-SEQ" and LF,
 * SEQ that of the first message behind it.  A gap of one of them is
 * {"gap":{"feed":"NAME","from":F,"to":T}}, which no such line can begin like.
 *
 * Each frame is a whole message: a fragmented one could not be finished when its publisher is lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/utf8.h"
#include "packet/deflate_blocks.h"
#include "packet/encoder.h"
#include "packet/websocket_frame.h"

enum {
	LINE_MAX_BYTES = PACKET_FEED_BYTES + 48, /* a session of 10 digits, a number of 20 */
	COMPRESSED_MIN_BYTES = 256,
};

_Static_assert(2 + WEBSOCKET_CONTROL_BYTES <= ENCODER_HEADER_MAX, "a control frame fits");
_Static_assert(WEBSOCKET_HEAD_BYTES + LINE_MAX_BYTES <= ENCODER_HEADER_MAX, "a head fits");

static const struct format_row *row_of(const struct encoder *encoder)
{
	return format_row(encoder->format);
}

static enum websocket_opcode opcode_of(const struct encoder *encoder)
{
	return row_of(encoder)->is_text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY;
}

/* The line before the payload; returns its bytes, 0: there is only one feed. */
static size_t write_line(const struct packet *packet, char out[LINE_MAX_BYTES])
{
	if (!packet->feed)
		return 0;
	return (size_t)snprintf(out, LINE_MAX_BYTES, "%s %u-%llu\n", packet->feed->name,
				packet->session, (unsigned long long)packet->first_seq);
}

static size_t write_data_head(const struct encoder *encoder, const struct packet *packet,
			      uint8_t *out)
{
	char line[LINE_MAX_BYTES];
	size_t line_bytes = write_line(packet, line);
	size_t head_bytes =
		websocket_frame_head(out, opcode_of(encoder), true, line_bytes + packet->length);

	memcpy(out + head_bytes, line, line_bytes);
	return head_bytes + line_bytes;
}

static size_t write_gap(const struct packet *packet, uint8_t *out)
{
	char text[ENCODER_HEADER_MAX - WEBSOCKET_HEAD_BYTES], feed[PACKET_FEED_BYTES + 16] = "";
	size_t bytes, head_bytes;

	if (packet->feed)
		(void)snprintf(feed, sizeof(feed), "\"feed\":\"%s\",", packet->feed->name);
	bytes = (size_t)snprintf(text, sizeof(text), "{\"gap\":{%s\"from\":%llu,\"to\":%llu}}",
				 feed, (unsigned long long)packet->first_seq,
				 (unsigned long long)packet_next_seq(packet));
	head_bytes = websocket_frame_head(out, WEBSOCKET_TEXT, true, bytes);
	memcpy(out + head_bytes, text, bytes);
	return head_bytes + bytes;
}

static size_t write_head(const struct encoder *encoder, const struct packet *packet, uint8_t *out)
{
	switch (packet->type) {
	case PACKET_DATA:
		return write_data_head(encoder, packet, out);
	case PACKET_HEARTBEAT:
		return websocket_control_frame(out, WEBSOCKET_PING, NULL, 0);
	case PACKET_GAP:
		if (!row_of(encoder)->tells_gaps || packet->flags & PACKET_FLAG_HOLE)
			return 0;
		return write_gap(packet, out);
	case PACKET_END:
	case PACKET_SOURCE_DOWN:
	case PACKET_SOURCE_UP:
		break;
	}
	return 0;
}

static size_t write_framed(const struct encoder *encoder, const struct packet *packet, uint8_t *out)
{
	size_t head_bytes = websocket_frame_head(out, opcode_of(encoder), true,
						 PACKET_HEADER_BYTES + packet->length);

	return head_bytes + encoder_framed.header(encoder, packet, out + head_bytes);
}

/* Bytes of the message once it is UTF-8. */
static size_t text_bytes(const uint8_t *message, size_t count)
{
	return utf8_is_valid(message, count) ? count : utf8_replace(message, count, NULL);
}

/* What compresses, and room for what is compressed. */
struct compression {
	z_stream stream;
	uint8_t *room;
};

/* A frame of `text_bytes` behind a head becomes a compressed one, if that is shorter.  Returns its
 * bytes. */
static size_t compress_frame(const struct encoder *encoder, struct compression *compression,
			     uint8_t *frame, size_t head_bytes, size_t text_bytes)
{
	size_t bytes = deflate_piece(&compression->stream, frame + head_bytes, text_bytes,
				     compression->room);

	if (!bytes)
		return head_bytes + text_bytes;
	head_bytes = websocket_frame_head(frame, opcode_of(encoder), true, bytes);
	frame[0] |= WEBSOCKET_COMPRESSED;
	memcpy(frame + head_bytes, compression->room, bytes);
	return head_bytes + bytes;
}

/* One frame, the line of its feed before the message; only measured when `out` is NULL.
 * compression: NULL where there is none. */
static size_t put_frame(const struct encoder *encoder, const struct packet *packet,
			const uint8_t *message, size_t count, uint8_t *out,
			struct compression *compression)
{
	bool is_text = row_of(encoder)->is_text;
	size_t bytes = is_text ? text_bytes(message, count) : count;
	char line[LINE_MAX_BYTES];
	size_t line_bytes = write_line(packet, line);
	uint8_t head[WEBSOCKET_HEAD_BYTES];
	size_t head_bytes =
		websocket_frame_head(head, opcode_of(encoder), true, line_bytes + bytes);
	size_t at = head_bytes + line_bytes;

	if (!out)
		return at + bytes;
	memcpy(out, head, head_bytes);
	memcpy(out + head_bytes, line, line_bytes);
	if (bytes != count)
		(void)utf8_replace(message, count, out + at);
	else if (count)
		memcpy(out + at, message, count);
	if (compression)
		return compress_frame(encoder, compression, out, head_bytes, line_bytes + bytes);
	return at + bytes;
}

/* zlib takes 3 to 8 microseconds for a message of up to 250 bytes, however little it saves.  To
 * send those bytes to a thousand readers takes no longer, where many messages go out at once.  A
 * packet that is one message is sent to each reader by a call of its own, which takes far
 * longer. */
static bool is_worth_compressing(size_t message_bytes, size_t packet_bytes)
{
	return message_bytes == packet_bytes || message_bytes >= COMPRESSED_MIN_BYTES;
}

static size_t put_frames(const struct encoder *encoder, const struct packet *packet,
			 const struct framing_params *framing, const uint8_t *payload, uint8_t *out,
			 struct compression *compression)
{
	size_t length = (size_t)packet->length;
	struct packet own = *packet;
	size_t at = 0, bytes = 0;

	do {
		size_t count = length - at;

		if (row_of(encoder)->per_message)
			count = framing_message_bytes(framing, payload + at, length - at);
		bytes += put_frame(encoder, &own, payload + at, count, out ? out + bytes : NULL,
				   is_worth_compressing(count, length) ? compression : NULL);
		own.first_seq++;
		at += count;
	} while (at < length);
	return bytes;
}

/* One message that needs no replacement is what write_head() and the payload make of it. */
static bool is_shareable(const struct encoder *encoder, const struct framing_params *framing,
			 const uint8_t *payload, size_t length)
{
	if (row_of(encoder)->per_message &&
	    framing_message_bytes(framing, payload, length) != length)
		return false;
	return !(row_of(encoder)->is_text) || utf8_is_valid(payload, length);
}

static uint8_t *rewrite(const struct encoder *encoder, const struct packet *packet,
			const struct framing_params *framing, const uint8_t *payload,
			size_t *ret_bytes)
{
	size_t length = (size_t)packet->length;
	size_t bytes;
	uint8_t *out;

	*ret_bytes = ENCODER_AS_IT_IS;
	if (is_shareable(encoder, framing, payload, length))
		return NULL;
	bytes = put_frames(encoder, packet, framing, payload, NULL, NULL);
	out = malloc(bytes);
	*ret_bytes = out ? put_frames(encoder, packet, framing, payload, out, NULL) : 0;
	return out;
}

/* Without memory to compress, the messages go as they are. */
static uint8_t *rewrite_compressed(const struct encoder *encoder, const struct packet *packet,
				   const struct framing_params *framing, const uint8_t *payload,
				   size_t *ret_bytes)
{
	size_t length = (size_t)packet->length;
	size_t bytes = put_frames(encoder, packet, framing, payload, NULL, NULL);
	struct compression compression = {.room = malloc(bytes + DEFLATE_END_BYTES)};
	uint8_t *out = malloc(bytes);

	if (!out || !compression.room || !deflate_open(&compression.stream, length)) {
		free(compression.room);
		free(out);
		return rewrite(encoder, packet, framing, payload, ret_bytes);
	}
	*ret_bytes = put_frames(encoder, packet, framing, payload, out, &compression);
	deflate_close(&compression.stream);
	free(compression.room);
	return out;
}

/* Who is closed for what it sent has been told by whoever read it. */
static size_t write_farewell(const struct encoder *encoder, enum close_reason reason,
			     const struct packet *place, uint32_t retry_ms, uint8_t *out)
{
	const struct close_reason_row *row = close_reason_row(reason);

	(void)encoder;
	(void)place;
	(void)retry_ms;
	if (row->kind == CLOSE_KIND_PEER || row->kind == CLOSE_KIND_INPUT)
		return 0;
	return websocket_close_frame(out, row->websocket_code, row->text);
}

/* The packet says where to go on, and the close frame why. */
static size_t write_framed_farewell(const struct encoder *encoder, enum close_reason reason,
				    const struct packet *place, uint32_t retry_ms, uint8_t *out)
{
	size_t head_bytes =
		websocket_frame_head(out, opcode_of(encoder), true, PACKET_HEADER_BYTES);
	size_t bytes = encoder_framed.farewell(encoder, reason, place, retry_ms, out + head_bytes);

	if (bytes)
		bytes += head_bytes;
	return bytes + write_farewell(encoder, reason, place, retry_ms, out + bytes);
}

#define ENCODER(name, id, writes, rewrites, ends, alone_or_null)                                   \
	const struct encoder name = {                                                              \
		.format = FORMAT_##id,                                                             \
		.header = writes,                                                                  \
		.rewrite = rewrites,                                                               \
		.farewell = ends,                                                                  \
		.alone = alone_or_null,                                                            \
	}
/* Both ways. */
#define ENCODERS(name, id, rewrites)                                                               \
	ENCODER(name, id, write_head, rewrites, write_farewell, NULL);                             \
	ENCODER(name##_deflate, id##_DEFLATE, write_head, rewrite_compressed, write_farewell,      \
		&(name))

ENCODERS(encoder_websocket, WEBSOCKET, NULL);
ENCODERS(encoder_websocket_text, WEBSOCKET_TEXT, rewrite);
ENCODERS(encoder_websocket_messages, WEBSOCKET_MESSAGES, rewrite);
ENCODERS(encoder_websocket_text_messages, WEBSOCKET_TEXT_MESSAGES, rewrite);
ENCODER(encoder_websocket_framed, WEBSOCKET_FRAMED, write_framed, NULL, write_framed_farewell,
	NULL);
ENCODERS(encoder_websocket_gaps, WEBSOCKET_GAPS, NULL);
ENCODERS(encoder_websocket_gaps_text, WEBSOCKET_GAPS_TEXT, rewrite);
ENCODERS(encoder_websocket_gaps_messages, WEBSOCKET_GAPS_MESSAGES, rewrite);
ENCODERS(encoder_websocket_gaps_text_messages, WEBSOCKET_GAPS_TEXT_MESSAGES, rewrite);
