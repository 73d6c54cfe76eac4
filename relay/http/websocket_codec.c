// SPDX-License-Identifier: MIT
/*
 * WebSocket frames.
 *
 * A head is gathered byte by byte and judged as soon as the byte is there that decides; payload is
 * then unmasked where it stands, and only that of control frames is kept, for they are short and
 * wanted whole.
 */
#include "http/websocket_codec.h"

#include <string.h>

#define BIT_FINAL   0x80
#define BITS_RSV    0x70
#define BIT_CONTROL 0x08
#define BITS_OPCODE 0x0f
#define BIT_MASK    0x80
#define BITS_LENGTH 0x7f
#define LENGTH_16   126
#define LENGTH_64   127

void websocket_decoder_init(struct websocket_decoder *decoder, uint64_t max_message_bytes)
{
	*decoder = (struct websocket_decoder){.max_message_bytes = max_message_bytes};
}

static bool fail(struct websocket_decoder *decoder, uint16_t code, const char *reason)
{
	decoder->end = WEBSOCKET_EVENT_ERROR;
	decoder->code = code;
	decoder->reason = reason;
	return false;
}

static bool break_protocol(struct websocket_decoder *decoder, const char *reason)
{
	return fail(decoder, WEBSOCKET_CLOSE_PROTOCOL_ERROR, reason);
}

/* --- heads --- */

static bool is_control(const struct websocket_decoder *decoder)
{
	return decoder->head[0] & BIT_CONTROL;
}

static bool is_final(const struct websocket_decoder *decoder)
{
	return decoder->head[0] & BIT_FINAL;
}

static bool begins_message(const struct websocket_decoder *decoder)
{
	unsigned opcode = decoder->head[0] & BITS_OPCODE;

	return opcode == WEBSOCKET_TEXT || opcode == WEBSOCKET_BINARY;
}

/* Reserved bits that an extension has given a meaning (RFC 7692, 6). */
static unsigned allowed_bits(const struct websocket_decoder *decoder)
{
	return decoder->takes_compressed && begins_message(decoder) ? WEBSOCKET_COMPRESSED : 0;
}

static bool check_first_byte(struct websocket_decoder *decoder)
{
	unsigned opcode = decoder->head[0] & BITS_OPCODE;

	if (decoder->head[0] & BITS_RSV & ~allowed_bits(decoder))
		return break_protocol(decoder, "a reserved bit is set, but no extension agreed");
	if ((opcode > WEBSOCKET_BINARY && opcode < WEBSOCKET_CLOSE) || opcode > WEBSOCKET_PONG)
		return break_protocol(decoder, "a frame with a reserved opcode");
	if (is_control(decoder))
		return is_final(decoder) || break_protocol(decoder, "a control frame in fragments");
	if (opcode == WEBSOCKET_CONTINUATION && !decoder->message_opcode)
		return break_protocol(decoder, "a continuation of nothing");
	if (opcode != WEBSOCKET_CONTINUATION && decoder->message_opcode)
		return break_protocol(decoder, "a new message inside of one in fragments");
	return true;
}

static bool check_second_byte(struct websocket_decoder *decoder)
{
	unsigned length = decoder->head[1] & BITS_LENGTH;

	if (!(decoder->head[1] & BIT_MASK))
		return break_protocol(decoder, "a frame that is not masked");
	if (is_control(decoder) && length > WEBSOCKET_CONTROL_BYTES)
		return break_protocol(decoder, "a control frame of more than 125 bytes");
	decoder->head_need = length == LENGTH_64 ? 14 : length == LENGTH_16 ? 8 : 6;
	return true;
}

/* That the head has beside two bytes and the mask. */
static unsigned length_bytes(const struct websocket_decoder *decoder)
{
	return decoder->head_need - 6u;
}

/* Payload of the frame at hand, once its length has come. */
static uint64_t frame_bytes(const struct websocket_decoder *decoder)
{
	unsigned extra = length_bytes(decoder);
	uint64_t length = 0;

	for (unsigned i = 0; i < extra; i++)
		length = length << 8 | decoder->head[2 + i];
	return extra ? length : decoder->head[1] & BITS_LENGTH;
}

static bool check_length(struct websocket_decoder *decoder)
{
	unsigned extra = length_bytes(decoder);
	uint64_t length = frame_bytes(decoder);

	if (length >> 63)
		return break_protocol(decoder, "a length of more than 63 bits");
	if ((extra == 2 && length < LENGTH_16) || (extra == 8 && length <= UINT16_MAX))
		return break_protocol(decoder, "a length that is not in its shortest form");
	if (!is_control(decoder)) {
		if (length > decoder->max_message_bytes - decoder->message_bytes)
			return fail(decoder, WEBSOCKET_CLOSE_TOO_BIG, "a message that is too long");
		decoder->message_bytes += length;
	}
	decoder->frame_left = length;
	return true;
}

static void begin_payload(struct websocket_decoder *decoder)
{
	decoder->mask_at = 0;
	decoder->control_bytes = 0;
	if (begins_message(decoder)) {
		decoder->message_opcode = decoder->head[0] & BITS_OPCODE;
		decoder->utf8 = (struct utf8_check){0};
		decoder->is_compressed = decoder->head[0] & WEBSOCKET_COMPRESSED;
	}
}

/* Takes one byte of a head.  False when it is wrong. */
static bool take_head_byte(struct websocket_decoder *decoder, uint8_t byte)
{
	decoder->head[decoder->head_bytes++] = byte;
	if (decoder->head_bytes == 1)
		return check_first_byte(decoder);
	if (decoder->head_bytes == 2 && !check_second_byte(decoder))
		return false;
	if (decoder->head_bytes == decoder->head_need - 4 && !check_length(decoder))
		return false;
	if (decoder->head_bytes == decoder->head_need)
		begin_payload(decoder);
	return true;
}

static bool is_head_whole(const struct websocket_decoder *decoder)
{
	return decoder->head_need > 0 && decoder->head_bytes == decoder->head_need;
}

static void end_frame(struct websocket_decoder *decoder)
{
	decoder->head_bytes = 0;
	decoder->head_need = 0;
}

/* --- payload --- */

static void unmask(struct websocket_decoder *decoder, uint8_t *bytes, size_t count)
{
	const uint8_t *mask = decoder->head + decoder->head_need - 4;

	for (size_t i = 0; i < count; i++)
		bytes[i] ^= mask[(decoder->mask_at + i) % 4];
	decoder->mask_at = (uint8_t)((decoder->mask_at + count) % 4);
	decoder->frame_left -= count;
}

/* Payload of a data frame; all of it that has come is one event, if it is any. */
static void take_data(struct websocket_decoder *decoder, const uint8_t *bytes, size_t count,
		      struct websocket_event *ret)
{
	bool is_message_end = decoder->frame_left == 0 && is_final(decoder);
	unsigned opcode = decoder->message_opcode;

	if (decoder->frame_left == 0)
		end_frame(decoder);
	if (opcode == WEBSOCKET_TEXT && !decoder->is_compressed) {
		if (!utf8_check(&decoder->utf8, bytes, count) ||
		    (is_message_end && !utf8_is_whole(&decoder->utf8))) {
			fail(decoder, WEBSOCKET_CLOSE_NOT_UTF8, "a text that is not UTF-8");
			return;
		}
	}
	if (is_message_end) {
		decoder->message_opcode = WEBSOCKET_CONTINUATION;
		decoder->message_bytes = 0;
	}
	if (count == 0 && !is_message_end)
		return;
	*ret = (struct websocket_event){
		.kind = WEBSOCKET_EVENT_DATA,
		.opcode = opcode,
		.payload = bytes,
		.payload_bytes = count,
		.is_message_end = is_message_end,
	};
}

static void take_close(struct websocket_decoder *decoder, struct websocket_event *ret)
{
	const uint8_t *payload = decoder->control;
	size_t bytes = decoder->control_bytes;
	uint16_t code = WEBSOCKET_CLOSE_NO_CODE;

	if (bytes == 1) {
		break_protocol(decoder, "a close frame of one byte");
		return;
	}
	if (bytes >= 2) {
		code = (uint16_t)(payload[0] << 8 | payload[1]);
		payload += 2;
		bytes -= 2;
		if (!websocket_close_code_is_valid(code)) {
			break_protocol(decoder, "a close code that may not be sent");
			return;
		}
		if (!utf8_is_valid(payload, bytes)) {
			fail(decoder, WEBSOCKET_CLOSE_NOT_UTF8, "a close reason that is not UTF-8");
			return;
		}
	}
	decoder->end = WEBSOCKET_EVENT_CLOSE;
	decoder->code = code;
	*ret = (struct websocket_event){
		.kind = WEBSOCKET_EVENT_CLOSE,
		.payload = payload,
		.payload_bytes = bytes,
		.code = code,
	};
}

/* Payload of a control frame; an event when the frame is whole. */
static void take_control(struct websocket_decoder *decoder, const uint8_t *bytes, size_t count,
			 struct websocket_event *ret)
{
	memcpy(decoder->control + decoder->control_bytes, bytes, count);
	decoder->control_bytes = (uint8_t)(decoder->control_bytes + count);
	if (decoder->frame_left > 0)
		return;
	end_frame(decoder);
	if ((decoder->head[0] & BITS_OPCODE) == WEBSOCKET_CLOSE) {
		take_close(decoder, ret);
		return;
	}
	*ret = (struct websocket_event){
		.kind = WEBSOCKET_EVENT_CONTROL,
		.opcode = decoder->head[0] & BITS_OPCODE,
		.payload = decoder->control,
		.payload_bytes = decoder->control_bytes,
	};
}

bool websocket_decoder_is_between(const struct websocket_decoder *decoder)
{
	return decoder->end == WEBSOCKET_EVENT_MORE && decoder->head_bytes == 0 &&
	       decoder->message_opcode == WEBSOCKET_CONTINUATION;
}

size_t websocket_decode(struct websocket_decoder *decoder, uint8_t *bytes, size_t count,
			struct websocket_event *ret)
{
	size_t taken = 0;

	*ret = (struct websocket_event){.kind = WEBSOCKET_EVENT_MORE};
	while (ret->kind == WEBSOCKET_EVENT_MORE && decoder->end == WEBSOCKET_EVENT_MORE) {
		size_t payload;

		while (!is_head_whole(decoder)) {
			if (taken == count)
				return taken;
			if (!take_head_byte(decoder, bytes[taken++]))
				break;
		}
		if (decoder->end != WEBSOCKET_EVENT_MORE)
			break;
		payload = decoder->frame_left < count - taken ? (size_t)decoder->frame_left
							      : count - taken;
		if (payload == 0 && decoder->frame_left > 0)
			return taken;
		unmask(decoder, bytes + taken, payload);
		if (is_control(decoder))
			take_control(decoder, bytes + taken, payload, ret);
		else
			take_data(decoder, bytes + taken, payload, ret);
		taken += payload;
	}
	if (decoder->end == WEBSOCKET_EVENT_MORE)
		return taken;
	if (ret->kind == WEBSOCKET_EVENT_MORE)
		*ret = (struct websocket_event){
			.kind = decoder->end,
			.code = decoder->code,
			.reason = decoder->reason,
		};
	return count;
}
