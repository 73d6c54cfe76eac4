// SPDX-License-Identifier: MIT
/*
 * What a WebSocket subscriber sends: pings are answered, a close is answered, data is not wanted.
 *
 * Data is passed over as far as subscriber_params.input_rate goes, with the heads of its frames.
 * Pings cost nothing there, but who pings more than ten times a second makes work for nothing.
 * Pongs are for nothing but heartbeats: more than those ask for are passed over like data.
 */
#pragma once

#include <stdint.h>

#include "fanout/subscriber.h"
#include "http/websocket_codec.h"

/* A control frame costs its bytes before it can be told from data: so much more has to fit into the
 * bucket than a client may send. */
enum {
	WEBSOCKET_INPUT_SLACK = 6 + WEBSOCKET_CONTROL_BYTES,
};

/* For subscriber_params.input, with an owner of websocket_input_new(). */
extern const struct subscriber_input websocket_input;

/* max_bytes: the longest message; as may_go_on() has told it, for one of the process before.
 * takes_compressed: it may compress what it sends, which is passed over all the same.  NULL: no
 * memory. Freed by websocket_input.free. */
void *websocket_input_new(uint64_t max_bytes, bool takes_compressed);
