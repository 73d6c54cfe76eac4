// SPDX-License-Identifier: MIT
/* The numbers of a feed: its own, or those of the relay that it reads. */
#include "feed/number.h"

#include "base/clock.h"
#include "fanout/rendition.h"
#include "feed/feed.h"
#include "feed/feed_kept.h"
#include "feed/publish.h"

void number_set(struct feed *feed, uint32_t session, uint64_t next_seq)
{
	struct list_node *node;

	feed_record_begin_sequence(feed);
	feed->session = session;
	feed->next_seq = next_seq;
	list_for_each (&feed->fanout.renditions, node)
		ring_set_sequence(&rendition_of(node)->ring, next_seq);
	feed_record_end_sequence(feed);
	crossing_send_sequence(feed);
}

static void tell(struct feed *feed, enum packet_type type, uint64_t time_ns)
{
	const struct packet packet = {
		.type = type,
		.session = feed->session,
		.first_seq = feed->next_seq,
		.time_ns = time_ns,
		.starts_message = true,
	};

	publish(feed, &packet, NULL);
}

void number_tell(struct feed *feed, enum packet_type type)
{
	tell(feed, type, clock_wall_ns());
}

/* ---- another relay's numbers ---- */

/* What lies before `sequence` is missing. */
static void skip_to(struct feed *feed, uint64_t sequence)
{
	if (sequence <= feed->next_seq)
		return;
	feed->metrics.source_missed += sequence - feed->next_seq;
	tell(feed, PACKET_GAP, sequence);
	number_set(feed, feed->session, sequence);
}

/* A session that is new begins anew, for subscribers too. */
static void follow_session(struct feed *feed, const struct packet *packet)
{
	if (feed->follows_session && packet->session == feed->session)
		return;
	if (feed->metrics.subscribers)
		number_tell(feed, PACKET_END);
	feed->follows_session = true;
	number_set(feed, packet->session, packet->first_seq);
}

/* News without messages: told on, or they only say where the sequence stands. */
static void follow_news(struct feed *feed, const struct packet *packet)
{
	switch (packet->type) {
	case PACKET_GAP:
		skip_to(feed, packet_next_seq(packet));
		break;
	case PACKET_HEARTBEAT:
		skip_to(feed, packet->first_seq);
		break;
	case PACKET_SOURCE_DOWN:
	case PACKET_SOURCE_UP:
		skip_to(feed, packet->first_seq);
		tell(feed, packet->type, packet->time_ns);
		break;
	case PACKET_DATA:
	case PACKET_END: /* shows in the next session, or in ours */
		break;
	}
}

/* ---- the sink ---- */

static void number(const struct feed *feed, struct packet *packet)
{
	packet->session = feed->session;
	packet->first_seq = feed->next_seq;
	packet->time_ns = clock_wall_ns();
}

bool number_put(void *owner, struct packet *packet, struct payload *payload)
{
	struct feed *feed = owner;
	bool has_number = feed->params.framing.kind == FRAMING_RELAY;

	/* With the bytes in hand: a branch that asked before they were sent gets them. */
	if (payload)
		crossing_answer(feed);
	if (has_number)
		follow_session(feed, packet);
	else
		number(feed, packet);
	if (!payload) {
		follow_news(feed, packet);
		return true;
	}
	if (packet->first_seq < feed->next_seq) {
		feed->metrics.source_repeated += packet->count;
		return false;
	}
	skip_to(feed, packet->first_seq);
	publish(feed, packet, payload);
	return true;
}
