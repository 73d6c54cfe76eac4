// SPDX-License-Identifier: MIT
/* The raw format: payload only.  It has no way to tell news, so a reader must not be skipped
 * unnoticed unless the messages delimit themselves. */
#include "packet/encoder.h"

static const uint8_t *read_packet(const uint8_t *wire, size_t bytes, struct packet *packet)
{
	packet->length = bytes;
	return wire;
}

const struct encoder encoder_raw = {
	.format = FORMAT_RAW,
	.header = encoder_no_header,
	.read = read_packet,
};
