// SPDX-License-Identifier: MIT
/*
 * Fan-out to one socket.
 *
 * Zero-copy: tee the whole segment into the feed's copy pipe (tee always starts at the head), throw
 * away what the subscriber has had, splice the rest to the socket with its exact length, throw away
 * what the socket did not take.  The copy pipe is empty before and after, and has as many slots as
 * the segment's. When the kernel or a sandbox refuses tee or splice, the segment becomes a block
 * for everybody.
 */
#include "fanout/send.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "fanout/fanout.h"
#include "fanout/rendition.h"
#include "intake/engine.h"
#include "pipe/pipe_io.h"

static void count(struct subscriber *subscriber, const struct segment *segment, size_t bytes)
{
	struct fanout *fanout = subscriber->rendition->fanout;

	subscriber->sent_bytes += bytes;
	fanout->metrics->delivered_bytes += bytes;
	fanout->pass.delivered_bytes += bytes;
	if (segment->kind == SEGMENT_BLOCK)
		fanout->metrics->copied_bytes += bytes;
	else if (segment->tag == ENGINE_COMPACT)
		fanout->metrics->compacted_bytes += bytes;
	else
		fanout->metrics->spliced_bytes += bytes;
}

static enum send_outcome outcome_of_errno(int err, int *ret_err)
{
	if (err == EAGAIN || err == EWOULDBLOCK)
		return SEND_BLOCKED;
	*ret_err = err;
	return SEND_FAILED;
}

static ssize_t send_bytes(struct subscriber *subscriber, const uint8_t *bytes, size_t length)
{
	ssize_t sent;

	do
		sent = send(subscriber->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	subscriber->rendition->fanout->metrics->send_calls++;
	return sent;
}

static enum send_outcome send_from_block(struct subscriber *subscriber, struct segment *segment,
					 size_t offset, size_t length, int *ret_err)
{
	ssize_t sent = send_bytes(subscriber, segment->block + offset, length);

	if (sent < 0)
		return outcome_of_errno(errno, ret_err);
	count(subscriber, segment, (size_t)sent);
	cursor_advance(&subscriber->cursor, (size_t)sent);
	return (size_t)sent == length ? SEND_DONE : SEND_BLOCKED;
}

/* Fills the copy pipe with the segment's bytes from `offset` on. */
static bool fill_copy_pipe(struct fanout *fanout, struct segment *segment, size_t offset)
{
	struct pipe_set *pipes = fanout->pipes;
	size_t copied = 0, thrown = 0;
	int err = 0;

	fanout->metrics->tee_calls++;
	if (pipe_tee(&segment->pipe, &pipes->copy_pipe, segment->length, &copied, &err) !=
		    PIPE_IO_OK ||
	    copied != segment->length)
		return false;
	if (!offset)
		return true;
	return pipe_discard(&pipes->copy_pipe, pipes->pool.null_fd, offset, &thrown, &err) ==
		       PIPE_IO_OK &&
	       thrown == offset;
}

static enum send_outcome send_from_pipe(struct subscriber *subscriber, struct segment *segment,
					size_t offset, size_t length, int *ret_err)
{
	struct fanout *fanout = subscriber->rendition->fanout;
	struct pipe_set *pipes = fanout->pipes;
	enum pipe_io result = PIPE_IO_REFUSED;
	size_t sent = 0;
	enum refusal refusal = REFUSAL_TEE;
	int err = EIO;

	if (pipes->has_pipes && fill_copy_pipe(fanout, segment, offset)) {
		refusal = REFUSAL_SPLICE_OUT;
		fanout->metrics->splice_calls++;
		result = pipe_splice_out(&pipes->copy_pipe, subscriber->fd, length, &sent, &err);
	}
	pipe_set_empty_copy_pipe(pipes);
	switch (result) {
	case PIPE_IO_OK:
		count(subscriber, segment, sent);
		cursor_advance(&subscriber->cursor, sent);
		return sent == length ? SEND_DONE : SEND_BLOCKED;
	case PIPE_IO_FULL:
	case PIPE_IO_EMPTY:
		return SEND_BLOCKED;
	case PIPE_IO_ERROR:
	case PIPE_IO_EOF:
		*ret_err = err;
		return SEND_FAILED;
	case PIPE_IO_REFUSED:
		break;
	}
	pipe_set_note_refusal(pipes, refusal);
	if (ring_make_block(&subscriber->rendition->ring, segment) < 0) {
		*ret_err = ENOMEM;
		return SEND_FAILED;
	}
	subscriber->rendition->ring.blocks_made++;
	return send_from_block(subscriber, segment, offset, length, ret_err);
}

enum send_outcome send_segment(struct subscriber *subscriber, size_t limit, int *ret_err)
{
	struct segment *segment = cursor_segment(&subscriber->cursor);
	size_t offset = cursor_offset(&subscriber->cursor);
	size_t length = size_min(segment->length - offset, limit);

	if (segment->kind == SEGMENT_PIPE)
		return send_from_pipe(subscriber, segment, offset, length, ret_err);
	return send_from_block(subscriber, segment, offset, length, ret_err);
}

enum send_outcome send_note(struct subscriber *subscriber, const uint8_t *bytes, size_t length,
			    size_t *ret_sent, int *ret_err)
{
	struct fanout *fanout = subscriber->rendition->fanout;
	ssize_t sent = send_bytes(subscriber, bytes, length);

	*ret_sent = sent > 0 ? (size_t)sent : 0;
	if (sent < 0)
		return outcome_of_errno(errno, ret_err);
	subscriber->sent_bytes += (uint64_t)sent;
	fanout->metrics->delivered_bytes += (uint64_t)sent;
	fanout->metrics->noted_bytes += (uint64_t)sent;
	return (size_t)sent == length ? SEND_DONE : SEND_BLOCKED;
}
