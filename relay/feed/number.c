// SPDX-License-Identifier: MIT
/* The numbers of a feed: its own, or those of the relay that it reads. */
#include "feed/number.h"

#include "base/clock.h"
#include "fanout/rendition.h"
#include "feed/feed_kept.h"

void number_set(struct publish *publish, uint32_t session, uint64_t next_seq)
{
	struct list_node *node;

	feed_record_begin_sequence(publish->fanout);
	publish->sequence.session = session;
	publish->sequence.next_seq = next_seq;
	list_for_each (&publish->fanout->renditions, node)
		ring_set_sequence(&rendition_of(node)->ring, next_seq);
	feed_record_end_sequence(publish->fanout, &publish->sequence, publish->is_awake);
	crossings_send_sequence(&publish->crossings);
}

static void tell(struct publish *publish, enum packet_type type, uint64_t time_ns)
{
	const struct packet packet = {
		.type = type,
		.session = publish->sequence.session,
		.first_seq = publish->sequence.next_seq,
		.time_ns = time_ns,
		.starts_message = true,
	};

	publish_packet(publish, &packet, NULL);
}

void number_tell(struct publish *publish, enum packet_type type)
{
	tell(publish, type, clock_wall_ns());
}

/* ---- another relay's numbers ---- */

/* What lies before `sequence` is missing. */
static void skip_to(struct publish *publish, uint64_t sequence)
{
	if (sequence <= publish->sequence.next_seq)
		return;
	publish->fanout->metrics->source_missed += sequence - publish->sequence.next_seq;
	tell(publish, PACKET_GAP, sequence);
	number_set(publish, publish->sequence.session, sequence);
}

/* A session that is new begins anew, for subscribers too. */
static void follow_session(struct publish *publish, const struct packet *packet)
{
	if (publish->follows_session && packet->session == publish->sequence.session)
		return;
	if (publish->fanout->metrics->subscribers)
		number_tell(publish, PACKET_END);
	publish->follows_session = true;
	number_set(publish, packet->session, packet->first_seq);
}

/* News without messages: told on, or they only say where the sequence stands. */
static void follow_news(struct publish *publish, const struct packet *packet)
{
	switch (packet->type) {
	case PACKET_GAP:
		skip_to(publish, packet_next_seq(packet));
		break;
	case PACKET_HEARTBEAT:
		skip_to(publish, packet->first_seq);
		break;
	case PACKET_SOURCE_DOWN:
	case PACKET_SOURCE_UP:
		skip_to(publish, packet->first_seq);
		tell(publish, packet->type, packet->time_ns);
		break;
	case PACKET_DATA:
	case PACKET_END: /* shows in the next session, or in ours */
		break;
	}
}

/* ---- the sink ---- */

static void number(const struct publish *publish, struct packet *packet)
{
	packet->session = publish->sequence.session;
	packet->first_seq = publish->sequence.next_seq;
	if (!packet->time_ns)
		packet->time_ns = clock_wall_ns();
}

bool number_put(void *owner, struct packet *packet, struct payload *payload)
{
	struct publish *publish = owner;
	bool has_number = publish->framing->kind == FRAMING_RELAY;

	/* With the bytes in hand: a branch that asked before they were sent gets them. */
	if (payload)
		crossings_answer(&publish->crossings);
	if (has_number)
		follow_session(publish, packet);
	else
		number(publish, packet);
	if (!payload) {
		follow_news(publish, packet);
		return true;
	}
	if (packet->first_seq < publish->sequence.next_seq) {
		publish->fanout->metrics->source_repeated += packet->count;
		return false;
	}
	skip_to(publish, packet->first_seq);
	publish_packet(publish, packet, payload);
	return true;
}
