// SPDX-License-Identifier: MIT
/*
 * The state that one process leaves to the next.
 *
 * An even first byte: half of it is how many descriptors there are, from FIRST_FD on; the others
 * are the stream.  An odd one: the others are edits of a small state that is right, which lead
 * behind the checks that random bytes do not pass.  A state that is read must be written again, and
 * what is written must be read as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "continuity/kept_fds.h"
#include "serve/handover.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/handover_sample.h"

#define EXPECT(condition) fuzz_expect(condition, #condition)

enum {
	FDS_MAX = 127,
	EDIT_BYTES = 6, // what to do, where (2 bytes), with which number (2), for how many bytes
};

// False: refused.
static bool read_state(uint8_t *bytes, size_t count, size_t fd_count, struct handover *ret)
{
	struct state_stream stream;
	int32_t numbers[FDS_MAX];
	int fds[FDS_MAX];
	struct kept_fds kept = {.numbers = numbers, .fds = fds, .count = fd_count};
	bool is_read;

	for (size_t i = 0; i < fd_count; i++)
		numbers[i] = fds[i] = FIRST_FD + (int)i;
	*ret = (struct handover){.config.fd = -1};
	state_stream_read(&stream, bytes, count, &kept);
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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	struct handover first, second;
	struct state_stream one, other;
	struct bag bag;

	if (count == 0)
		return 0;
	bag = bytes[0] % 2 ? bag_of_edits(bytes, count) : bag_of_input(bytes, count);
	if (!read_state(bag.bytes, bag.count, bag.fd_count, &first)) {
		handover_free(&first);
		free(bag.bytes);
		return 0;
	}
	write_again(&first, &one);
	EXPECT(one.fd_count <= bag.fd_count);
	EXPECT(read_state(one.bytes, one.length, bag.fd_count, &second));
	write_again(&second, &other);
	EXPECT(one.length == other.length && memcmp(one.bytes, other.bytes, one.length) == 0);
	handover_free(&first);
	handover_free(&second);
	state_stream_free(&one);
	state_stream_free(&other);
	free(bag.bytes);
	return 0;
}
