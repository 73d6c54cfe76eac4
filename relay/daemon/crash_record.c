// SPDX-License-Identifier: MIT
/* The region: laid out once, and what the control thread writes into it.  Feeds and subscribers
 * write their own elements. */
#include "daemon/crash_record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/relay.h"

enum {
	ALIGNMENT = 64,             /* a cache line: writers in two workers share none */
	SOCKETS_BYTES = 4096 << 10, /* for some 40,000 listeners */
	NUMBER_BYTES = 8,           /* in a stream */
};

/* ---- the region ---- */

static uint64_t aligned(uint64_t bytes)
{
	return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void lay_out(struct crash_array *array, uint64_t each_bytes, uint64_t count, uint64_t *end)
{
	*array = (struct crash_array){aligned(*end), each_bytes, count};
	*end = array->offset + each_bytes * count;
}

static void fill_head(struct crash_head *head, const struct crash_room *room)
{
	uint64_t end = sizeof(*head);

	*head = (struct crash_head){.schema = CRASH_SCHEMA, .workers = room->workers};
	memcpy(head->magic, CRASH_MAGIC, sizeof(head->magic));
	lay_out(&head->fds, sizeof(int32_t), room->fd_limit, &end);
	lay_out(&head->sockets[0], 1, SOCKETS_BYTES, &end);
	lay_out(&head->sockets[1], 1, SOCKETS_BYTES, &end);
	lay_out(&head->parts, aligned(room->part_bytes), room->part_count, &end);
	lay_out(&head->subscribers, aligned(room->subscriber_bytes),
		room->subscriber_bytes ? room->fd_limit : 0, &end);
	head->bytes = aligned(end);
}

int crash_record_open(struct crash_record *ret, const struct crash_room *room)
{
	struct crash_head head;
	void *map;
	int r = 0;

	fill_head(&head, room);
	*ret = CRASH_RECORD_NONE;
	ret->fd = memfd_create("relay-crash", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* Sealed: nobody who maps it can be made to fault. */
	if (ret->fd < 0 || ftruncate(ret->fd, (off_t)head.bytes) < 0 ||
	    fcntl(ret->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		r = -errno;
		fd_close(&ret->fd);
		return r;
	}
	map = mmap(NULL, (size_t)head.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ret->fd, 0);
	if (map == MAP_FAILED) {
		r = -errno;
		fd_close(&ret->fd);
		return r;
	}
	ret->map = map;
	ret->bytes = (size_t)head.bytes;
	memcpy(map, &head, sizeof(head));
	return 0;
}

void crash_record_close(struct crash_record *record)
{
	if (record->map)
		(void)munmap(record->map, record->bytes);
	fd_close(&record->fd);
	*record = CRASH_RECORD_NONE;
}

void crash_record_arm(struct crash_record *record, unsigned workers, bool was_resumed)
{
	struct crash_head *head = crash_record_head(record);

	if (!head)
		return;
	head->workers = workers;
	atomic_store(&head->was_resumed, was_resumed);
	atomic_store(&head->armed_ns, clock_mono_ns());
	atomic_store(&head->is_armed, 1);
}

struct feed_records crash_record_feeds(const struct crash_record *record)
{
	const struct crash_head *head = crash_record_head(record);

	return (struct feed_records){
		.parts = crash_record_at(record, &head->parts, 0),
		.part_count = head->parts.count,
		.subscribers = crash_record_at(record, &head->subscribers, 0),
		.subscriber_count = head->subscribers.count,
	};
}

void crash_record_set_done(struct crash_record *record)
{
	struct crash_head *head = crash_record_head(record);

	if (head)
		atomic_store(&head->is_done, 1);
}

/* ---- listening sockets ---- */

static void transfer_socket(struct state_stream *stream, struct crash_socket *socket)
{
	struct handed_socket *handed = &socket->handed;
	unsigned number = (unsigned)handed->fd;

	state_unsigned(stream, &handed->kind, HANDED_KINDS - 1, "kind of socket");
	state_text(stream, handed->name, sizeof(handed->name), "name of a socket");
	state_text(stream, handed->address, sizeof(handed->address), "address");
	state_unsigned(stream, &number, INT32_MAX, "listening socket");
	state_u64(stream, &socket->cookie, UINT64_MAX, "socket cookie");
	handed->fd = (int)number;
}

void crash_sockets_transfer(struct state_stream *stream, struct crash_socket **sockets,
			    size_t *count)
{
	void *array = *sockets;
	bool has_sockets = state_array(stream, &array, count, sizeof(**sockets),
				       (size_t)5 * NUMBER_BYTES, "sockets");

	*sockets = array;
	for (size_t i = 0; has_sockets && i < *count; i++)
		transfer_socket(stream, &(*sockets)[i]);
	state_end(stream);
}

/* 0 or -ENOMEM, with what is to be written in *ret. */
static int describe(struct relay *relay, struct crash_socket **ret, size_t *ret_count)
{
	struct handed_socket *handed = NULL;
	size_t count = 0, kept = 0;
	int r = handover_take_sockets(relay, &handed, &count);
	struct crash_socket *sockets = calloc(count + 1, sizeof(*sockets));

	for (size_t i = 0; r == 0 && sockets && i < count; i++) {
		socklen_t bytes = sizeof(sockets->cookie);

		sockets[kept].handed = handed[i];
		if (getsockopt(handed[i].fd, SOL_SOCKET, SO_COOKIE, &sockets[kept].cookie,
			       &bytes) == 0)
			kept++;
	}
	free(handed);
	*ret = sockets;
	*ret_count = kept;
	return sockets ? r : -ENOMEM;
}

void crash_record_set_sockets(struct crash_record *record, struct relay *relay)
{
	struct crash_head *head = crash_record_head(record);
	struct crash_socket *sockets = NULL;
	struct state_stream stream;
	size_t count = 0;
	uint32_t other;

	if (!head)
		return;
	other = !atomic_load(&head->sockets_current);
	state_stream_write(&stream);
	if (describe(relay, &sockets, &count) < 0)
		state_fail(&stream, "out of memory");
	else
		crash_sockets_transfer(&stream, &sockets, &count);
	if (!stream.fault && stream.length > head->sockets[other].count)
		state_fail(&stream, "too many");
	if (stream.fault) {
		log_error("listening sockets would not survive a crash: %s", stream.fault);
		stream.length = 0;
	}
	if (stream.length > 0)
		memcpy(crash_record_at(record, &head->sockets[other], 0), stream.bytes,
		       stream.length);
	atomic_store(&head->sockets_bytes[other], stream.length);
	atomic_store(&head->sockets_current, other);
	state_stream_free(&stream);
	free(sockets);
}
