// SPDX-License-Identifier: MIT
/* The framed format: each packet behind the 32-byte header of base/packet_header.h. */
#include "packet/encoder.h"

static size_t write_header(const struct encoder *encoder, const struct packet *packet, uint8_t *out)
{
	const struct packet_header header = {
		.type = (uint8_t)packet->type,
		.flags = packet->flags,
		.count = packet->count,
		.length = (uint32_t)packet->length,
		.session = packet->session,
		.sequence = packet->first_seq,
		.time = packet->time_ns,
	};

	(void)encoder;
	packet_header_encode(&header, out);
	return PACKET_HEADER_BYTES;
}

static const uint8_t *read_packet(const uint8_t *wire, size_t bytes, struct packet *packet)
{
	struct packet_header header;

	packet->length = bytes - PACKET_HEADER_BYTES;
	if (packet_header_decode(wire, &header) == 0) { /* it is what write_header() has made */
		packet->type = (enum packet_type)header.type;
		packet->flags = header.flags;
		packet->count = header.count;
		packet->time_ns = header.time;
	}
	return wire + PACKET_HEADER_BYTES;
}

/* What else there is to say of an end stands in the ring. */
static size_t write_farewell(const struct encoder *encoder, enum close_reason reason,
			     const struct packet *place, uint32_t retry_ms, uint8_t *out)
{
	struct packet last = *place;

	(void)retry_ms;
	if (reason != CLOSE_MOVED)
		return 0;
	last.flags |= PACKET_FLAG_MOVED;
	return write_header(encoder, &last, out);
}

const struct encoder encoder_framed = {
	.format = FORMAT_FRAMED,
	.header = write_header,
	.read = read_packet,
	.farewell = write_farewell,
};
