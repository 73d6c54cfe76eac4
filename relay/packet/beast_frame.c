// SPDX-License-Identifier: MIT
/*
 * Frames of the Beast format, in which receivers of aircraft (ADS-B, Mode S) send what they hear.
 *
 *   | 0x1a | type | body |
 *
 * The type says how long the body is.  In a body 0x1a stands twice, so 0x1a and a type are always
 * the beginning of a frame.  There is no check sum.  The length that is meant counts 0x1a once.
 */
#include "packet/sync_frame.h"

enum {
	ESCAPE = 0x1a,
	HEAD_BYTES = 2,
	STAMP_BYTES = 6 + 1, /* a clock of the receiver, the strength of the signal */
};

/* Bytes of the body.  0: no frame has this type. */
static uint32_t body_of(uint8_t type)
{
	switch (type) {
	case '1':
		return STAMP_BYTES + 2; /* Mode A or C */
	case '2':
		return STAMP_BYTES + 7; /* Mode S, short */
	case '3':                       /* Mode S, long */
	case '4':                       /* state of the receiver */
	case '5':                       /* its position (Radarcape) */
		return STAMP_BYTES + 14;
	case 'P': /* a question for the time on the way (readsb) */
		return 3;
	case 0xe3: /* who has received the next one (readsb) */
		return 8;
	default:
		return 0;
	}
}

static enum sync_taken take_head(struct sync_frame *frame, uint8_t byte)
{
	if (frame->seen == 1)
		return byte == ESCAPE ? SYNC_OPEN : SYNC_BROKEN;
	frame->left = body_of(byte);
	return frame->left ? SYNC_OPEN : SYNC_BROKEN;
}

static enum sync_taken take_body(struct sync_frame *frame, uint8_t byte)
{
	if (frame->is_escape && byte != ESCAPE)
		return SYNC_BROKEN;
	frame->is_escape = byte == ESCAPE && !frame->is_escape;
	if (frame->is_escape)
		return SYNC_OPEN;
	return --frame->left ? SYNC_OPEN : SYNC_WHOLE;
}

static enum sync_taken take(struct sync_frame *frame, const uint8_t *bytes, size_t count,
			    size_t *ret_taken)
{
	enum sync_taken result = SYNC_OPEN;
	size_t at = 0;

	while (at < count && result == SYNC_OPEN) {
		frame->seen++;
		result = frame->seen <= HEAD_BYTES ? take_head(frame, bytes[at])
						   : take_body(frame, bytes[at]);
		at++;
	}
	*ret_taken = at;
	return result;
}

const struct sync_form beast_form = {.first = ESCAPE, .next_bytes = HEAD_BYTES, .take = take};
