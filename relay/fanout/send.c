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
#include "feed/feed.h"
#include "pipe/pipe_io.h"

static void count(struct subscriber *subscriber, const struct segment *segment, size_t bytes)
{
	struct feed *feed = subscriber->rendition->feed;

	subscriber->sent_bytes += bytes;
	feed->metrics.delivered_bytes += bytes;
	feed->pass.delivered_bytes += bytes;
	if (segment->kind == SEGMENT_BLOCK)
		feed->metrics.copied_bytes += bytes;
	else if (segment->tag == ENGINE_COMPACT)
		feed->metrics.compacted_bytes += bytes;
	else
		feed->metrics.spliced_bytes += bytes;
}

static enum fanout outcome_of_errno(int err, int *ret_err)
{
	if (err == EAGAIN || err == EWOULDBLOCK)
		return FANOUT_BLOCKED;
	*ret_err = err;
	return FANOUT_FAILED;
}

static ssize_t send_bytes(struct subscriber *subscriber, const uint8_t *bytes, size_t length)
{
	ssize_t sent;

	do
		sent = send(subscriber->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	subscriber->rendition->feed->metrics.send_calls++;
	return sent;
}

static enum fanout send_from_block(struct subscriber *subscriber, struct segment *segment,
				   size_t offset, size_t length, int *ret_err)
{
	ssize_t sent = send_bytes(subscriber, segment->block + offset, length);

	if (sent < 0)
		return outcome_of_errno(errno, ret_err);
	count(subscriber, segment, (size_t)sent);
	cursor_advance(&subscriber->cursor, (size_t)sent);
	return (size_t)sent == length ? FANOUT_SENT : FANOUT_BLOCKED;
}

/* Fills the copy pipe with the segment's bytes from `offset` on. */
static bool fill_copy_pipe(struct feed *feed, struct segment *segment, size_t offset)
{
	size_t copied = 0, thrown = 0;
	int err = 0;

	feed->metrics.tee_calls++;
	if (pipe_tee(&segment->pipe, &feed->pipes.copy_pipe, segment->length, &copied, &err) !=
		    PIPE_IO_OK ||
	    copied != segment->length)
		return false;
	if (!offset)
		return true;
	return pipe_discard(&feed->pipes.copy_pipe, feed->pipes.pool.null_fd, offset, &thrown,
			    &err) == PIPE_IO_OK &&
	       thrown == offset;
}

static enum fanout send_from_pipe(struct subscriber *subscriber, struct segment *segment,
				  size_t offset, size_t length, int *ret_err)
{
	struct feed *feed = subscriber->rendition->feed;
	enum pipe_io result = PIPE_IO_REFUSED;
	size_t sent = 0;
	enum refusal refusal = REFUSAL_TEE;
	int err = EIO;

	if (feed->pipes.has_pipes && fill_copy_pipe(feed, segment, offset)) {
		refusal = REFUSAL_SPLICE_OUT;
		feed->metrics.splice_calls++;
		result = pipe_splice_out(&feed->pipes.copy_pipe, subscriber->fd, length, &sent,
					 &err);
	}
	pipe_set_empty_copy_pipe(&feed->pipes);
	switch (result) {
	case PIPE_IO_OK:
		count(subscriber, segment, sent);
		cursor_advance(&subscriber->cursor, sent);
		return sent == length ? FANOUT_SENT : FANOUT_BLOCKED;
	case PIPE_IO_FULL:
	case PIPE_IO_EMPTY:
		return FANOUT_BLOCKED;
	case PIPE_IO_ERROR:
	case PIPE_IO_EOF:
		*ret_err = err;
		return FANOUT_FAILED;
	case PIPE_IO_REFUSED:
		break;
	}
	pipe_set_note_refusal(&feed->pipes, refusal);
	if (ring_make_block(&subscriber->rendition->ring, segment) < 0) {
		*ret_err = ENOMEM;
		return FANOUT_FAILED;
	}
	subscriber->rendition->ring.blocks_made++;
	return send_from_block(subscriber, segment, offset, length, ret_err);
}

enum fanout fanout_send(struct subscriber *subscriber, size_t limit, int *ret_err)
{
	struct segment *segment = cursor_segment(&subscriber->cursor);
	size_t offset = cursor_offset(&subscriber->cursor);
	size_t length = size_min(segment->length - offset, limit);

	if (segment->kind == SEGMENT_PIPE)
		return send_from_pipe(subscriber, segment, offset, length, ret_err);
	return send_from_block(subscriber, segment, offset, length, ret_err);
}

enum fanout fanout_send_note(struct subscriber *subscriber, const uint8_t *bytes, size_t length,
			     size_t *ret_sent, int *ret_err)
{
	struct feed *feed = subscriber->rendition->feed;
	ssize_t sent = send_bytes(subscriber, bytes, length);

	*ret_sent = sent > 0 ? (size_t)sent : 0;
	if (sent < 0)
		return outcome_of_errno(errno, ret_err);
	subscriber->sent_bytes += (uint64_t)sent;
	feed->metrics.delivered_bytes += (uint64_t)sent;
	feed->metrics.noted_bytes += (uint64_t)sent;
	return (size_t)sent == length ? FANOUT_SENT : FANOUT_BLOCKED;
}
