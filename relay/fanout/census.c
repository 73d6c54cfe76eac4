// SPDX-License-Identifier: MIT
/* The picks are a heap whose first one is the first to give way: one comparison for each subscriber
 * that is not listed, and no more than a few words are moved for one that is. */
#include "fanout/census.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "fanout/fanout.h"
#include "fanout/rendition.h"

const uint64_t census_lag_bounds_ms[CENSUS_LAG_BUCKETS - 1] = {0, 1, 10, 100, 1000, 10000};

int census_init(struct census *census, enum census_order order, bool is_slow_only, size_t limit)
{
	*census = (struct census){.order = order, .is_slow_only = is_slow_only, .limit = limit};
	census->picks = calloc(limit ? limit : 1, sizeof(*census->picks));
	return census->picks ? 0 : -ENOMEM;
}

void census_fini(struct census *census)
{
	free(census->picks);
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

static bool comes_before(const struct census_pick *a, const struct census_pick *b)
{
	return a->key != b->key ? a->key > b->key : a->subscriber->id < b->subscriber->id;
}

static void swap(struct census_pick *a, struct census_pick *b)
{
	struct census_pick kept = *a;

	*a = *b;
	*b = kept;
}

static void sift_down(struct census_pick *picks, size_t count)
{
	size_t at = 0, last = 0;

	for (;; at = last) {
		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
			if (comes_before(&picks[last], &picks[child]))
				last = child;
		}
		if (last == at)
			return;
		swap(&picks[at], &picks[last]);
	}
}

static void offer(struct census *census, struct census_pick pick)
{
	struct census_pick *picks = census->picks;
	size_t at = census->pick_count;

	if (at == census->limit) {
		if (at == 0 || !comes_before(&pick, &picks[0]))
			return;
		picks[0] = pick;
		sift_down(picks, at);
		return;
	}
	picks[at] = pick;
	census->pick_count++;
	while (at && comes_before(&picks[(at - 1) / 2], &picks[at])) {
		swap(&picks[(at - 1) / 2], &picks[at]);
		at = (at - 1) / 2;
	}
}

/* ---- the walk ---- */

static uint64_t lag_bytes_of(const struct subscriber *subscriber)
{
	if (subscriber->state == SUBSCRIBER_JOINING)
		return 0;
	return subscriber->rendition->ring.end_pos - subscriber->cursor.pos;
}

static uint64_t lag_ms_of(const struct subscriber *subscriber, uint64_t now_ns)
{
	uint64_t since_ns = 0;

	if (lag_bytes_of(subscriber))
		since_ns = cursor_unread_time(&subscriber->cursor, &subscriber->rendition->ring);
	return since_ns && now_ns > since_ns ? (now_ns - since_ns) / NS_PER_MS : 0;
}

static uint64_t age_ms_of(const struct subscriber *subscriber, uint64_t now_ns)
{
	uint64_t now_ms = now_ns / NS_PER_MS;

	return now_ms > subscriber->joined_ms ? now_ms - subscriber->joined_ms : 0;
}

static uint64_t delivered_by(const struct subscriber *subscriber)
{
	if (subscriber->state == SUBSCRIBER_JOINING)
		return 0;
	return subscriber_delivered_messages(subscriber);
}

static uint64_t key_of(const struct census *census, const struct subscriber *subscriber,
		       uint64_t now_ns)
{
	switch (census->order) {
	case CENSUS_BY_LAG:
		return lag_bytes_of(subscriber);
	case CENSUS_BY_AGE:
		return age_ms_of(subscriber, now_ns);
	case CENSUS_BY_DELIVERED:
		return delivered_by(subscriber);
	case CENSUS_BY_ID:
		return UINT64_MAX - subscriber->id;
	}
	return 0;
}

static void count_lag(struct census *census, uint64_t lag_ms)
{
	int bucket = 0;

	while (bucket < CENSUS_LAG_BUCKETS - 1 && lag_ms > census_lag_bounds_ms[bucket])
		bucket++;
	census->lag_buckets[bucket]++;
	census->max_lag_ms = u64_max(census->max_lag_ms, lag_ms);
}

static void meet_all(struct census *census, const struct list *list, uint64_t now_ns)
{
	struct list_node *node;

	list_for_each (list, node) {
		const struct subscriber *subscriber = list_entry(node, struct subscriber, node);

		census->total++;
		count_lag(census, lag_ms_of(subscriber, now_ns));
		offer(census, (struct census_pick){key_of(census, subscriber, now_ns), subscriber});
	}
}

void census_add(struct census *census, const struct fanout *fanout, uint64_t now_ns)
{
	struct list_node *node;

	list_for_each (&fanout->renditions, node) {
		const struct rendition *rendition = rendition_of(node);

		meet_all(census, &rendition->blocked, now_ns);
		if (census->is_slow_only)
			continue;
		meet_all(census, &rendition->joining, now_ns);
		meet_all(census, &rendition->ready, now_ns);
		meet_all(census, &rendition->idle, now_ns);
		meet_all(census, &rendition->resting, now_ns);
	}
}

/* ---- the rows ---- */

static void ask_socket(struct census_row *row, const struct subscriber *subscriber)
{
	int fd = subscriber->fd;
	int queued = 0;

	if (ioctl(fd, SIOCOUTQ, &queued) == 0 && queued > 0)
		row->queued_bytes = (uint64_t)queued;
	if (row->state == SUBSCRIBER_BLOCKED)
		row->cause = slow_cause_of(fd);
	if (!endpoint_unpack_peer(&subscriber->peer, &row->peer))
		endpoint_peer(fd, &row->peer);
}

static void describe(struct census_row *row, const struct census_pick *pick, uint64_t now_ns)
{
	const struct subscriber *subscriber = pick->subscriber;
	const struct rendition *rendition = subscriber->rendition;

	*row = (struct census_row){
		.key = pick->key,
		.feed = rendition->fanout->name,
		.format = encoder_name(rendition->encoder),
		.id = subscriber->id,
		.state = subscriber->state,
		.is_replaying = subscriber->replay != NULL,
		.lag_bytes = lag_bytes_of(subscriber),
		.lag_ms = lag_ms_of(subscriber, now_ns),
		.delivered_messages = delivered_by(subscriber),
		.sent_bytes = subscriber->sent_bytes,
		.connected_ms = age_ms_of(subscriber, now_ns),
		.cause = CAUSE_UNKNOWN,
	};
	if (row->lag_bytes)
		row->lag_messages =
			rendition->ring.message_count - cursor_messages_read(&subscriber->cursor);
	ask_socket(row, subscriber);
}

int census_list(struct census *census, uint64_t now_ns)
{
	census->rows = calloc(census->pick_count + 1, sizeof(*census->rows));
	if (!census->rows)
		return -ENOMEM;
	census->count = census->pick_count;
	for (size_t i = 0; i < census->count; i++)
		describe(&census->rows[i], &census->picks[i], now_ns);
	return 0;
}

int census_merge(struct census *sum, const struct census *part)
{
	size_t count = sum->count + part->count;
	struct census_row *rows;

	sum->total += part->total;
	sum->max_lag_ms = u64_max(sum->max_lag_ms, part->max_lag_ms);
	for (int i = 0; i < CENSUS_LAG_BUCKETS; i++)
		sum->lag_buckets[i] += part->lag_buckets[i];
	if (part->count == 0)
		return 0;
	rows = reallocarray(sum->rows, count, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	memcpy(rows + sum->count, part->rows, part->count * sizeof(*rows));
	sum->rows = rows;
	sum->count = count;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct census_row *x = a, *y = b;

	if (x->key != y->key)
		return x->key > y->key ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

void census_sort(struct census *census)
{
	if (census->count)
		qsort(census->rows, census->count, sizeof(*census->rows), compare);
	census->count = size_min(census->count, census->limit);
}
