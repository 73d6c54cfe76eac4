// SPDX-License-Identifier: MIT
/*
 * An encoder says how a packet looks on the wire of one format: the bytes before the payload.
 * The payload itself is never touched.  A new format is a new encoder and nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "feed/packet.h"

enum {
	ENCODER_HEADER_MAX = 64
};

struct encoder {
	const char *name;
	/* Writes the header of `packet` (at most ENCODER_HEADER_MAX bytes); returns its length,
	 * which may be 0.  For packets other than data the header is all there is; 0 means that the
	 * format cannot say it. */
	size_t (*header)(const struct packet *packet, uint8_t *out);
};

extern const struct encoder encoder_raw;    /* payload only          */
extern const struct encoder encoder_framed; /* base/packet_header.h  */
