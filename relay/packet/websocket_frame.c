// SPDX-License-Identifier: MIT
/* The heads and control frames of a WebSocket server.  A length has its shortest form, and a reason
 * is cut between two characters. */
#include "packet/websocket_frame.h"

#include <string.h>

#include "base/compiler.h"

#define BIT_FINAL 0x80
#define LENGTH_16 126
#define LENGTH_64 127

bool websocket_close_code_is_valid(unsigned code)
{
	if (code >= 3000 && code <= 4999)
		return true;
	return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

size_t websocket_frame_head(uint8_t out[WEBSOCKET_HEAD_BYTES], enum websocket_opcode opcode,
			    bool is_message_end, uint64_t payload_bytes)
{
	unsigned extra = payload_bytes > UINT16_MAX ? 8 : payload_bytes >= LENGTH_16 ? 2 : 0;

	out[0] = (uint8_t)(opcode | (is_message_end ? BIT_FINAL : 0));
	out[1] = (uint8_t)(extra == 8 ? LENGTH_64 : extra == 2 ? LENGTH_16 : payload_bytes);
	for (unsigned i = 0; i < extra; i++)
		out[2 + i] = (uint8_t)(payload_bytes >> 8 * (extra - 1 - i));
	return 2 + extra;
}

size_t websocket_control_frame(uint8_t out[2 + WEBSOCKET_CONTROL_BYTES],
			       enum websocket_opcode opcode, const void *payload, size_t bytes)
{
	size_t head_bytes;

	bytes = size_min(bytes, WEBSOCKET_CONTROL_BYTES);
	head_bytes = websocket_frame_head(out, opcode, true, bytes);
	if (bytes > 0)
		memcpy(out + head_bytes, payload, bytes);
	return head_bytes + bytes;
}

size_t websocket_close_frame(uint8_t out[2 + WEBSOCKET_CONTROL_BYTES], unsigned code,
			     const char *reason)
{
	uint8_t payload[WEBSOCKET_CONTROL_BYTES] = {(uint8_t)(code >> 8), (uint8_t)code};
	size_t bytes = reason ? strlen(reason) : 0;

	if (!websocket_close_code_is_valid(code))
		return websocket_control_frame(out, WEBSOCKET_CLOSE, NULL, 0);
	if (bytes > WEBSOCKET_REASON_BYTES) {
		/* not inside of a character, whose further bytes are 80 to BF */
		bytes = WEBSOCKET_REASON_BYTES;
		while (bytes > 0 && ((uint8_t)reason[bytes] & 0xc0) == 0x80)
			bytes--;
	}
	if (bytes > 0)
		memcpy(payload + 2, reason, bytes);
	return websocket_control_frame(out, WEBSOCKET_CLOSE, payload, 2 + bytes);
}
