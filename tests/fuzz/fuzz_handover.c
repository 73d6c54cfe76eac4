// SPDX-License-Identifier: MIT
/*
 * The state that one process leaves to the next.
 *
 * The first byte says how many descriptors there are, the others are the stream.  A state that is
 * read must be written again, and what is written must be read as the same; so must what WebSockets
 * have half read, which goes on with more bytes.  When the first byte is 255, that is all there is:
 * its length, such a state, and more bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "daemon/handover.h"
#include "net/websocket_input.h"
#include "tests/fuzz/fuzz.h"

#define EXPECT(condition) fuzz_expect(condition, #condition)

enum {
	ONLY_INPUT = 255,
	FDS_MAX = 254,
	FIRST_FD = 1000, // not open: reading touches no descriptor
};

// False: refused.
static bool read_state(uint8_t *bytes, size_t count, size_t fd_count, struct handover *ret)
{
	struct state_stream stream;
	int fds[FDS_MAX];
	bool is_read;

	for (size_t i = 0; i < fd_count; i++)
		fds[i] = FIRST_FD + (int)i;
	*ret = (struct handover){0};
	EXPECT(state_stream_read(&stream, bytes, count, fds, fd_count) == 0);
	handover_transfer(&stream, ret);
	is_read = stream.fault == NULL;
	EXPECT(stream.fault_offset <= count);
	state_stream_free(&stream);
	return is_read;
}

static void write_again(struct handover *handover, struct state_stream *ret)
{
	state_stream_write(ret);
	handover_transfer(ret, handover);
	EXPECT(ret->fault == NULL);
}

// Of a subscriber that is closed, to which nothing can be said any more.
static void go_on(void *owner, const uint8_t *bytes, size_t count)
{
	struct subscriber closed = {.state = SUBSCRIBER_CLOSED, .fd = -1};
	uint8_t *copy = malloc(count + 1);
	enum close_reason reason;

	memcpy(copy, bytes, count);
	reason = websocket_input.on_bytes(owner, &closed, copy, count);
	EXPECT(reason <= CLOSE_REASON_COUNT);
	free(copy);
}

static void restore_input(const uint8_t *state, size_t count, const uint8_t *more,
			  size_t more_count)
{
	uint8_t again[SUBSCRIBER_INPUT_STATE_MAX], *copy = malloc(count + 1);
	void *owner;

	memcpy(copy, state, count);
	owner = websocket_input.restore(copy, count);
	if (owner) {
		EXPECT(websocket_input.capture(owner, again) == count);
		EXPECT(memcmp(again, state, count) == 0);
		go_on(owner, more, more_count);
		websocket_input.free(owner);
	}
	free(copy);
}

static void restore_inputs_of(const struct feed_state *part, const uint8_t *more, size_t count)
{
	for (size_t i = 0; i < part->rendition_count; i++) {
		const struct rendition_state *rendition = &part->renditions[i];

		for (size_t j = 0; j < rendition->subscriber_count; j++)
			restore_input(rendition->subscribers[j].input_state,
				      rendition->subscribers[j].input_bytes, more, count);
	}
}

static void restore_inputs(const struct handover *handover, const uint8_t *more, size_t count)
{
	for (size_t i = 0; i < handover->feed_count; i++) {
		for (size_t j = 0; j < handover->feeds[i].part_count; j++)
			restore_inputs_of(&handover->feeds[i].parts[j], more, count);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	struct handover first, second;
	struct state_stream one, other;

	if (count == 0)
		return 0;
	if (bytes[0] == ONLY_INPUT) {
		size_t length = count > 1 ? size_min(bytes[1], count - 2) : 0;

		if (count > 2)
			restore_input(bytes + 2, length, bytes + 2 + length, count - 2 - length);
		return 0;
	}
	uint8_t *stream = malloc(count);
	memcpy(stream, bytes + 1, count - 1);
	if (!read_state(stream, count - 1, bytes[0], &first)) {
		handover_free(&first);
		free(stream);
		return 0;
	}
	restore_inputs(&first, bytes, size_min(count, 64));
	write_again(&first, &one);
	EXPECT(one.fd_count == bytes[0]);
	EXPECT(read_state(one.bytes, one.length, one.fd_count, &second));
	write_again(&second, &other);
	EXPECT(one.length == other.length && memcmp(one.bytes, other.bytes, one.length) == 0);
	handover_free(&first);
	handover_free(&second);
	state_stream_free(&one);
	state_stream_free(&other);
	free(stream);
	return 0;
}
