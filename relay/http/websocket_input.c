// SPDX-License-Identifier: MIT
/*
 * What WebSocket subscribers send.  The decoder finds what is wrong; what is answered, and whether
 * it is the end of the connection, is decided here.
 */
#include "http/websocket_input.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "fanout/fanout.h"
#include "fanout/rendition.h"
#include "http/websocket_codec.h"
#include "net/peer_socket.h"
#include "net/token_bucket.h"

enum {
	CONTROLS_PER_S =
		10, /* keep-alives come once in seconds; this is for jitter and reconnects */
	CONTROL_HEAD_BYTES = 6,
};

struct input {
	struct websocket_decoder decoder;
	struct token_bucket controls; /* pings */
	struct token_bucket pongs;
	uint64_t pongs_per_s;
};

void *websocket_input_new(uint64_t max_bytes, bool takes_compressed)
{
	struct input *input = calloc(1, sizeof(*input));

	if (!input)
		return NULL;
	websocket_decoder_init(&input->decoder, max_bytes);
	input->decoder.takes_compressed = takes_compressed;
	token_bucket_init(&input->controls, CONTROLS_PER_S, CONTROLS_PER_S);
	return input;
}

/* As many pongs as relay's own heartbeats ask for, and some more. */
static bool is_pong_wanted(struct input *input, const struct subscriber *subscriber)
{
	uint64_t heartbeat_ms = subscriber->rendition->fanout->params->heartbeat_ms;
	uint64_t per_s = CONTROLS_PER_S + (heartbeat_ms ? 1000 / heartbeat_ms : 0);

	if (per_s != input->pongs_per_s) {
		token_bucket_init(&input->pongs, per_s, per_s);
		input->pongs_per_s = per_s;
	}
	return token_bucket_try_take(&input->pongs, clock_mono_ns(), 1);
}

/* Says the last words.  A close is answered with the code that it had (RFC 6455, 5.5.1); whoever
 * has more notes waiting than there is room for does not read, and gets none. */
static enum close_reason end(struct subscriber *subscriber, enum close_reason reason, unsigned code,
			     const char *words)
{
	uint8_t frame[2 + WEBSOCKET_CONTROL_BYTES];
	size_t bytes = websocket_close_frame(frame, code, words);

	(void)!subscriber_send_note(subscriber, frame, bytes);
	peer_socket_discard(subscriber->fd);
	return reason;
}

static enum close_reason end_for(struct subscriber *subscriber, enum close_reason reason)
{
	const struct close_reason_row *row = close_reason_row(reason);

	return end(subscriber, reason, row->websocket_code, row->text);
}

/* A pong that cannot be sent, since others wait already, is left out: only the last ping has to be
 * answered (RFC 6455, 5.5.3). Control frames cost nothing of what is passed over, but for pongs
 * that nobody asked for: who was away for a while answers many heartbeats at once. */
static enum close_reason take_control(struct input *input, struct subscriber *subscriber,
				      const struct websocket_event *event)
{
	uint8_t pong[2 + WEBSOCKET_CONTROL_BYTES];
	size_t wire_bytes = CONTROL_HEAD_BYTES + event->payload_bytes;
	size_t bytes;

	if (event->opcode != WEBSOCKET_PING) {
		if (is_pong_wanted(input, subscriber))
			subscriber_return_input(subscriber, wire_bytes);
		return CLOSE_REASON_COUNT;
	}
	if (!token_bucket_try_take(&input->controls, clock_mono_ns(), 1))
		return end_for(subscriber, CLOSE_FLOOD);
	subscriber_return_input(subscriber, wire_bytes);
	bytes = websocket_control_frame(pong, WEBSOCKET_PONG, event->payload, event->payload_bytes);
	(void)!subscriber_send_note(subscriber, pong, bytes);
	return CLOSE_REASON_COUNT;
}

/* Heads too, or frames without payload could come for ever. */
static enum close_reason pass_over(struct subscriber *subscriber, size_t bytes)
{
	if (!subscriber_spend_input(subscriber, bytes))
		return end_for(subscriber, CLOSE_INPUT);
	return CLOSE_REASON_COUNT;
}

static enum close_reason on_bytes(void *owner, struct subscriber *subscriber, uint8_t *bytes,
				  size_t count)
{
	struct input *input = owner;
	enum close_reason reason = CLOSE_REASON_COUNT;
	struct websocket_event event;

	do {
		size_t taken = websocket_decode(&input->decoder, bytes, count, &event);

		bytes += taken;
		count -= taken;
		if (event.kind == WEBSOCKET_EVENT_CLOSE)
			return end(subscriber, CLOSE_PEER_CLOSED, event.code, NULL);
		if (event.kind == WEBSOCKET_EVENT_ERROR)
			return end(subscriber, close_reason_from_websocket(event.code), event.code,
				   event.reason);
		reason = pass_over(subscriber, taken);
		if (reason == CLOSE_REASON_COUNT && event.kind == WEBSOCKET_EVENT_CONTROL)
			reason = take_control(input, subscriber, &event);
	} while (reason == CLOSE_REASON_COUNT && event.kind != WEBSOCKET_EVENT_MORE);
	return reason;
}

static bool may_go_on(const void *owner, uint64_t *ret_max_bytes)
{
	const struct input *input = owner;

	*ret_max_bytes = input->decoder.max_message_bytes;
	return websocket_decoder_is_between(&input->decoder);
}

const struct subscriber_input websocket_input = {
	.on_bytes = on_bytes,
	.may_go_on = may_go_on,
	.free = free,
};
