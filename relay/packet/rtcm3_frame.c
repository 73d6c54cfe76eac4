// SPDX-License-Identifier: MIT
/*
 * Frames of RTCM 10403 version 3, the corrections that GNSS receivers send and take (4.1).
 *
 *   | 0xd3 | 6 bits of 0, length (10 bits) | body (0 to 1,023 bytes) | CRC (3 bytes) |
 *
 * The CRC is CRC-24Q of all before it: the remainder of a division by 0x1864cfb.  Together with its
 * CRC a frame leaves no remainder.
 */
#include "packet/sync_frame.h"

enum {
	FIRST_BYTE = 0xd3,
	HEAD_BYTES = 3,
	CRC_BYTES = 3,
};

/* For four bits at a time. */
static uint32_t divide(uint32_t remainder, uint8_t byte)
{
	static const uint32_t steps[16] = {
		0x000000, 0x864cfb, 0x8ad50d, 0x0c99f6, 0x93e6e1, 0x15aa1a, 0x1933ec, 0x9f7f17,
		0xa18139, 0x27cdc2, 0x2b5434, 0xad18cf, 0x3267d8, 0xb42b23, 0xb8b2d5, 0x3efe2e,
	};

	remainder ^= (uint32_t)byte << 16;
	remainder = (remainder << 4 & 0xffffff) ^ steps[remainder >> 20];
	return (remainder << 4 & 0xffffff) ^ steps[remainder >> 20];
}

/* One of the first three bytes.  False: no frame begins so. */
static bool take_head(struct sync_frame *frame, uint8_t byte)
{
	switch (frame->seen) {
	case 1:
		return byte == FIRST_BYTE;
	case 2:
		frame->left = (uint32_t)byte << 8;
		return byte < 4;
	default:
		frame->left += byte + CRC_BYTES;
		return true;
	}
}

static enum sync_taken take(struct sync_frame *frame, const uint8_t *bytes, size_t count,
			    size_t *ret_taken)
{
	size_t at = 0;

	*ret_taken = 0;
	while (at < count) {
		uint8_t byte = bytes[at];

		*ret_taken = ++at;
		frame->seen++;
		frame->remainder = divide(frame->remainder, byte);
		if (frame->seen <= HEAD_BYTES) {
			if (!take_head(frame, byte))
				return SYNC_BROKEN;
		} else if (--frame->left == 0) {
			return frame->remainder ? SYNC_BROKEN : SYNC_WHOLE;
		}
	}
	return SYNC_OPEN;
}

const struct sync_form rtcm3_form = {.first = FIRST_BYTE, .take = take};
