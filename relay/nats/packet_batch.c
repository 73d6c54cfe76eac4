// SPDX-License-Identifier: MIT
/* Gathered packets: one sendmsg(2) for many. */
#include "nats/packet_batch.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/fd.h"

static const int LOOK_EVERY_MS = 100; /* whether it was stopped */

void packet_batch_add(struct packet_batch *batch, const struct packet_header *header,
		      natsMsg *message)
{
	uint8_t *head = batch->heads[batch->count];

	packet_header_encode(header, head);
	batch->pieces[batch->piece_count++] = (struct iovec){head, PACKET_HEADER_BYTES};
	batch->bytes += PACKET_HEADER_BYTES;
	if (header->length) {
		batch->pieces[batch->piece_count++] =
			(struct iovec){(void *)(uintptr_t)natsMsg_GetData(message), header->length};
		batch->bytes += header->length;
	}
	batch->messages[batch->count++] = message;
}

static void empty(struct packet_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		natsMsg_Destroy(batch->messages[i]);
	batch->count = batch->piece_count = batch->bytes = 0;
}

static bool wait_for_room(const struct packet_batch *batch)
{
	struct pollfd poll_fd = {.fd = batch->fd, .events = POLLOUT};

	while (!atomic_load(batch->is_stopped)) {
		int r = poll(&poll_fd, 1, LOOK_EVERY_MS);

		if (r > 0)
			return true;
		if (r < 0 && errno != EINTR)
			return false;
	}
	return false;
}

/* Moves on behind what was sent. */
static void pass(struct msghdr *message, size_t bytes)
{
	while (message->msg_iovlen && bytes >= message->msg_iov->iov_len) {
		bytes -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (!message->msg_iovlen)
		return;
	message->msg_iov->iov_base = (uint8_t *)message->msg_iov->iov_base + bytes;
	message->msg_iov->iov_len -= bytes;
}

bool packet_batch_write(struct packet_batch *batch)
{
	struct msghdr message = {.msg_iov = batch->pieces, .msg_iovlen = batch->piece_count};

	while (message.msg_iovlen) {
		ssize_t sent = sendmsg(batch->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent >= 0)
			pass(&message, (size_t)sent);
		else if (errno != EINTR && (errno != EAGAIN || !wait_for_room(batch)))
			return false;
	}
	empty(batch);
	return true;
}

void packet_batch_fini(struct packet_batch *batch)
{
	empty(batch);
	fd_close(&batch->fd);
}
