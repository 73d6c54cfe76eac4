// SPDX-License-Identifier: MIT
/*
 * Reading feeds: first the parts with their rings, then the subscribers, then what all parts of a
 * feed must agree on.
 */
#include "daemon/crash_feeds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/crash_record.h"
#include "fanout/subscriber_resume.h"
#include "net/sockopt.h"
#include "serve/worker.h"

/* A part as it was read: where it is in the handover. */
struct part {
	const struct part_record *record; /* NULL: there is none, or it cannot be used */
	struct part_now now;
	struct handed_feed *feed;
	struct feed_state *state;
	bool is_torn;   /* no subscriber can go on in it */
	bool is_unread; /* a ring of it is not known */
	struct rendition_state
		*renditions[RECORD_FORMATS_MAX]; /* as in the record; NULL: not known */
	size_t rooms[RECORD_FORMATS_MAX];
};

struct reading {
	const uint8_t *map;
	const struct crash_head *head;
	struct kept_fds *fds;
	struct part *parts;
	struct handover *ret;
};

static const struct part_record *record_of(const struct reading *reading, size_t index)
{
	const struct crash_array *parts = &reading->head->parts;

	return (const void *)(reading->map + parts->offset + index * parts->each_bytes);
}

/* ---- parts ---- */

static void read_rendition(struct reading *reading, struct part *part, size_t index)
{
	const struct rendition_record *record = &part->record->renditions[index];
	struct feed_state *feed = part->state;
	struct rendition_state *state = &feed->renditions[feed->rendition_count];
	int r = -EBADMSG;

	if (!atomic_load(&record->is_used))
		return;
	if (record_text_is_good(record->format) && record->sum == rendition_record_sum(record))
		r = ring_record_read(kept_fds_look(reading->fds, record->ring_fd), reading->fds,
				     &state->ring, &state->map);
	if (r < 0) {
		log_warn("ring not known after a crash feed=%s format=%.64s: %s", part->feed->name,
			 record->format, strerror(-r));
		part->is_unread = true;
		return;
	}
	(void)snprintf(state->format, sizeof(state->format), "%s", record->format);
	part->renditions[index] = state;
	feed->rendition_count++;
}

static int read_part(struct reading *reading, struct part *part)
{
	const struct part_record *record = part->record;
	struct feed_state *state = part->state;

	state->renditions = calloc(RECORD_FORMATS_MAX, sizeof(*state->renditions));
	if (!state->renditions)
		return -ENOMEM;
	state->is_after_crash = true;
	state->counts = record->counts;
	/* Relay's own join anew, and count anew. */
	state->counts.metrics.subscribers_total -= record->own_count;
	state->lost_before = state->counts.closed[CLOSE_CRASH];
	state->is_awake = record->is_home || part->now.is_awake;
	state->is_source_up = part->now.is_source_up;
	state->session = part->now.session;
	state->next_seq = part->now.next_seq;
	part->is_torn = part->now.is_torn;
	for (size_t i = 0; state->is_awake && i < RECORD_FORMATS_MAX; i++)
		read_rendition(reading, part, i);
	return 0;
}

static bool is_good(const struct reading *reading, const struct part_record *record,
		    struct part_now *ret)
{
	return atomic_load(&record->state) == RECORD_PART_USED &&
	       record->worker < reading->head->workers && record_text_is_good(record->feed) &&
	       !kept_fault(&part_record_table, record) && record->sum == part_record_sum(record) &&
	       part_record_read(record, ret) == 0;
}

static struct handed_feed *find_feed(const struct handover *handover, const char *name)
{
	for (size_t i = 0; i < handover->feed_count; i++) {
		if (strcmp(handover->feeds[i].name, name) == 0)
			return &handover->feeds[i];
	}
	return NULL;
}

/* What a file that grows was read through.  Where that is not known, the ingest begins anew. */
static void read_file(struct reading *reading, const struct part_now *now, struct ingest_state *ret)
{
	ret->is_after_crash = true;
	ret->file_offset = now->file_offset;
	ret->fd = now->file_fd >= 0 ? kept_fds_take(reading->fds, now->file_fd) : -1;
}

/* What the feed listened at for its publisher, as configured; NULL: that is not known. */
static const char *find_address(const struct handover *handover, const char *feed)
{
	for (size_t i = 0; i < handover->socket_count; i++) {
		const struct handed_socket *socket = &handover->sockets[i];

		if (socket->kind == HANDED_FEED && strcmp(socket->name, feed) == 0)
			return socket->address;
	}
	return NULL;
}

/* It goes on as after a hand-over, where all that its socket has given is in the rings. */
static void read_publisher(struct reading *reading, const struct part_record *record,
			   const struct part_now *now, struct handed_feed *feed)
{
	const char *address = find_address(reading->ret, record->feed);
	uint64_t sum = atomic_load(&record->source_sum);

	if (!address || !now->is_source_up || now->is_torn || sum == 0 ||
	    sum != part_source_sum(record) ||
	    !sockopt_has_cookie(kept_fds_look(reading->fds, record->source_fd),
				record->source_cookie))
		return;
	feed->ingest = (struct ingest_state){
		.fd = kept_fds_take(reading->fds, record->source_fd),
		.has_started = record->counts.metrics.in_packets > 0,
	};
	(void)snprintf(feed->ingest_text, sizeof(feed->ingest_text), "%s", address);
	feed->parts[record->worker].intake = (struct intake_state){
		.framing = record->source_framing,
		.fixed_bytes = record->source_fixed_bytes,
		.is_in_sync = true,
	};
}

/* There is a feed for each home. */
static int read_homes(struct reading *reading)
{
	struct handover *ret = reading->ret;
	size_t count = reading->head->parts.count;

	ret->feeds = calloc(count + 1, sizeof(*ret->feeds));
	if (!ret->feeds)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct part_record *record = record_of(reading, i);
		struct handed_feed *feed = &ret->feeds[ret->feed_count];
		struct part_now now;

		if (!is_good(reading, record, &now) || !record->is_home ||
		    find_feed(ret, record->feed))
			continue;
		feed->parts = calloc(reading->head->workers, sizeof(*feed->parts));
		if (!feed->parts)
			return -ENOMEM;
		(void)snprintf(feed->name, sizeof(feed->name), "%s", record->feed);
		read_file(reading, &now, &feed->ingest);
		read_publisher(reading, record, &now, feed);
		memcpy(feed->refused, record->refused, sizeof(feed->refused));
		feed->home = record->worker;
		feed->part_count = reading->head->workers;
		ret->feed_count++;
	}
	return 0;
}

static int read_parts(struct reading *reading)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < reading->head->parts.count; i++) {
		const struct part_record *record = record_of(reading, i);
		struct part *part = &reading->parts[i];
		struct handed_feed *feed = is_good(reading, record, &part->now)
						   ? find_feed(reading->ret, record->feed)
						   : NULL;

		if (!feed || feed->parts[record->worker].renditions ||
		    (record->is_home != 0) != (feed->home == record->worker))
			continue;
		part->record = record;
		part->feed = feed;
		part->state = &feed->parts[record->worker];
		r = read_part(reading, part);
	}
	return r;
}

/* ---- what the parts of a feed agree on ---- */

static struct feed_state *home_of(const struct handed_feed *feed)
{
	return &feed->parts[feed->home];
}

/* Home is told first when a session begins; what a branch has of another one leads nowhere. */
static void compare_sessions(struct reading *reading)
{
	for (size_t i = 0; i < reading->head->parts.count; i++) {
		struct part *part = &reading->parts[i];

		if (part->record && part->state->is_awake &&
		    part->state->session != home_of(part->feed)->session)
			part->is_torn = true;
	}
}

/* The farthest that a ring has come. Where one is not known it may have been what was published
 * last, which must not get another meaning. */
static uint64_t farthest(const struct part *part)
{
	const struct feed_state *state = part->state;
	uint64_t next_seq = 0;

	if (part->is_unread || state->rendition_count == 0)
		next_seq = state->next_seq;
	for (size_t i = 0; i < state->rendition_count; i++)
		next_seq = u64_max(next_seq, state->renditions[i].ring.next_seq);
	return next_seq;
}

static void settle_feed(struct reading *reading, struct handed_feed *feed)
{
	uint64_t session = home_of(feed)->session, next_seq = 0;
	bool is_source_up = home_of(feed)->is_source_up;

	for (size_t i = 0; i < reading->head->parts.count; i++) {
		const struct part *part = &reading->parts[i];

		if (part->feed == feed && part->state->is_awake && part->state->session == session)
			next_seq = u64_max(next_seq, farthest(part));
	}
	for (size_t i = 0; i < feed->part_count; i++) {
		feed->parts[i].session = session;
		feed->parts[i].next_seq = next_seq;
		feed->parts[i].is_source_up = is_source_up;
	}
}

/* ---- subscribers ---- */

static struct subscriber_snapshot *add_subscriber(struct part *part, size_t index)
{
	struct rendition_state *state = part->renditions[index];
	size_t room = part->rooms[index];

	if (state->subscriber_count == room) {
		struct subscriber_snapshot *grown;

		room = room ? 2 * room : 16;
		grown = realloc(state->subscribers, room * sizeof(*grown));
		if (!grown)
			return NULL;
		state->subscribers = grown;
		part->rooms[index] = room;
	}
	return &state->subscribers[state->subscriber_count++];
}

static void lose(struct reading *reading, struct part *part)
{
	if (part)
		part->state->counts.closed[CLOSE_CRASH]++;
	else
		reading->ret->lost++;
}

static int read_subscriber(struct reading *reading, const struct subscriber_record *record,
			   int number)
{
	struct part *part =
		record->part < reading->head->parts.count ? &reading->parts[record->part] : NULL;
	bool is_known = part && part->record && !part->is_torn &&
			record->rendition < RECORD_FORMATS_MAX &&
			part->renditions[record->rendition];
	struct subscriber_snapshot snapshot, *place;

	if (!is_known ||
	    subscriber_record_read(record, kept_fds_look(reading->fds, number),
				   &part->renditions[record->rendition]->ring, &snapshot) < 0) {
		lose(reading, part && part->record ? part : NULL);
		return 0;
	}
	place = add_subscriber(part, record->rendition);
	if (!place)
		return -ENOMEM;
	*place = snapshot;
	place->fd = kept_fds_take(reading->fds, number);
	part->feed->admitted = u64_max(part->feed->admitted, snapshot.id);
	return 0;
}

static int read_subscribers(struct reading *reading)
{
	const struct crash_array *records = &reading->head->subscribers;
	const struct kept_fds *fds = reading->fds;
	int r = 0;

	for (size_t i = 0; r == 0 && i < fds->count; i++) {
		int number = fds->numbers[i];
		const struct subscriber_record *record;

		if (fds->fds[i] < 0 || number < 0 || (uint64_t)number >= records->count)
			continue;
		record = (const void *)(reading->map + records->offset +
					(size_t)number * records->each_bytes);
		if (subscriber_record_is_used(record))
			r = read_subscriber(reading, record, number);
	}
	return r;
}

static uint64_t count_known(const struct feed_state *state)
{
	uint64_t count = 0;

	for (size_t i = 0; i < CLOSE_REASON_COUNT; i++)
		count += state->counts.closed[i];
	for (size_t i = 0; i < state->rendition_count; i++)
		count += state->renditions[i].subscriber_count;
	return count;
}

/* Who ever joined is there, or has been closed.  Since the counters were noted some have joined.
 * Others have gone, nobody knows why. */
static void settle_accounts(struct handed_feed *feed)
{
	struct feed_state *home = &feed->parts[feed->home];
	uint64_t joined = 0, known = 0;

	for (size_t i = 0; i < feed->part_count; i++) {
		joined += feed->parts[i].counts.metrics.subscribers_total;
		known += count_known(&feed->parts[i]);
	}
	if (known > joined) {
		home->counts.metrics.subscribers_total += known - joined;
	} else {
		home->counts.closed[CLOSE_CRASH] += joined - known;
		home->lost_before += joined - known;
	}
}

int crash_feeds_read(const uint8_t *map, struct kept_fds *fds, struct handover *ret)
{
	const struct crash_head *head = (const void *)map;
	struct reading reading = {.map = map, .head = head, .fds = fds, .ret = ret};
	int r;

	if (head->parts.count == 0)
		return 0;
	if (head->workers == 0 || head->workers > WORKERS_MAX ||
	    !crash_array_is_table(&head->parts, map, sizeof(struct part_record)) ||
	    !crash_array_is_table(&head->subscribers, map, sizeof(struct subscriber_record))) {
		log_warn(
			"feeds of the process that died are not known, its subscribers are closed");
		return 0;
	}
	reading.parts = calloc(head->parts.count + 1, sizeof(*reading.parts));
	r = reading.parts ? read_homes(&reading) : -ENOMEM;
	if (r == 0)
		r = read_parts(&reading);
	if (r == 0) {
		compare_sessions(&reading);
		r = read_subscribers(&reading);
	}
	if (r == 0) {
		for (size_t i = 0; i < ret->feed_count; i++) {
			settle_feed(&reading, &ret->feeds[i]);
			settle_accounts(&ret->feeds[i]);
		}
		ret->workers = (unsigned)head->workers;
	}
	free(reading.parts);
	return r;
}
