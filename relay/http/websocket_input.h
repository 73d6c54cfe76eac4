// SPDX-License-Identifier: MIT
/*
 * What a WebSocket subscriber sends: pings are answered, a close is answered, data is not wanted.
 *
 * Data is passed over up to max_bytes in all, with the heads of its frames.  Who pings more than
 * ten times a second makes work for nothing.  Pongs are for nothing but heartbeats: more than those
 * ask for are passed over like data.
 */
#pragma once

#include <stdint.h>

#include "fanout/subscriber.h"

/* For subscriber_params.input, with an owner of websocket_input_new(). */
extern const struct subscriber_input websocket_input;

/* NULL: no memory.  Freed by websocket_input.free. */
void *websocket_input_new(uint64_t max_bytes);
