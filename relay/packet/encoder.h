// SPDX-License-Identifier: MIT
/*
 * An encoder says how a packet looks on the wire of one format: the bytes before and behind the
 * payload, or, for formats that cannot share the payload, all of it.  A new format is a new encoder
 * and a row in format.def.  Encoders are pure: what they say depends on their arguments only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/framing.h"
#include "packet/packet.h"
#include "table/close_reason.h"
#include "table/format.h"

enum {
	ENCODER_HEADER_MAX = 256,
	ENCODER_TRAILER_MAX = 16,
	ENCODER_BLOCK_MAX = 512,
};

/* What rewrite() leaves in *ret_bytes with NULL when the payload can be shared after all. */
#define ENCODER_AS_IT_IS SIZE_MAX

struct encoder {
	enum format format; /* its row in format.def */

	/* Writes what precedes the payload of `packet` (at most ENCODER_HEADER_MAX bytes); returns
	 * its length, which may be 0.  For packets other than data it is all there is; 0 means that
	 * the format cannot say it.  None ends the stream: an end of the session is not the end of
	 * its subscribers, who may see the next one; see farewell. */
	size_t (*header)(const struct encoder *encoder, const struct packet *packet, uint8_t *out);

	/* Writes what follows the payload of a data packet (at most ENCODER_TRAILER_MAX bytes);
	 * returns its length.  NULL: nothing follows. */
	size_t (*trailer)(const struct encoder *encoder, const struct packet *packet, uint8_t *out);

	/* For formats that cannot share the payload: the whole data packet as it is on the wire, in
	 * malloc'ed memory that is the caller's, *ret_bytes > 0 long.  NULL with *ret_bytes = 0: no
	 * memory; with ENCODER_AS_IT_IS: header, payload and trailer are right for this packet.
	 * The pointer is NULL where they always are. */
	uint8_t *(*rewrite)(const struct encoder *encoder, const struct packet *packet,
			    const struct framing_params *framing, const uint8_t *payload,
			    size_t *ret_bytes);

	/* For formats with a block behind each interval_bytes of payload, however the packets lie.
	 * The position in the rendition says where: all blocks are block_bytes long, at most
	 * ENCODER_BLOCK_MAX.  A reader begins where an interval begins.  All three are 0 or NULL
	 * where there are no blocks. */
	size_t interval_bytes, block_bytes;
	void (*write_block)(const char *title, uint8_t *out);

	/* Reads back a packet that is `bytes` long on the wire: returns where its payload is, and
	 * sets packet->length.  The caller has filled in the rest for a data packet, as far as it
	 * knows it; what the format says of a packet is set.  Of news, length is 0.  The pointer is
	 * NULL where the payload, or what is none, cannot be told from the rest. */
	const uint8_t *(*read)(const uint8_t *wire, size_t bytes, struct packet *packet);

	/* Writes the first words to a subscriber (at most ENCODER_HEADER_MAX bytes); returns their
	 * length.  `place` is a heartbeat: its sequence is that of the first message to come.
	 * retry_ms: how long to wait before it comes back after a break.  The pointer is NULL where
	 * the heartbeat itself is all there is to say. */
	size_t (*greeting)(const struct encoder *encoder, const struct packet *place,
			   uint32_t retry_ms, uint8_t *out);

	/* Writes the last words to a subscriber that has read all there is and is closed for
	 * `reason` (at most ENCODER_HEADER_MAX bytes); returns their length, 0: none for this
	 * reason.  place, retry_ms: as above, from now on.  The pointer is NULL where there never
	 * are any. */
	size_t (*farewell)(const struct encoder *encoder, enum close_reason reason,
			   const struct packet *place, uint32_t retry_ms, uint8_t *out);

	/* Of a format that compresses: what makes the same stream for one reader alone, with
	 * nothing compressed in it.  To compress is worth its time only for many, and another zlib
	 * may make other bytes of a packet that was half sent.  Else NULL. */
	const struct encoder *alone;
};

/* Does it have to see the payload? */
static inline bool encoder_sees_payload(const struct encoder *encoder)
{
	return encoder->rewrite || encoder->interval_bytes;
}

/* Bytes of payload until the next block, at this position of a rendition; between two packets, so
 * not inside of a block. */
static inline size_t encoder_interval_rest(const struct encoder *encoder, uint64_t pos)
{
	return encoder->interval_bytes - pos % (encoder->interval_bytes + encoder->block_bytes);
}

/* May a reader begin at this position of a rendition? */
static inline bool encoder_can_begin(const struct encoder *encoder, uint64_t pos)
{
	return !encoder->interval_bytes ||
	       encoder_interval_rest(encoder, pos) == encoder->interval_bytes;
}

/* encoder_raw and all others of format.def.  Its file tells what each looks like on the wire. */
#define FORMAT(id, name, symbol, ...) extern const struct encoder symbol;
#include "table/format.def"

const struct encoder *encoder_of(enum format format);

/* The `header` of a format that puts nothing before the payload. */
static inline size_t encoder_no_header(const struct encoder *encoder, const struct packet *packet,
				       uint8_t *out)
{
	(void)encoder;
	(void)packet;
	(void)out;
	return 0;
}

/* What makes the format for one reader alone. */
static inline const struct encoder *encoder_for_one(const struct encoder *encoder)
{
	return encoder->alone ? encoder->alone : encoder;
}

/* As the log and the status show it. */
static inline const char *encoder_name(const struct encoder *encoder)
{
	return format_row(encoder->format)->name;
}
