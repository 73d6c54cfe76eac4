// SPDX-License-Identifier: MIT
/* Chunks: a step for each kind of byte that may come next. */
#include "pull/chunk_decoder.h"

#include <string.h>

enum step {
	FIRST_DIGIT, /* of a size */
	DIGITS,
	EXTENSION,
	SIZE_LF,
	PAYLOAD,
	PAYLOAD_CR,
	PAYLOAD_LF,
	TRAILER_FIRST, /* byte of a line */
	TRAILER,
	TRAILER_LF,
	LAST_LF,
};

static int hex_digit(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The next step; or -1: this byte may not stand there. */
static int take_digit(struct chunk_decoder *decoder, uint8_t byte)
{
	int digit = hex_digit(byte);

	if (digit >= 0) {
		if (decoder->left_bytes >> 60)
			return -1;
		decoder->left_bytes = decoder->left_bytes << 4 | (uint64_t)digit;
		return DIGITS;
	}
	if (decoder->step == FIRST_DIGIT)
		return -1;
	if (byte == '\r')
		return SIZE_LF;
	return byte == ';' || byte == ' ' || byte == '\t' ? EXTENSION : -1;
}

/* Up to the CR of a line that says nothing to us. */
static int pass_over(uint8_t byte, int step, int behind)
{
	if (byte == '\r')
		return behind;
	return (byte < 0x20 && byte != '\t') || byte == 0x7f ? -1 : step;
}

static int end_size(struct chunk_decoder *decoder)
{
	decoder->line_bytes = 0;
	return decoder->left_bytes ? PAYLOAD : TRAILER_FIRST;
}

static int end_body(struct chunk_decoder *decoder)
{
	decoder->has_ended = true;
	return LAST_LF;
}

static int next_step(struct chunk_decoder *decoder, uint8_t byte)
{
	bool is_lf = byte == '\n';

	switch ((enum step)decoder->step) {
	case FIRST_DIGIT:
	case DIGITS:
		return take_digit(decoder, byte);
	case EXTENSION:
		return pass_over(byte, EXTENSION, SIZE_LF);
	case SIZE_LF:
		return is_lf ? end_size(decoder) : -1;
	case PAYLOAD_CR:
		return byte == '\r' ? PAYLOAD_LF : -1;
	case PAYLOAD_LF:
		return is_lf ? FIRST_DIGIT : -1;
	case TRAILER_FIRST:
		return pass_over(byte, TRAILER, LAST_LF);
	case TRAILER:
		return pass_over(byte, TRAILER, TRAILER_LF);
	case TRAILER_LF:
		return is_lf ? TRAILER_FIRST : -1;
	case LAST_LF:
		return is_lf ? end_body(decoder) : -1;
	case PAYLOAD:
		break;
	}
	return -1;
}

static bool is_too_long(const struct chunk_decoder *decoder)
{
	uint32_t limit = decoder->step >= TRAILER_FIRST ? CHUNK_TRAILER_BYTES : CHUNK_LINE_BYTES;

	return decoder->line_bytes > limit;
}

static void take_byte(struct chunk_decoder *decoder, uint8_t byte)
{
	int step;

	decoder->line_bytes++;
	step = next_step(decoder, byte);
	decoder->is_broken = step < 0 || is_too_long(decoder);
	if (!decoder->is_broken)
		decoder->step = (uint8_t)step;
}

size_t chunk_decode(struct chunk_decoder *decoder, uint8_t *bytes, size_t count)
{
	size_t at = 0, found = 0;

	while (at < count && !decoder->has_ended && !decoder->is_broken) {
		size_t payload;

		if (decoder->step != PAYLOAD) {
			take_byte(decoder, bytes[at++]);
			continue;
		}
		payload = (size_t)u64_min(count - at, decoder->left_bytes);
		memmove(bytes + found, bytes + at, payload);
		found += payload;
		at += payload;
		decoder->left_bytes -= payload;
		if (decoder->left_bytes == 0)
			decoder->step = PAYLOAD_CR;
	}
	return found;
}
