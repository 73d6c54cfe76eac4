// SPDX-License-Identifier: MIT
/* The region: laid out once, and what the control thread writes into it.  Feeds and subscribers
 * write their own elements. */
#include "daemon/crash_record.h"

#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "continuity/sealed_memory.h"
#include "net/sockopt.h"
#include "serve/served_listener.h"
#include "serve/service.h"

enum {
	ALIGNMENT = 64,             /* a cache line: writers in two workers share none */
	LISTENERS_BYTES = 16 << 20, /* for some 40,000 sockets */
	LEAST_BYTES = 40,           /* that a socket takes in a stream */
};

static const uint64_t LIFE_NS = NS_PER_S;

/* ---- the region ---- */

uint32_t crash_schema(void)
{
	/* To be changed with the head of the region. */
	static const struct kept_table head = {.name = "head 4",
					       .bytes = sizeof(struct crash_head)};
	static const struct kept_table *const tables[] = {
		&head,           &subscriber_record_table, &part_record_table,
		&part_now_table, &rendition_record_table,  &listener_record_table};
	static const struct kept_names *const names[] = {
		&kept_metrics,       &kept_close_reasons, &kept_listener_counters,
		&kept_http_counters, &kept_http_refusals,
	};
	size_t count;
	const struct kept_table *const *handed = handover_tables(&count);
	uint32_t of_memory = kept_layout(tables, ARRAY_LEN(tables));

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		of_memory = kept_layout_add_names(of_memory, names[i]);
	return of_memory ^ kept_layout(handed, count);
}

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

	*head = (struct crash_head){.schema = crash_schema(), .workers = room->workers};
	memcpy(head->magic, CRASH_MAGIC, sizeof(head->magic));
	lay_out(&head->fds, sizeof(int32_t), room->fd_limit, &end);
	lay_out(&head->listeners[0], 1, LISTENERS_BYTES, &end);
	lay_out(&head->listeners[1], 1, LISTENERS_BYTES, &end);
	lay_out(&head->counts, sizeof(struct listener_record), RECORD_LISTENERS_MAX, &end);
	lay_out(&head->parts, aligned(room->part_bytes), room->part_count, &end);
	lay_out(&head->subscribers, aligned(room->subscriber_bytes),
		room->subscriber_bytes ? room->fd_limit : 0, &end);
	head->bytes = aligned(end);
	head->sum = crash_head_sum(head);
}

int crash_record_open(struct crash_record *ret, const struct crash_room *room)
{
	struct crash_head head;
	void *map;
	int r;

	fill_head(&head, room);
	*ret = CRASH_RECORD_NONE;
	r = sealed_memory_new("relay-crash", head.bytes, &ret->fd);
	if (r < 0)
		return r;
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
	head->sum = crash_head_sum(head);
	atomic_store(&head->was_resumed, was_resumed);
	atomic_store(&head->armed_ns, clock_mono_ns());
	atomic_store(&head->is_armed, 1);
}

bool crash_head_is_steady(const struct crash_head *head, uint64_t died_ns)
{
	uint64_t armed_ns = atomic_load(&head->armed_ns);

	return !atomic_load(&head->was_resumed) || died_ns - armed_ns >= LIFE_NS;
}

bool crash_record_is_kept(const struct crash_record *record)
{
	const struct crash_head *head = crash_record_head(record);

	return head && atomic_load(&head->is_armed) && !atomic_load(&head->is_done) &&
	       crash_head_is_steady(head, clock_mono_ns());
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

struct listener_record *crash_record_counts(const struct crash_record *record)
{
	return crash_record_at(record, &crash_record_head(record)->counts, 0);
}

void crash_record_set_done(struct crash_record *record)
{
	struct crash_head *head = crash_record_head(record);

	if (head)
		atomic_store(&head->is_done, 1);
}

/* ---- what can be asked for ---- */

static void transfer_listeners(struct state_stream *stream, struct crash_listeners *listeners)
{
	void *sockets = listeners->sockets;
	bool has_sockets;

	state_fd(stream, &listeners->config.fd, "configuration");
	state_u64(stream, &listeners->config.fallbacks, UINT64_MAX, "configurations not used");
	has_sockets = state_array(stream, &sockets, &listeners->socket_count,
				  sizeof(*listeners->sockets), LEAST_BYTES, "sockets");
	listeners->sockets = sockets;
	for (size_t i = 0; has_sockets && i < listeners->socket_count; i++)
		kept_transfer(stream, &socket_kept_table, &listeners->sockets[i]);
	state_end(stream);
}

const char *crash_listeners_read(uint8_t *map, struct crash_listeners *ret)
{
	const struct crash_head *head = (const struct crash_head *)(const void *)map;
	uint64_t stamp = atomic_load(&head->listeners_version);
	uint32_t version = kept_stamp_version(stamp), current = version % 2;
	uint64_t length = head->listeners_bytes[current];
	struct state_stream stream;
	const char *fault;

	*ret = (struct crash_listeners){.config.fd = -1};
	if (stamp == 0)
		return NULL;
	if (!kept_stamp_is_whole(stamp))
		return "version";
	if (length > head->listeners[current].count)
		return "length";
	if (head->listeners_sum[current] !=
	    kept_sum(version, map + head->listeners[current].offset, length))
		return "sum";
	if (length == 0)
		return NULL;
	state_stream_read(&stream, map + head->listeners[current].offset, (size_t)length, NULL);
	transfer_listeners(&stream, ret);
	fault = stream.fault;
	state_stream_free(&stream);
	return fault;
}

void crash_listeners_free(struct crash_listeners *listeners)
{
	free(listeners->sockets);
	*listeners = (struct crash_listeners){.socket_count = 0};
}

void crash_record_write_listeners(struct crash_record *record, struct crash_listeners *listeners)
{
	struct crash_head *head = crash_record_head(record);
	uint32_t version = kept_stamp_version(atomic_load(&head->listeners_version)) + 1;
	uint32_t other = version % 2;
	struct state_stream stream;

	state_stream_write(&stream);
	if (listeners)
		transfer_listeners(&stream, listeners);
	else
		state_fail(&stream, "out of memory");
	if (!stream.fault && stream.length > head->listeners[other].count)
		state_fail(&stream, "too many");
	if (stream.fault) {
		log_error("listening sockets would not survive a crash: %s", stream.fault);
		stream.length = 0;
	}
	if (stream.length > 0)
		memcpy(crash_record_at(record, &head->listeners[other], 0), stream.bytes,
		       stream.length);
	head->listeners_bytes[other] = stream.length;
	head->listeners_sum[other] = kept_sum(version, stream.bytes, stream.length);
	atomic_store(&head->listeners_version, kept_stamp(version));
	state_stream_free(&stream);
}

void crash_record_set_listeners(struct crash_record *record, const struct service *service,
				const struct config *config, const struct kept_config *kept)
{
	struct crash_listeners listeners = {.config = *kept};
	bool is_described;

	if (!record->map)
		return;
	is_described = handover_take_sockets(service, config, &listeners.sockets,
					     &listeners.socket_count) == 0;
	crash_record_write_listeners(record, is_described ? &listeners : NULL);
	crash_listeners_free(&listeners);
}
