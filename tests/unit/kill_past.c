// SPDX-License-Identifier: MIT
/* The stream, in pieces; it never comes to a seam. */
#include "tests/unit/kill_past.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"

struct past {
	const struct rig_stream *stream;
	uint64_t at;
};

static enum replay_outcome send_past(void *owner, int fd, struct replay_progress *ret)
{
	struct past *past = owner;
	size_t left = past->stream->payload_size - past->at;
	ssize_t sent = send(fd, past->stream->payload + past->at, size_min(left, 10000),
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent <= 0)
		return REPLAY_BLOCKED;
	past->at += (uint64_t)sent;
	ret->sent = (size_t)sent;
	return REPLAY_MORE;
}

static bool is_inside_past(const void *owner)
{
	return owner;
}

static bool is_past_cut_off(const void *owner)
{
	return !owner;
}

static void capture_past(const void *owner, struct kept_replay *ret)
{
	*ret = (struct kept_replay){.rate = KILL_PAST_RATE,
				    .place.offset = ((const struct past *)owner)->at};
}

const struct subscriber_replay kill_past = {
	.send = send_past,
	.is_inside = is_inside_past,
	.is_cut_off = is_past_cut_off,
	.capture = capture_past,
	.free = free,
};

void *kill_past_new(const struct rig_stream *stream)
{
	struct past *past = malloc(sizeof(*past));

	if (!past)
		_exit(1);
	*past = (struct past){.stream = stream};
	return past;
}
