// SPDX-License-Identifier: MIT
/* The rows are a heap whose first one is the first to give way: one comparison for each subscriber
 * that is not listed. */
#include "feed/census.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "feed/feed.h"

const uint64_t census_lag_bounds_ms[CENSUS_LAG_BUCKETS - 1] = {0, 1, 10, 100, 1000, 10000};

int census_init(struct census *census, enum census_order order, bool is_slow_only, size_t limit)
{
	*census = (struct census){.order = order, .is_slow_only = is_slow_only, .limit = limit};
	census->rows = calloc(limit ? limit : 1, sizeof(*census->rows));
	return census->rows ? 0 : -ENOMEM;
}

void census_fini(struct census *census)
{
	free(census->rows);
	*census = (struct census){.limit = 0};
}

const char *census_state_name(enum subscriber_state state)
{
	switch (state) {
	case SUBSCRIBER_JOINING:
		return "joining";
	case SUBSCRIBER_IDLE:
		return "idle";
	case SUBSCRIBER_READY:
		return "ready";
	case SUBSCRIBER_BLOCKED:
		return "blocked";
	case SUBSCRIBER_CLOSED:
		return "closed";
	}
	return "unknown";
}

/* ---- the heap ---- */

static bool comes_before(const struct census_row *a, const struct census_row *b)
{
	return a->key != b->key ? a->key > b->key : a->id < b->id;
}

static void swap(struct census_row *a, struct census_row *b)
{
	struct census_row kept = *a;

	*a = *b;
	*b = kept;
}

static void sift_down(struct census_row *rows, size_t count)
{
	size_t at = 0, last = 0;

	for (;; at = last) {
		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
			if (comes_before(&rows[last], &rows[child]))
				last = child;
		}
		if (last == at)
			return;
		swap(&rows[at], &rows[last]);
	}
}

static void offer(struct census *census, const struct census_row *row)
{
	struct census_row *rows = census->rows;
	size_t at = census->count;

	if (at == census->limit) {
		if (at == 0 || !comes_before(row, &rows[0]))
			return;
		rows[0] = *row;
		sift_down(rows, census->count);
		return;
	}
	rows[at] = *row;
	census->count++;
	while (at && comes_before(&rows[(at - 1) / 2], &rows[at])) {
		swap(&rows[(at - 1) / 2], &rows[at]);
		at = (at - 1) / 2;
	}
}

/* ---- the walk ---- */

static uint64_t key_of(const struct census *census, const struct census_row *row)
{
	switch (census->order) {
	case CENSUS_BY_LAG:
		return row->lag_bytes;
	case CENSUS_BY_AGE:
		return row->connected_ms;
	case CENSUS_BY_DELIVERED:
		return row->delivered_messages;
	case CENSUS_BY_ID:
		return UINT64_MAX - row->id;
	}
	return 0;
}

static uint64_t lag_ms_of(const struct subscriber *subscriber, uint64_t wall_ns)
{
	uint64_t since_ns = cursor_unread_time(&subscriber->cursor, &subscriber->rendition->ring);

	return since_ns && wall_ns > since_ns ? (wall_ns - since_ns) / NS_PER_MS : 0;
}

static void count_lag(struct census *census, uint64_t lag_ms)
{
	int bucket = 0;

	while (bucket < CENSUS_LAG_BUCKETS - 1 && lag_ms > census_lag_bounds_ms[bucket])
		bucket++;
	census->lag_buckets[bucket]++;
	census->max_lag_ms = u64_max(census->max_lag_ms, lag_ms);
}

static void meet(struct census *census, struct subscriber *subscriber, uint64_t now_ms,
		 uint64_t wall_ns)
{
	const struct rendition *rendition = subscriber->rendition;
	const struct cursor *cursor = &subscriber->cursor;
	struct census_row row = {
		.feed = rendition->feed->params.name,
		.format = rendition->encoder->name,
		.id = subscriber->id,
		.state = subscriber->state,
		.lag_bytes = rendition->ring.end_pos - cursor->pos,
		.connected_ms = now_ms > subscriber->joined_ms ? now_ms - subscriber->joined_ms : 0,
		.cause = CAUSE_UNKNOWN,
		.subscriber = subscriber,
	};

	if (subscriber->state == SUBSCRIBER_JOINING)
		row.lag_bytes = 0;
	else
		row.delivered_messages = subscriber_delivered_messages(subscriber);
	if (row.lag_bytes)
		row.lag_ms = lag_ms_of(subscriber, wall_ns);
	if (row.lag_bytes)
		row.lag_messages = rendition->ring.message_count - cursor_messages_read(cursor);
	row.key = key_of(census, &row);
	census->total++;
	count_lag(census, row.lag_ms);
	offer(census, &row);
}

static void meet_all(struct census *census, const struct list *list, uint64_t now_ms,
		     uint64_t wall_ns)
{
	struct list_node *node;

	list_for_each (list, node)
		meet(census, list_entry(node, struct subscriber, node), now_ms, wall_ns);
}

void census_add(struct census *census, const struct feed *feed, uint64_t now_ms, uint64_t wall_ns)
{
	struct list_node *node;

	list_for_each (&feed->renditions, node) {
		const struct rendition *rendition = rendition_of(node);

		meet_all(census, &rendition->blocked, now_ms, wall_ns);
		if (census->is_slow_only)
			continue;
		meet_all(census, &rendition->joining, now_ms, wall_ns);
		meet_all(census, &rendition->ready, now_ms, wall_ns);
		meet_all(census, &rendition->idle, now_ms, wall_ns);
	}
}

void census_ask(struct census *census)
{
	for (size_t i = 0; i < census->count; i++) {
		struct census_row *row = &census->rows[i];
		int fd = row->subscriber->fd, queued = 0;

		if (ioctl(fd, SIOCOUTQ, &queued) == 0 && queued > 0)
			row->queued_bytes = (uint64_t)queued;
		if (row->state == SUBSCRIBER_BLOCKED)
			row->cause = slow_cause_of(fd);
		row->peer_bytes = sizeof(row->peer);
		if (getpeername(fd, (struct sockaddr *)&row->peer, &row->peer_bytes) < 0)
			row->peer_bytes = 0;
	}
}

void census_merge(struct census *sum, const struct census *part)
{
	sum->total += part->total;
	sum->max_lag_ms = u64_max(sum->max_lag_ms, part->max_lag_ms);
	for (int i = 0; i < CENSUS_LAG_BUCKETS; i++)
		sum->lag_buckets[i] += part->lag_buckets[i];
	for (size_t i = 0; i < part->count; i++)
		offer(sum, &part->rows[i]);
}

static int compare(const void *a, const void *b)
{
	return comes_before(a, b) ? -1 : comes_before(b, a) ? 1 : 0;
}

void census_sort(struct census *census)
{
	qsort(census->rows, census->count, sizeof(*census->rows), compare);
}
