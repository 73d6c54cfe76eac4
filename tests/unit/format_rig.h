// SPDX-License-Identifier: MIT
/* Reads what a subscriber of a web format got, by code of its own: chunks, WebSocket frames and
 * server-sent events.  Every function fails the running test where the format is broken. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct format_wire {
	uint8_t *payload; // malloc'ed: of data; events: the data of each, and LF
	size_t size;
	unsigned pieces; // chunks, messages or events of data
	unsigned texts;  // of these, WebSocket messages that are text
	unsigned pings, comments, gaps, sources;
	uint64_t next_id;  // events: behind the last id
	uint16_t code;     // WebSocket: of the close frame, 0: none came
	bool has_ended;    // by the last chunk or a close frame
	size_t torn_bytes; // behind the last whole piece
};

struct format_wire format_rig_chunks(const uint8_t *bytes, size_t size);
struct format_wire format_rig_websocket(const uint8_t *bytes, size_t size);
struct format_wire format_rig_events(const uint8_t *bytes, size_t size);
