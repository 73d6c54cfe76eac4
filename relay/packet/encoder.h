// SPDX-License-Identifier: MIT
/*
 * An encoder says how a packet looks on the wire of one format: the bytes before and behind the
 * payload, or, for formats that cannot share the payload, all of it.  A new format is a new encoder
 * and nothing else.  Encoders are pure: what they say depends on their arguments only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet/framing.h"
#include "packet/packet.h"
#include "table/close_reason.h"

enum {
	ENCODER_HEADER_MAX = 128,
	ENCODER_TRAILER_MAX = 16,
};

/* What rewrite() leaves in *ret_bytes with NULL when the payload can be shared after all. */
#define ENCODER_AS_IT_IS SIZE_MAX

struct encoder {
	const char *name; /* of the format, as the status shows it */

	/* Writes what precedes the payload of `packet` (at most ENCODER_HEADER_MAX bytes); returns
	 * its length, which may be 0.  For packets other than data it is all there is; 0 means that
	 * the format cannot say it.  None ends the stream: an end of the session is not the end of
	 * its subscribers, who may see the next one; see farewell. */
	size_t (*header)(const struct encoder *encoder, const struct packet *packet, uint8_t *out);

	/* Likewise what follows the payload (at most ENCODER_TRAILER_MAX bytes), of data packets
	 * only.  NULL: nothing does. */
	size_t (*trailer)(const struct encoder *encoder, const struct packet *packet, uint8_t *out);

	/* For formats that cannot share the payload: the whole data packet as it is on the wire, in
	 * malloc'ed memory that is the caller's, *ret_bytes > 0 long.  NULL with *ret_bytes = 0: no
	 * memory; with ENCODER_AS_IT_IS: header, payload and trailer are right for this packet.
	 * The pointer is NULL where they always are. */
	uint8_t *(*rewrite)(const struct encoder *encoder, const struct packet *packet,
			    const struct framing_params *framing, const uint8_t *payload,
			    size_t *ret_bytes);

	/* Writes the last words to a subscriber that has read all there is and is closed for
	 * `reason` (at most ENCODER_HEADER_MAX bytes); returns their length, 0: none for this
	 * reason.  The pointer is NULL where there never are any. */
	size_t (*farewell)(const struct encoder *encoder, enum close_reason reason, uint8_t *out);

	unsigned variant; /* private to the format's file */
};

extern const struct encoder encoder_raw;    /* payload only          */
extern const struct encoder encoder_framed; /* base/packet_header.h  */

/* The body of an HTTP/1.1 response, one chunk a packet (RFC 9112, 7.1).  It has no news, and its
 * farewell is the last chunk: after a clean end only, so that any other shows as an unfinished
 * body. An HTTP/1.0 response is encoder_raw. */
extern const struct encoder encoder_chunked;

/* Server-sent events (WHATWG HTML, 9.2), in chunks and, for HTTP/1.0, without.
 *
 * Each message is one event; with framing = none and relay, where messages cannot be told apart,
 * each packet.  `id` is the sequence of the last message that is complete with it, so a client that
 * comes back with `Last-Event-ID: N` wants N + 1.  The data are the message without its LF (or CR
 * LF) or length prefix; line ends inside make several data lines; what is not UTF-8 becomes U+FFFD.
 * Other events: `gap` {"from":F,"to":T} (first one missed, first one after it), and `source` up or
 * down.  A heartbeat is a comment. */
extern const struct encoder encoder_events, encoder_events_plain;

/* WebSocket (RFC 6455), frames of a server.
 *
 * text: text messages, else binary.  What is not UTF-8 becomes U+FFFD, byte by byte; a packet that
 * is all UTF-8 is shared as it is, after one look at it.
 * per_message: one WebSocket message for each message, as the publisher delimits it, LF and length
 * prefix included; else, and with framing = none and relay, for each packet.
 * gaps: a gap is a text message {"gap":{"from":F,"to":T}}; else it cannot be said.
 *
 * A heartbeat is an empty ping, so that the peer's own code answers.  The farewell is a close frame
 * that says why. */
const struct encoder *encoder_websocket(bool text, bool per_message, bool gaps);
