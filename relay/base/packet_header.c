// SPDX-License-Identifier: MIT
/*
 * The 32-byte header of the framed format, as it is on the wire.
 *
 * Fields are written byte by byte, so neither the host's byte order nor the alignment of the buffer
 * matters. Decoding trusts nothing: the bytes come from a publisher.
 */
#include "base/packet_header.h"

#include <errno.h>
#include <string.h>

static const uint8_t magic[4] = {'R', 'L', 'Y', '1'};

static const char *const type_names[] = {
	[PACKET_DATA] = "data",
	[PACKET_HEARTBEAT] = "heartbeat",
	[PACKET_GAP] = "gap",
	[PACKET_END] = "end",
	[PACKET_SOURCE_DOWN] = "source-down",
	[PACKET_SOURCE_UP] = "source-up",
};

static void put(uint8_t *out, size_t bytes, uint64_t value)
{
	while (bytes > 0) {
		out[--bytes] = (uint8_t)value;
		value >>= 8;
	}
}

static uint64_t get(const uint8_t *in, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value = value << 8 | in[i];
	return value;
}

void packet_header_encode(const struct packet_header *header, uint8_t out[PACKET_HEADER_BYTES])
{
	memcpy(out, magic, sizeof(magic));
	out[4] = header->type;
	out[5] = header->flags;
	put(out + 6, 2, header->count);
	put(out + 8, 4, header->length);
	put(out + 12, 4, header->session);
	put(out + 16, 8, header->sequence);
	put(out + 24, 8, header->time);
}

static int check(const struct packet_header *header)
{
	if (header->sequence > UINT64_MAX - header->count)
		return -EINVAL;
	if (header->type == PACKET_DATA)
		return header->count || header->flags & PACKET_FLAG_CONTINUED ? 0 : -EINVAL;
	if (header->type > PACKET_SOURCE_UP)
		return -EINVAL;
	if (header->count || header->length || header->flags & PACKET_FLAG_CONTINUED)
		return -EINVAL;
	if (header->type == PACKET_GAP && header->time <= header->sequence)
		return -EINVAL;
	return 0;
}

int packet_header_decode(const uint8_t in[PACKET_HEADER_BYTES], struct packet_header *ret_header)
{
	struct packet_header header;
	int r;

	if (memcmp(in, magic, sizeof(magic)) != 0)
		return -EPROTO;
	header = (struct packet_header){
		.type = in[4],
		.flags = in[5],
		.count = (uint16_t)get(in + 6, 2),
		.length = (uint32_t)get(in + 8, 4),
		.session = (uint32_t)get(in + 12, 4),
		.sequence = get(in + 16, 8),
		.time = get(in + 24, 8),
	};
	r = check(&header);
	if (r < 0)
		return r;
	*ret_header = header;
	return 0;
}

const char *packet_type_name(uint8_t type)
{
	return type < ARRAY_LEN(type_names) ? type_names[type] : "unknown";
}
