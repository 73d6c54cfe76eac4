// SPDX-License-Identifier: MIT
/* A combination takes what its members send, one packet of each in turn. */
#include "feed/crossing_member.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "feed/crossing.h"
#include "feed/crossing_item.h"
#include "feed/feed.h"
#include "feed/number.h"
#include "feed/publish.h"

/* ---- what a member sends ---- */

static struct packet packet_of(const struct members *members, const struct member *member,
			       const struct crossing_item *item)
{
	const struct sequence *sequence = &members->feed->publish.sequence;
	struct packet packet = item->packet;

	packet.session = sequence->session;
	packet.first_seq = sequence->next_seq;
	packet.arrived_ns = 0; /* in the order in which they are mixed */
	packet.feed = &member->from;
	return packet;
}

static void receive_data(struct members *members, struct member *member, struct crossing_item *item)
{
	struct packet packet = packet_of(members, member, item);
	struct feed *feed = members->feed;
	struct payload payload;

	crossing_take_payload(member->crossing, item, &feed->pipes.pool, &payload);
	publish_packet(&feed->publish, &packet, &payload);
	chain_drop(&feed->pipes, &item->chain);
}

static void receive_gap(struct members *members, struct member *member, struct crossing_item *item)
{
	struct packet packet = packet_of(members, member, item);
	struct publish *publish = &members->feed->publish;
	uint64_t missing = packet_next_seq(&item->packet) - item->packet.first_seq;

	if (item->packet.flags & PACKET_FLAG_HOLE) /* nobody has lost anything */
		return;
	packet.time_ns = packet.first_seq + missing;
	publish->fanout->metrics->source_missed += missing;
	publish_packet(publish, &packet, NULL);
	number_set(publish, packet.session, packet_next_seq(&packet));
}

/* A combination has heartbeats of its own, and the end of a session shows in the next one. */
static void receive_packet(struct members *members, struct member *member,
			   struct crossing_item *item)
{
	struct packet packet = packet_of(members, member, item);

	switch (item->packet.type) {
	case PACKET_DATA:
		receive_data(members, member, item);
		break;
	case PACKET_GAP:
		receive_gap(members, member, item);
		break;
	case PACKET_SOURCE_DOWN:
	case PACKET_SOURCE_UP:
		publish_packet(&members->feed->publish, &packet, NULL);
		break;
	case PACKET_HEARTBEAT:
	case PACKET_END:
		break;
	}
}

static void follow_session(struct members *members, struct member *member, uint32_t session)
{
	if (member->session && member->session != session)
		number_begin_session(&members->feed->publish);
	member->session = session;
}

/* For want of memory the member could not send all. */
static void lose(struct members *members)
{
	struct publish *publish = &members->feed->publish;

	fanout_lose_all(publish->fanout);
	crossings_lose(&publish->crossings);
	number_begin_session(publish);
}

static void drain(struct members *members, struct member *member)
{
	member->has_drained = true;
	for (size_t i = 0; i < members->count; i++) {
		if (!members->list[i].has_drained)
			return;
	}
	feed_drain(members->feed);
}

/* Its source is there while one of theirs is. */
static void note_source(struct members *members, struct member *member, bool is_up)
{
	bool is_any_up = false;

	member->is_up = is_up;
	for (size_t i = 0; i < members->count; i++)
		is_any_up = is_any_up || members->list[i].is_up;
	publish_set_source(&members->feed->publish, is_any_up);
}

static void receive(struct members *members, struct member *member, struct crossing_item *item)
{
	note_source(members, member, item->is_source_up);
	switch (item->kind) {
	case CROSSING_PACKET:
		receive_packet(members, member, item);
		break;
	case CROSSING_WAKE:
	case CROSSING_SEQUENCE:
		follow_session(members, member, item->packet.session);
		break;
	case CROSSING_LOSS:
		lose(members);
		break;
	case CROSSING_DRAIN:
		drain(members, member);
		break;
	case CROSSING_SLEEP: /* it never asks for that */
		break;
	}
}

/* ---- taking ---- */

/* The member that has sent something, beginning with the one whose turn it is.  NULL: none has. */
static struct member *take_one(struct members *members)
{
	for (size_t i = 0; i < members->count; i++) {
		struct member *member = &members->list[(members->next + i) % members->count];
		struct crossing_item *item = crossing_pop(member->crossing);

		if (!item)
			continue;
		receive(members, member, item);
		crossing_item_free(item);
		members->next = (members->next + i + 1) % members->count;
		return member;
	}
	return NULL;
}

/* For one turn at most. */
static void take(void *owner)
{
	struct members *members = owner;
	struct feed *feed = members->feed;
	uint64_t start_ns = clock_mono_ns();
	uint64_t now_ns = start_ns;
	struct member *member;

	while (feed_can_take(feed) && (member = take_one(members))) {
		feed_serve_packet(feed, now_ns);
		now_ns = clock_mono_ns();
		if (now_ns - start_ns > feed->params.fanout.turn_budget_ns) {
			crossing_ring(&member->crossing->arrived);
			return;
		}
	}
}

static void on_arrived(struct task *task)
{
	struct crossing *crossing = container_of(task, struct crossing, arrived.task);

	crossing_hear(&crossing->arrived);
	if (crossing->is_attached)
		take(crossing->branch->events.owner);
}

/* Members know how many read them. */
static void on_tick(void *owner, uint64_t now_ms)
{
	struct members *members = owner;
	uint64_t subscribers = feed_subscriber_count(members->feed);

	(void)now_ms;
	for (size_t i = 0; i < members->count; i++)
		atomic_store(&members->list[i].crossing->subscribers, subscribers);
}

static void catch_up(void *owner)
{
	const struct members *members = owner;
	uint64_t before;

	do {
		before = members->feed->publish.sequence.next_seq;
		take(owner);
	} while (members->feed->publish.sequence.next_seq != before);
}

/* ---- life ---- */

void members_attach(struct members *members)
{
	members->feed->events = (struct feed_events){
		.owner = members,
		.on_ready = take,
		.on_tick = on_tick,
		.catch_up = catch_up,
	};
	for (size_t i = 0; i < members->count; i++) {
		struct crossing *crossing = members->list[i].crossing;

		crossing->arrived.task.run = on_arrived;
		crossing->is_attached = true;
		atomic_store(&crossing->is_wanted, true);
	}
}

void members_detach(struct members *members)
{
	members->feed->events = (struct feed_events){0};
	for (size_t i = 0; i < members->count; i++) {
		if (members->list[i].crossing)
			members->list[i].crossing->is_attached = false;
	}
}
