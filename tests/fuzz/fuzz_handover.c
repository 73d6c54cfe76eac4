// SPDX-License-Identifier: MIT
/*
 * The state that one process leaves to the next.
 *
 * An even first byte: half of it is how many descriptors there are, the others are the stream.  An
 * odd one: the others are edits of a small state that is right, which lead behind the checks that
 * random bytes do not pass.  A state that is read must be written again, and what is written must
 * be read as the same; so must what WebSockets have half read, which goes on with more bytes.  When
 * the first byte is 255, that is all there is: its length, such a state, and more bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "feed/feed.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"
#include "http/websocket_input.h"
#include "serve/handover.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/handover_sample.h"

#define EXPECT(condition) fuzz_expect(condition, #condition)

enum {
	ONLY_INPUT = 255,
	FDS_MAX = 127,
	EDIT_BYTES = 6, // what to do, where (2 bytes), with which number (2), for how many bytes
};

// False: refused.
static bool read_state(uint8_t *bytes, size_t count, size_t fd_count, struct handover *ret)
{
	struct state_stream stream;
	int fds[FDS_MAX];
	bool is_read;

	for (size_t i = 0; i < fd_count; i++)
		fds[i] = FIRST_FD + (int)i;
	*ret = (struct handover){.config.fd = -1};
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

// A state as it lies in the bag.
struct bag {
	uint8_t *bytes;
	size_t count, fd_count;
};

static struct bag bag_of_input(const uint8_t *bytes, size_t count)
{
	struct bag bag = {malloc(count + 1), count - 1, bytes[0] / 2};

	memcpy(bag.bytes, bytes + 1, count - 1);
	return bag;
}

// One edit, somewhere in the bag.
static void edit(struct bag *bag, const uint8_t *how)
{
	size_t at = (size_t)(how[1] | how[2] << 8) % (bag->count + 1);
	int64_t number = (int16_t)(how[3] | how[4] << 8);
	size_t length = size_min(how[5], bag->count - at);

	switch (how[0] % 6) {
	case 0: // a number there, which may be as much as there is
		memcpy(bag->bytes + at, &number, size_min(sizeof(number), bag->count - at));
		break;
	case 1: // one that is a little larger or smaller
		for (size_t i = 0; i < length; i++)
			bag->bytes[at + i] = (uint8_t)(bag->bytes[at + i] + how[3]);
		break;
	case 2: // bytes away
		memmove(bag->bytes + at, bag->bytes + at + length, bag->count - at - length);
		bag->count -= length;
		break;
	case 3: // the same once more
		bag->bytes = realloc(bag->bytes, bag->count + length + 1);
		memmove(bag->bytes + at + length, bag->bytes + at, bag->count - at);
		bag->count += length;
		break;
	case 4:
		bag->count = at;
		break;
	default:
		bag->fd_count = how[5] % FDS_MAX;
		break;
	}
}

static struct bag bag_of_edits(const uint8_t *bytes, size_t count)
{
	struct state_stream stream;
	struct sample sample;
	struct bag bag;

	sample_fill(&sample);
	write_again(&sample.handover, &stream);
	bag = (struct bag){malloc(stream.length + 1), stream.length, stream.fd_count};
	memcpy(bag.bytes, stream.bytes, stream.length);
	state_stream_free(&stream);
	for (size_t at = 1; at + EDIT_BYTES <= count; at += EDIT_BYTES)
		edit(&bag, bytes + at);
	return bag;
}

// Of a subscriber that is closed, to which nothing can be said any more.
static void go_on(void *owner, const uint8_t *bytes, size_t count)
{
	struct metrics metrics = {0};
	struct fanout fanout = {.metrics = &metrics};
	struct rendition rendition = {.fanout = &fanout};
	struct subscriber closed = {.state = SUBSCRIBER_CLOSED, .fd = -1, .rendition = &rendition};
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
	struct bag bag;

	if (count == 0)
		return 0;
	if (bytes[0] == ONLY_INPUT) {
		size_t length = count > 1 ? size_min(bytes[1], count - 2) : 0;

		if (count > 2)
			restore_input(bytes + 2, length, bytes + 2 + length, count - 2 - length);
		return 0;
	}
	bag = bytes[0] % 2 ? bag_of_edits(bytes, count) : bag_of_input(bytes, count);
	if (!read_state(bag.bytes, bag.count, bag.fd_count, &first)) {
		handover_free(&first);
		free(bag.bytes);
		return 0;
	}
	restore_inputs(&first, bytes, size_min(count, 64));
	write_again(&first, &one);
	EXPECT(one.fd_count == bag.fd_count);
	EXPECT(read_state(one.bytes, one.length, one.fd_count, &second));
	write_again(&second, &other);
	EXPECT(one.length == other.length && memcmp(one.bytes, other.bytes, one.length) == 0);
	handover_free(&first);
	handover_free(&second);
	state_stream_free(&one);
	state_stream_free(&other);
	free(bag.bytes);
	return 0;
}
