// SPDX-License-Identifier: MIT
/*
 * The state that one process leaves to the next.
 *
 * The first byte says how many descriptors there are, the others are the stream.  A state that is
 * read must be written again, and what is written must be read as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "daemon/handover.h"
#include "tests/fuzz/fuzz.h"

#define EXPECT(condition) fuzz_expect(condition, #condition)

enum {
	FDS_MAX = 255,
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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
	struct handover first, second;
	struct state_stream one, other;

	if (count == 0)
		return 0;
	uint8_t *stream = malloc(count);
	memcpy(stream, bytes + 1, count - 1);
	if (!read_state(stream, count - 1, bytes[0], &first)) {
		handover_free(&first);
		free(stream);
		return 0;
	}
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
