// SPDX-License-Identifier: MIT
/*
 * WebSocket frames, the server's side (RFC 6455, 5 to 7): reading those of clients, strictly.
 * Writing ours is packet/websocket_frame.h.
 *
 * Pure: bytes in, events out.  The bytes may be cut anywhere; what is told of messages, control
 * frames and errors does not depend on it, only the pieces in which data comes do.  What a ping or
 * a close is answered with, and when, is left to the caller.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/utf8.h"
#include "packet/websocket_frame.h"

enum websocket_event_kind {
	WEBSOCKET_EVENT_MORE,    /* all bytes are taken, and nothing is to be told yet */
	WEBSOCKET_EVENT_DATA,    /* a piece of a message */
	WEBSOCKET_EVENT_CONTROL, /* a whole ping or pong */
	WEBSOCKET_EVENT_CLOSE,   /* a whole close; nothing after it is read */
	WEBSOCKET_EVENT_ERROR,   /* the connection is to be closed with this code */
};

struct websocket_event {
	enum websocket_event_kind kind;
	enum websocket_opcode opcode; /* data: TEXT or BINARY; control: PING or PONG */
	const uint8_t *payload;       /* data: in the caller's bytes; control and close: in the
					 decoder, until it is called again; close: the reason */
	size_t payload_bytes;
	bool is_message_end; /* data: the message ends with this piece */
	uint16_t code;       /* close: what was sent, NO_CODE for none; error: what to send */
	const char *reason;  /* error: one line, static */
};

struct websocket_decoder {
	/* rw: messages may be compressed (RFC 7692); they are told as they came, still compressed.
	 * What is in them is not looked at, so text may be anything. */
	bool takes_compressed;

	/* private */
	bool is_compressed; /* the message begun */
	uint64_t max_message_bytes;
	uint64_t message_bytes; /* of the message begun, with all of the frame at hand */
	uint64_t frame_left;    /* payload bytes of the frame at hand that have not come yet */
	struct utf8_check utf8;
	uint16_t code; /* of the error or close that has ended it */
	uint8_t end;   /* enum websocket_event_kind: how it has ended, MORE while it has not */
	const char *reason;
	uint8_t head[14];
	uint8_t head_bytes;     /* of the head that have come */
	uint8_t head_need;      /* of the whole head; 0 while that is not known */
	uint8_t mask_at;        /* which byte of the mask is next */
	uint8_t message_opcode; /* of the fragmented message; CONTINUATION when there is none */
	uint8_t control_bytes;  /* of the control frame at hand that have come */
	uint8_t control[WEBSOCKET_CONTROL_BYTES];
};

/* A message longer than max_message_bytes is an error (1009), as soon as the head of a frame says
 * so. */
void websocket_decoder_init(struct websocket_decoder *decoder, uint64_t max_message_bytes);

/* True when no message and no frame has begun, and it has not ended: a new decoder would go on in
 * the same way. */
bool websocket_decoder_is_between(const struct websocket_decoder *decoder);

/* Reads on in what the client has sent, unmasking payload where it stands.  Returns how many bytes
 * have been taken, and one event; until that is MORE, call again with the rest.  After CLOSE and
 * ERROR all bytes are taken, and the same event comes again (of a CLOSE, without its reason). */
size_t websocket_decode(struct websocket_decoder *decoder, uint8_t *bytes, size_t count,
			struct websocket_event *ret);
