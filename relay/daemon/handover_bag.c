// SPDX-License-Identifier: MIT
/* Filling and emptying the bag.  Descriptors go in messages of at most FD_MESSAGE_MAX, each with
 * the number of its first one, so that a message that is missing shows. */
#include "daemon/handover_bag.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "base/num.h"
#include "continuity/sealed_memory.h"
#include "daemon/crash_read.h"
#include "net/fd_message.h"
#include "net/sockopt.h"

enum {
	QUEUE_BYTES = 8 << 20,    /* asked for; less does for some 40,000 descriptors */
	HANDED_FDS_MAX = 4 << 20, /* more than a process can have (fs.nr_open) */
};

static const char magic[8] = "RLYHAND";

/* The memfd: this, the numbers that the descriptors had (int32_t, ascending), and the stream. */
struct head {
	char magic[8];
	uint64_t schema;
	uint64_t fd_count;
	uint64_t length; /* of the stream */
};

void handover_bag_close(struct handover_bag *bag)
{
	fd_close(&bag->state_fd);
	fd_close(&bag->in_fd);
	fd_close(&bag->out_fd);
}

void handover_bag_keep(const struct handover_bag *bag, bool is_kept)
{
	int flags = is_kept ? 0 : FD_CLOEXEC;

	/* Sockets of libnats would stay open in the next program (close_range(2), Linux 5.11). */
	if (is_kept)
		(void)close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
	(void)fcntl(bag->state_fd, F_SETFD, flags);
	(void)fcntl(bag->in_fd, F_SETFD, flags);
	(void)fcntl(bag->out_fd, F_SETFD, flags);
}

struct handover_bag handover_bag_inherited(void)
{
	const char *text = getenv(HANDOVER_ENVIRONMENT);
	struct handover_bag bag = HANDOVER_BAG_NONE;
	int *const fds[] = {&bag.state_fd, &bag.in_fd, &bag.out_fd};

	for (size_t i = 0; text && i < ARRAY_LEN(fds); i++) {
		size_t digits = strspn(text, "0123456789");
		char number[8] = "";
		uint64_t value = 0;

		if (digits == 0 || digits >= sizeof(number))
			break;
		memcpy(number, text, digits);
		if (num_parse_count(number, &value) < 0)
			break;
		*fds[i] = (int)value;
		text += digits + (text[digits] == ':');
	}
	(void)unsetenv(HANDOVER_ENVIRONMENT);
	if (bag.out_fd < 0)
		return HANDOVER_BAG_NONE;
	handover_bag_keep(&bag, false);
	return bag;
}

/* ---- packing ---- */

int handover_bag_send(const struct handover_bag *bag, const int *fds, size_t count, uint64_t first)
{
	struct iovec piece = {.iov_base = &first, .iov_len = sizeof(first)};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

	return fd_message_send(bag->in_fd, &message, fds, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int compare_numbers(const void *a, const void *b)
{
	int left = *(const int *)a, right = *(const int *)b;

	return (left > right) - (left < right);
}

/* In the order in which the next process looks for them.  -EPROTO: one would go to two owners. */
static int sort_fds(struct state_stream *stream)
{
	if (stream->fd_count)
		qsort(stream->fds, stream->fd_count, sizeof(*stream->fds), compare_numbers);
	for (size_t i = 1; i < stream->fd_count; i++) {
		if (stream->fds[i] == stream->fds[i - 1])
			return -EPROTO;
	}
	return 0;
}

static int write_state(int fd, const struct state_stream *stream)
{
	struct head head = {
		.schema = handover_schema(),
		.fd_count = stream->fd_count,
		.length = stream->length,
	};
	int r;

	memcpy(head.magic, magic, sizeof(magic));
	r = sealed_memory_write(fd, &head, sizeof(head));
	if (r == 0)
		r = sealed_memory_write(fd, stream->fds, stream->fd_count * sizeof(*stream->fds));
	if (r == 0)
		r = sealed_memory_write(fd, stream->bytes, stream->length);
	return r < 0 ? r : sealed_memory_finish(fd);
}

int handover_bag_open(struct handover_bag *ret)
{
	const int bytes = QUEUE_BYTES;
	int ends[2];

	*ret = HANDOVER_BAG_NONE;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	ret->in_fd = ends[0];
	ret->out_fd = ends[1];
	(void)setsockopt(ret->in_fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return 0;
}

/* How many are in the message that begins with `first`. */
static size_t batch_from(const struct state_stream *stream, size_t first)
{
	return size_min(FD_MESSAGE_MAX, stream->fd_count - first);
}

int handover_pack(struct handover *handover, struct handover_bag *ret, struct errmsg *err)
{
	struct state_stream stream;
	int r = handover_bag_open(ret);

	if (r == 0)
		r = sealed_memory_begin("relay-state", &ret->state_fd);
	state_stream_write(&stream);
	if (r == 0)
		handover_transfer(&stream, handover);
	if (r == 0 && stream.fault) {
		errmsg_set(err, "state: %s at byte %zu", stream.fault, stream.fault_offset);
		handover_bag_close(ret);
		state_stream_free(&stream);
		return -EPROTO;
	}
	if (r == 0)
		r = sort_fds(&stream);
	if (r == 0)
		r = write_state(ret->state_fd, &stream);
	for (size_t i = 0; r == 0 && i < stream.fd_count; i += FD_MESSAGE_MAX)
		r = handover_bag_send(ret, stream.fds + i, batch_from(&stream, i), i);
	if (r < 0) {
		errmsg_errno(err, -r, "state of %zu bytes and %zu descriptors", stream.length,
			     stream.fd_count);
		handover_bag_close(ret);
	}
	state_stream_free(&stream);
	return r;
}

/* ---- unpacking ---- */

/* All that has been received; owned until the state has been read. */
struct received {
	int *fds;
	size_t count;
};

/* 1: a message; 0: there are no more; -errno. */
static int receive_batch(int fd, struct received *received)
{
	uint64_t first = 0;
	size_t before = received->count, count = 0;
	struct iovec piece = {.iov_base = &first, .iov_len = sizeof(first)};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
	int *grown = realloc(received->fds, (before + FD_MESSAGE_MAX) * sizeof(*grown));
	ssize_t got;

	if (!grown)
		return -ENOMEM;
	received->fds = grown;
	got = fd_message_receive(fd, &message, grown + before, &count, MSG_DONTWAIT);
	/* Also those that are too many, so that they can be closed in the right way. */
	received->count += count;
	if (got <= 0)
		return got == -EAGAIN ? 0 : (int)got;
	if (message.msg_flags & MSG_CTRUNC)
		return -EMFILE; /* the limit of open files is lower than it was */
	return got == sizeof(first) && first == before ? 1 : -EPROTO;
}

static void close_received(struct received *received, bool is_reset)
{
	for (size_t i = 0; i < received->count; i++) {
		if (is_reset)
			sockopt_set_reset_on_close(received->fds[i]);
		fd_close(&received->fds[i]);
	}
}

static int check_head(const struct head *head, size_t length, size_t fd_count, struct errmsg *err)
{
	size_t rest = length - sizeof(*head);

	if (memcmp(head->magic, magic, sizeof(magic)) != 0) {
		errmsg_set(err, "no state of a relay");
		return -EPROTO;
	}
	if (head->schema != handover_schema()) {
		errmsg_set(err, "state of schema %llu, expected %u",
			   (unsigned long long)head->schema, handover_schema());
		return -EPROTONOSUPPORT;
	}
	if (head->fd_count != fd_count || fd_count > rest / sizeof(int32_t) ||
	    head->length != rest - fd_count * sizeof(int32_t)) {
		errmsg_set(err, "state of %llu bytes and %llu descriptors, there are %zu and %zu",
			   (unsigned long long)head->length, (unsigned long long)head->fd_count,
			   rest, fd_count);
		return -EPROTO;
	}
	return 0;
}

static int read_state(uint8_t *map, size_t length, struct kept_fds *fds, struct handover *ret,
		      struct errmsg *err)
{
	struct state_stream stream;
	struct head head;
	int r;

	if (length < sizeof(head)) {
		errmsg_set(err, "state of %zu bytes", length);
		return -EPROTO;
	}
	memcpy(&head, map, sizeof(head));
	r = check_head(&head, length, fds->count, err);
	if (r < 0)
		return r;
	fds->numbers = (const int32_t *)(const void *)(map + sizeof(head));
	if (!kept_fds_are_in_order(fds)) {
		errmsg_set(err, "state: descriptors are not in order");
		return -EPROTO;
	}
	state_stream_read(&stream, map + length - head.length, head.length, fds);
	*ret = (struct handover){.config.fd = -1};
	handover_transfer(&stream, ret);
	if (stream.fault) {
		errmsg_set(err, "state: %s at byte %zu of %zu", stream.fault, stream.fault_offset,
			   stream.length);
		handover_free(ret);
		return -EPROTO;
	}
	handover_read_rings(ret, fds);
	return 0;
}

/* Of a process that handed over, or of one that died.  Takes what it needs. */
static int read_any(uint8_t *map, size_t length, struct kept_fds *fds, struct handover *ret,
		    struct errmsg *err)
{
	return crash_is_record(map, length) ? crash_read(map, length, fds, ret, err)
					    : read_state(map, length, fds, ret, err);
}

/* Closes what has not been taken; after a failure that is all: by reset. */
static int read_received(uint8_t *map, size_t length, struct received *received,
			 struct handover *ret, struct errmsg *err)
{
	size_t bytes = received->count * sizeof(*received->fds);
	struct kept_fds left = {.fds = malloc(bytes + 1), .count = received->count};
	int r = -ENOMEM;

	if (left.fds) {
		memcpy(left.fds, received->fds, bytes);
		r = read_any(map, length, &left, ret, err);
	}
	if (r == 0) {
		for (size_t i = 0; i < left.count; i++)
			fd_close(&left.fds[i]);
	}
	free(left.fds);
	return r;
}

static int receive_all(int fd, struct received *received, struct errmsg *err)
{
	int r;

	do
		r = receive_batch(fd, received);
	while (r > 0 && received->count < HANDED_FDS_MAX);
	if (r < 0)
		errmsg_errno(err, -r, "descriptors, after %zu", received->count);
	return r < 0 ? r : 0;
}

int handover_unpack(struct handover_bag *bag, struct handover **ret, struct errmsg *err)
{
	struct handover *handover = calloc(1, sizeof(*handover));
	struct received received = {.count = 0};
	size_t length = 0;
	int r = receive_all(bag->out_fd, &received, err);
	uint8_t *map = NULL;

	if (r == 0) {
		r = handover ? sealed_memory_map(bag->state_fd, &map, &length) : -ENOMEM;
		if (r < 0)
			errmsg_errno(err, -r, "state");
		else
			r = read_received(map, length, &received, handover, err);
	}
	if (r < 0) {
		close_received(&received, true);
		free(handover);
		if (map)
			(void)munmap(map, length);
	} else {
		handover->map = map;
		handover->map_bytes = length;
		*ret = handover;
	}
	free(received.fds);
	handover_bag_close(bag);
	return r;
}
