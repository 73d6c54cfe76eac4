// SPDX-License-Identifier: MIT
/* The reader is in a header while payload_left is 0, else in a payload. */
#include "tools/relaycat/packet_reader.h"

#include <string.h>

static int read_header(struct packet_reader *reader, const uint8_t *bytes, size_t size,
		       size_t *ret_used, struct packet_piece *ret_piece)
{
	size_t part = size_min(sizeof reader->raw - reader->raw_bytes, size);
	int r;

	memcpy(reader->raw + reader->raw_bytes, bytes, part);
	reader->raw_bytes = (uint8_t)(reader->raw_bytes + part);
	*ret_used = part;
	*ret_piece = (struct packet_piece){0};
	if (reader->raw_bytes < sizeof reader->raw)
		return 0;
	r = packet_header_decode(reader->raw, &reader->header);
	if (r < 0)
		return r;
	reader->raw_bytes = 0;
	reader->payload_left = reader->header.length;
	ret_piece->is_header = true;
	ret_piece->ends = reader->payload_left == 0;
	return 0;
}

int packet_reader_next(struct packet_reader *reader, const uint8_t *bytes, size_t size,
		       size_t *ret_used, struct packet_piece *ret_piece)
{
	size_t part = size_min(reader->payload_left, size);

	if (reader->payload_left == 0)
		return read_header(reader, bytes, size, ret_used, ret_piece);
	reader->payload_left -= (uint32_t)part;
	*ret_used = part;
	*ret_piece = (struct packet_piece){
		.payload = bytes,
		.payload_bytes = part,
		.ends = reader->payload_left == 0,
	};
	return 0;
}

bool packet_reader_is_between(const struct packet_reader *reader)
{
	return reader->payload_left == 0 && reader->raw_bytes == 0;
}
