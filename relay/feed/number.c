// SPDX-License-Identifier: MIT
/* The numbers of a feed: its own, or those of the relay that it reads. */
#include "feed/number.h"

#include "base/clock.h"
#include "base/log.h"
#include "fanout/rendition.h"
#include "feed/feed_kept.h"

/* In messages. */
#define REPEATED_MAX (1ULL << 30) /* a ring has 1 GiB at most, and a message a byte     */
#define MISSED_MAX   (1ULL << 40) /* at a million a second, twelve days                 */
#define USUAL_LOSS   (1ULL << 16) /* a narrower jump keeps nobody out for long           */

void number_set(struct publish *publish, uint32_t session, uint64_t next_seq)
{
	struct list_node *node;

	feed_record_begin_sequence(publish->fanout);
	publish->sequence.session = session;
	publish->sequence.next_seq = next_seq;
	list_for_each (&publish->fanout->renditions, node)
		ring_set_sequence(&rendition_of(node)->ring, session, next_seq);
	feed_record_end_sequence(publish->fanout, &publish->sequence, publish->is_awake);
	crossings_send_sequence(&publish->crossings);
}

static void tell(struct publish *publish, enum packet_type type, uint8_t flags, uint64_t time_ns)
{
	const struct packet packet = {
		.type = type,
		.flags = flags,
		.session = publish->sequence.session,
		.first_seq = publish->sequence.next_seq,
		.time_ns = time_ns,
	};

	publish_packet(publish, &packet, NULL);
}

void number_tell(struct publish *publish, enum packet_type type)
{
	tell(publish, type, 0, clock_wall_ns());
}

/* ---- another relay's numbers ---- */

static void end_session(struct publish *publish)
{
	if (publish->fanout->metrics->subscribers + crossings_subscriber_count(&publish->crossings))
		number_tell(publish, PACKET_END);
	publish->source.jump_from = publish->source.jump_to = 0;
}

/* A number that neither the feed nor its source has now. */
static uint32_t new_session(const struct publish *publish)
{
	uint32_t session = (uint32_t)(clock_wall_ns() / NS_PER_MS) | 1U;

	while (session == publish->sequence.session || session == publish->source.session)
		session += 2;
	return session;
}

void number_begin_session(struct publish *publish)
{
	end_session(publish);
	number_set(publish, new_session(publish), SEQUENCE_FIRST);
}

static void begin_anew(struct publish *publish, uint64_t sequence, const char *why)
{
	uint32_t session = new_session(publish);
	uint64_t suppressed;

	publish->fanout->metrics->source_restarts++;
	if (log_allow(&publish->source.restarts_log, clock_mono_ns(), &suppressed))
		log_warn("sequence begins anew feed=%s session=%u from=%llu expected=%llu: the "
			 "publisher %s suppressed=%llu",
			 publish->fanout->name, session, (unsigned long long)sequence,
			 (unsigned long long)publish->sequence.next_seq, why,
			 (unsigned long long)suppressed);
	end_session(publish);
	number_set(publish, session, sequence);
}

/* What lies before `sequence` is missing. */
static void skip_to(struct publish *publish, uint64_t sequence)
{
	struct source_sequence *source = &publish->source;
	uint64_t from = publish->sequence.next_seq;

	if (sequence <= from)
		return;
	if (sequence - from > MISSED_MAX) {
		begin_anew(publish, sequence, "jumped further than any loss");
		return;
	}
	if (sequence - from > u64_max(USUAL_LOSS, source->jump_to - source->jump_from)) {
		source->jump_from = from;
		source->jump_to = sequence;
	}
	publish->fanout->metrics->source_missed += sequence - from;
	tell(publish, PACKET_GAP, 0, sequence);
	number_set(publish, publish->sequence.session, sequence);
}

/* There is nothing before `sequence`, however far that is. */
static void pass_hole(struct publish *publish, uint64_t sequence)
{
	uint64_t from = publish->sequence.next_seq;

	if (sequence <= from)
		return;
	publish->fanout->metrics->source_holes += sequence - from;
	tell(publish, PACKET_GAP, PACKET_FLAG_HOLE, sequence);
	number_set(publish, publish->sequence.session, sequence);
}

void number_miss(struct publish *publish, uint64_t count)
{
	skip_to(publish, publish->sequence.next_seq + count);
}

/* Where a packet is in the sequence: in a gap, behind it. */
static uint64_t position_of(const struct packet *packet)
{
	return packet->type == PACKET_GAP ? packet_next_seq(packet) : packet->first_seq;
}

/* A new publisher begins where none can that has published this sequence. */
static const char *contradiction(const struct publish *publish, uint64_t sequence)
{
	const struct source_sequence *source = &publish->source;

	if (sequence >= source->jump_from && sequence < source->jump_to)
		return "has what the one before said was missing";
	if (sequence < publish->sequence.next_seq &&
	    publish->sequence.next_seq - sequence > REPEATED_MAX)
		return "is further behind than any repeat";
	return NULL;
}

/* A session that is new begins anew, for subscribers too.  The packet gets the feed's. */
static void follow_session(struct publish *publish, struct packet *packet)
{
	struct source_sequence *source = &publish->source;
	bool is_new = source->is_new;
	const char *why;

	source->is_new = false;
	if (!source->is_followed || packet->session != source->session) {
		if (packet->session != publish->sequence.session || !source->is_followed) {
			end_session(publish);
			number_set(publish, packet->session, packet->first_seq);
		}
		source->is_followed = true;
		source->session = packet->session;
	} else if (is_new && (why = contradiction(publish, position_of(packet)))) {
		begin_anew(publish, position_of(packet), why);
	}
	packet->session = publish->sequence.session;
}

/* News without messages: told on, or they only say where the sequence stands. */
static void follow_news(struct publish *publish, const struct packet *packet)
{
	switch (packet->type) {
	case PACKET_GAP:
		/* What is missing before the hole is missed, or was not sent at all. */
		if (packet->flags & PACKET_FLAG_HOLE) {
			skip_to(publish, packet->first_seq);
			pass_hole(publish, packet_next_seq(packet));
		} else {
			skip_to(publish, packet_next_seq(packet));
		}
		break;
	case PACKET_HEARTBEAT:
		skip_to(publish, packet->first_seq);
		break;
	case PACKET_SOURCE_DOWN:
	case PACKET_SOURCE_UP:
		skip_to(publish, packet->first_seq);
		tell(publish, packet->type, 0, packet->time_ns);
		break;
	case PACKET_DATA:
	case PACKET_END: /* shows in the next session, or in ours */
		break;
	}
}

static void note_repeat(struct publish *publish, const struct packet *packet)
{
	uint64_t suppressed;

	publish->fanout->metrics->source_repeated += packet->count;
	if (log_allow(&publish->source.repeats_log, clock_mono_ns(), &suppressed))
		log_warn("messages repeated feed=%s from=%llu count=%u expected=%llu: dropped "
			 "suppressed=%llu",
			 publish->fanout->name, (unsigned long long)packet->first_seq,
			 packet->count, (unsigned long long)publish->sequence.next_seq,
			 (unsigned long long)suppressed);
}

/* ---- the source ---- */

void number_begin_source(struct publish *publish)
{
	publish->source.is_new = true;
}

void number_resume(struct publish *publish, bool is_followed)
{
	publish->source.is_followed = is_followed;
	publish->source.session = publish->sequence.session;
}

void number_tick(struct publish *publish, uint64_t now_ns)
{
	uint64_t suppressed;

	if (log_sum_is_due(&publish->source.repeats_log, now_ns, &suppressed))
		log_warn("messages repeated feed=%s, more of them suppressed=%llu",
			 publish->fanout->name, (unsigned long long)suppressed);
	if (log_sum_is_due(&publish->source.restarts_log, now_ns, &suppressed))
		log_warn("sequence begins anew feed=%s, more of them suppressed=%llu",
			 publish->fanout->name, (unsigned long long)suppressed);
}

bool number_is_followed(const struct publish *publish)
{
	return publish->source.is_followed && publish->source.session == publish->sequence.session;
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
		note_repeat(publish, packet);
		return false;
	}
	skip_to(publish, packet->first_seq);
	publish_packet(publish, packet, payload);
	return true;
}
