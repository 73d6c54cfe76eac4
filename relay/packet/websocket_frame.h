// SPDX-License-Identifier: MIT
/*
 * The frames that relay writes to a WebSocket (RFC 6455, 5 and 7), the server's side: heads, and
 * whole control frames.  Not masked.  Reading frames is http/websocket_codec.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEBSOCKET_HEAD_BYTES    10 /* of our frames, at most: they are not masked */
#define WEBSOCKET_CONTROL_BYTES 125
#define WEBSOCKET_REASON_BYTES  123

/* Of the first byte of a frame: the message that it begins is compressed (RFC 7692, 6). */
#define WEBSOCKET_COMPRESSED 0x40

enum websocket_opcode {
	WEBSOCKET_CONTINUATION = 0,
	WEBSOCKET_TEXT = 1,
	WEBSOCKET_BINARY = 2,
	WEBSOCKET_CLOSE = 8,
	WEBSOCKET_PING = 9,
	WEBSOCKET_PONG = 10,
};

/* Of RFC 6455, 7.4.1: what is wrong with what a client sent.  Which code goes with a close reason
 * stands in close_reason.def. */
enum websocket_close_code {
	WEBSOCKET_CLOSE_NORMAL = 1000,
	WEBSOCKET_CLOSE_PROTOCOL_ERROR = 1002,
	WEBSOCKET_CLOSE_NO_CODE = 1005, /* never on the wire: the close frame was empty */
	WEBSOCKET_CLOSE_NOT_UTF8 = 1007,
	WEBSOCKET_CLOSE_TOO_BIG = 1009,
};

/* May an endpoint send this code in a close frame? */
bool websocket_close_code_is_valid(unsigned code);

/* The head of a frame of ours, 2, 4 or 10 bytes; returns how many.  payload_bytes < 2^63. */
size_t websocket_frame_head(uint8_t out[WEBSOCKET_HEAD_BYTES], enum websocket_opcode opcode,
			    bool is_message_end, uint64_t payload_bytes);

/* A whole ping or pong, of at most WEBSOCKET_CONTROL_BYTES of payload (what is more is left out).
 * Returns its bytes. */
size_t websocket_control_frame(uint8_t out[2 + WEBSOCKET_CONTROL_BYTES],
			       enum websocket_opcode opcode, const void *payload, size_t bytes);

/* A whole close frame; returns its bytes.  A code that is not valid, such as NO_CODE, makes it
 * empty.  reason: UTF-8, or NULL; it is cut between two characters where it is too long. */
size_t websocket_close_frame(uint8_t out[2 + WEBSOCKET_CONTROL_BYTES], unsigned code,
			     const char *reason);
