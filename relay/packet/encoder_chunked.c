// SPDX-License-Identifier: MIT
/*
 * The body of an HTTP/1.1 response (RFC 9112, 7.1): one chunk a packet, and what the chunks of
 * other formats are made of.  It has no news.  The farewell is the last chunk, after a clean end
 * only: any other shows as an unfinished body.  A chunk of no bytes would end the body, so an empty
 * packet has neither head nor end.
 */
#include "packet/encoder_chunked.h"

#include <string.h>

#include "packet/encoder.h"

size_t chunk_head(uint64_t bytes, uint8_t out[CHUNK_HEAD_MAX])
{
	static const char digits[] = "0123456789abcdef";
	unsigned count = 1;

	while (count < 16 && bytes >> 4 * count)
		count++;
	for (unsigned i = 0; i < count; i++)
		out[i] = (uint8_t)digits[bytes >> 4 * (count - 1 - i) & 15];
	memcpy(out + count, CHUNK_END, 2);
	return count + 2;
}

size_t chunk_last(enum close_reason reason, uint8_t *out)
{
	static const char last[] = "0\r\n\r\n";

	if (close_reason_row(reason)->kind != CLOSE_KIND_CLEAN)
		return 0;
	memcpy(out, last, sizeof(last) - 1);
	return sizeof(last) - 1;
}

static size_t write_head(const struct encoder *encoder, const struct packet *packet, uint8_t *out)
{
	(void)encoder;
	if (packet->type != PACKET_DATA || packet->length == 0)
		return 0;
	return chunk_head(packet->length, out);
}

static size_t write_end(const struct encoder *encoder, const struct packet *packet, uint8_t *out)
{
	(void)encoder;
	if (packet->length == 0)
		return 0;
	memcpy(out, CHUNK_END, 2);
	return 2;
}

static const uint8_t *read_packet(const uint8_t *wire, size_t bytes, struct packet *packet)
{
	size_t head_bytes = 1;

	while (wire[head_bytes - 1] != '\n')
		head_bytes++;
	packet->length = bytes - head_bytes - strlen(CHUNK_END);
	return wire + head_bytes;
}

static size_t write_farewell(const struct encoder *encoder, enum close_reason reason,
			     const struct packet *place, uint32_t retry_ms, uint8_t *out)
{
	(void)place;
	(void)retry_ms;
	(void)encoder;
	return chunk_last(reason, out);
}

const struct encoder encoder_chunked = {
	.format = FORMAT_HTTP,
	.header = write_head,
	.trailer = write_end,
	.read = read_packet,
	.farewell = write_farewell,
};
