// SPDX-License-Identifier: MIT
/* Reading the region of a process that died.  No other process has it open for writing by now, and
 * its size is sealed. */
#include "daemon/crash_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "continuity/kept_fds.h"
#include "daemon/crash_feeds.h"
#include "daemon/crash_record.h"
#include "net/sockopt.h"

/* ---- the head ---- */

bool crash_is_record(const uint8_t *map, size_t bytes)
{
	return bytes >= sizeof(CRASH_MAGIC) && memcmp(map, CRASH_MAGIC, sizeof(CRASH_MAGIC)) == 0;
}

static bool is_inside(const struct crash_array *array, uint64_t bytes)
{
	return array->offset >= sizeof(struct crash_head) && array->offset <= bytes &&
	       array->offset % _Alignof(max_align_t) == 0 &&
	       (array->each_bytes == 0 ||
		array->count <= (bytes - array->offset) / array->each_bytes);
}

static int check_head(const struct crash_head *head, size_t bytes, size_t fd_count,
		      struct errmsg *err)
{
	uint64_t told = atomic_load(&head->fd_count);

	if (head->schema != crash_schema()) {
		errmsg_set(err, "region of schema %llu, expected %u",
			   (unsigned long long)head->schema, crash_schema());
		return -EPROTONOSUPPORT;
	}
	if (head->sum != crash_head_sum(head)) {
		errmsg_set(err, "region: sum of the head");
		return -EPROTO;
	}
	if (head->bytes != bytes || told != fd_count || told > head->fds.count) {
		errmsg_set(err, "region of %llu bytes and %llu descriptors, there are %zu and %zu",
			   (unsigned long long)head->bytes, (unsigned long long)told, bytes,
			   fd_count);
		return -EPROTO;
	}
	if (!is_inside(&head->fds, bytes) || head->fds.each_bytes != sizeof(int32_t) ||
	    !is_inside(&head->listeners[0], bytes) || head->listeners[0].each_bytes != 1 ||
	    !is_inside(&head->listeners[1], bytes) || head->listeners[1].each_bytes != 1 ||
	    !is_inside(&head->counts, bytes) || !is_inside(&head->parts, bytes) ||
	    !is_inside(&head->subscribers, bytes)) {
		errmsg_set(err, "region: an array is not in it");
		return -EPROTO;
	}
	return 0;
}

static int check_numbers(const struct kept_fds *fds, uint64_t sum, struct errmsg *err)
{
	if (sum != crash_fds_sum(fds->numbers, fds->count)) {
		errmsg_set(err, "region: sum of the descriptors");
		return -EPROTO;
	}
	if (!kept_fds_are_in_order(fds)) {
		errmsg_set(err, "region: descriptors are not in order");
		return -EPROTO;
	}
	return 0;
}

/* ---- what can be asked for ---- */

static int keep_sockets(const struct handed_socket *sockets, size_t count, struct kept_fds *fds,
			struct handover *ret)
{
	ret->sockets = calloc(count + 1, sizeof(*ret->sockets));
	if (!ret->sockets)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		/* The number may be another one's by now. */
		if (!sockopt_has_cookie(kept_fds_look(fds, sockets[i].fd), sockets[i].cookie))
			continue;
		ret->sockets[ret->socket_count] = sockets[i];
		ret->sockets[ret->socket_count++].fd = kept_fds_take(fds, sockets[i].fd);
	}
	return 0;
}

static int read_listeners(uint8_t *map, struct kept_fds *fds, struct handover *ret,
			  struct errmsg *err)
{
	struct crash_listeners listeners;
	const char *fault = crash_listeners_read(map, &listeners);
	int r = -EPROTO;

	if (!fault) {
		r = keep_sockets(listeners.sockets, listeners.socket_count, fds, ret);
		ret->config = (struct kept_config){
			.fd = kept_fds_take(fds, listeners.config.fd),
			.fallbacks = listeners.config.fallbacks,
		};
	}
	if (r < 0)
		errmsg_set(err, "listening sockets: %s", fault ? fault : strerror(-r));
	crash_listeners_free(&listeners);
	return r;
}

/* The counters go with the first socket of a listener. */
static void give_counters(const struct listener_record *record, struct handover *ret)
{
	for (size_t i = 0; i < ret->socket_count; i++) {
		struct handed_socket *socket = &ret->sockets[i];

		if (socket->kind != HANDED_LISTENER ||
		    strcmp(socket->name, record->http.listener) != 0)
			continue;
		socket->counters = record->counters;
		return;
	}
}

static int read_counts(const uint8_t *map, struct handover *ret)
{
	const struct crash_array *counts = &((const struct crash_head *)(const void *)map)->counts;
	const struct listener_record *records = (const void *)(map + counts->offset);

	if (counts->count > 0 && !crash_array_is_table(counts, map, sizeof(*records)))
		return -EPROTO;
	ret->http_listeners = calloc(counts->count + 1, sizeof(*ret->http_listeners));
	if (!ret->http_listeners)
		return -ENOMEM;
	for (size_t i = 0; i < counts->count; i++) {
		const struct listener_record *record = &records[i];

		if (!atomic_load(&record->is_used) || kept_fault(&http_kept_table, &record->http) ||
		    record->sum != listener_record_sum(record))
			continue;
		give_counters(record, ret);
		ret->http_listeners[ret->http_listener_count++] = record->http;
	}
	return 0;
}

/* ---- all ---- */

int crash_read(uint8_t *map, size_t bytes, struct kept_fds *fds, struct handover *ret,
	       struct errmsg *err)
{
	const struct crash_head *head = (const struct crash_head *)(const void *)map;
	uint64_t died_ns;
	int r;

	if (bytes < sizeof(*head)) {
		errmsg_set(err, "region of %zu bytes", bytes);
		return -EPROTO;
	}
	r = check_head(head, bytes, fds->count, err);
	if (r < 0)
		return r;
	fds->numbers = (const int32_t *)(const void *)(map + head->fds.offset);
	r = check_numbers(fds, atomic_load(&head->fds_sum), err);
	if (r < 0)
		return r;
	died_ns = atomic_load(&head->died_ns);
	*ret = (struct handover){
		.config.fd = -1, .is_after_crash = true, .still_since_ns = died_ns};
	r = read_listeners(map, fds, ret, err);
	if (r == 0) {
		r = read_counts(map, ret);
		if (r < 0)
			errmsg_errno(err, -r, "listeners");
	}
	if (r == 0 && !crash_head_is_steady(head, died_ns)) {
		log_warn("relay died within a second of being resumed, its subscribers are closed");
	} else if (r == 0) {
		r = crash_feeds_read(map, fds, ret);
		if (r < 0)
			errmsg_errno(err, -r, "feeds");
	}
	if (r < 0)
		handover_free(ret);
	return r;
}
