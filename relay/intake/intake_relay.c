// SPDX-License-Identifier: MIT
/*
 * Intake with framing = relay: packets of another relay.  Their headers are read one by one, their
 * payloads go the way the engine says, and session, sequence and time are kept, so that a tree of
 * relays looks like one.  A break in the sequence is announced as a gap; what has been seen before
 * is dropped.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "feed/crossing.h"
#include "feed/feed.h"
#include "feed/publish.h"
#include "intake/intake.h"

static void publish_news_of(struct feed *feed, enum packet_type type, uint64_t sequence,
			    uint64_t time)
{
	const struct packet packet = {
		.type = type,
		.session = feed->session,
		.first_seq = sequence,
		.time_ns = time,
		.starts_message = true,
	};

	publish_news(feed, &packet);
}

/* The source goes on at `sequence`: what lies between is missing. */
static void announce_break(struct feed *feed, uint64_t sequence)
{
	if (sequence <= feed->next_seq)
		return;
	feed->metrics.source_missed += sequence - feed->next_seq;
	publish_news_of(feed, PACKET_GAP, feed->next_seq, sequence);
	feed_set_sequence(feed, feed->session, sequence);
}

/* A session that is new to us starts the sequence anew, for our subscribers too. */
static void follow_session(struct feed *feed, const struct packet_header *header)
{
	struct intake_relay *relay = &feed->intake.relay;

	if (relay->has_session && header->session == feed->session)
		return;
	if (feed->metrics.subscribers)
		publish_news_of(feed, PACKET_END, feed->next_seq, clock_wall_ns());
	relay->has_session = true;
	feed_set_sequence(feed, header->session, header->sequence);
}

/* Everything but data has no payload: it is told on, or it says where the sequence stands. */
static void take_news(struct feed *feed, const struct packet_header *header)
{
	follow_session(feed, header);
	switch (header->type) {
	case PACKET_GAP:
		announce_break(feed, header->time);
		break;
	case PACKET_HEARTBEAT:
		announce_break(feed, header->sequence);
		break;
	case PACKET_SOURCE_DOWN:
	case PACKET_SOURCE_UP:
		announce_break(feed, header->sequence);
		publish_news_of(feed, header->type, feed->next_seq, header->time);
		break;
	default: /* the end of the session shows in the next one's number, or in ours */
		break;
	}
}

static struct packet packet_of(struct feed *feed, const struct packet_header *header)
{
	const struct packet packet = {
		.type = PACKET_DATA,
		.flags = header->flags,
		.count = header->count,
		.session = header->session,
		.first_seq = header->sequence,
		.time_ns = header->time,
		.length = header->length,
		.starts_message = !feed->intake.relay.in_message,
	};

	feed->intake.relay.in_message = header->flags & PACKET_FLAG_CONTINUED;
	return packet;
}

static enum intake_result read_head(struct feed *feed, const struct source *source, int *ret_err)
{
	struct intake_relay *relay = &feed->intake.relay;
	ssize_t got;
	int r;

	do
		got = read(source->fd, relay->head + relay->head_bytes,
			   sizeof(relay->head) - relay->head_bytes);
	while (got < 0 && errno == EINTR);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return INTAKE_EMPTY;
	if (got <= 0) {
		*ret_err = got < 0 ? errno : 0;
		return INTAKE_END;
	}
	relay->head_bytes += (size_t)got;
	feed->intake.taken_bytes += (size_t)got;
	if (relay->head_bytes < sizeof(relay->head))
		return INTAKE_EMPTY;
	r = packet_header_decode(relay->head, &relay->header);
	if (r < 0)
		return intake_fault(r == -EPROTO ? FRAMING_BAD_MAGIC : FRAMING_BAD_HEADER, ret_err);
	if (relay->header.length > feed->params.framing.max_message)
		return intake_fault(FRAMING_TOO_LONG, ret_err);
	return INTAKE_TOOK;
}

/* Takes what is there of the payload.  INTAKE_TOOK: it is complete. */
static enum intake_result take_payload(struct feed *feed, const struct source *source, bool unseen,
				       enum engine engine, int *ret_err)
{
	struct intake *intake = &feed->intake;
	size_t length = intake->relay.header.length;
	enum intake_result result;
	size_t have, got;
	bool is_full;

	while ((have = intake_pipe_bytes(intake) + intake_memory_bytes(intake)) < length) {
		if (!unseen) {
			result = intake_read(feed, source, engine, length - have, &got, ret_err);
		} else {
			result =
				intake_splice(feed, source, length - have, &got, &is_full, ret_err);
			if (is_full && !intake_add_pipe(feed)) {
				feed->metrics.engine_fallbacks++;
				unseen = false;
				if (intake_rest_to_memory(feed) < 0) {
					*ret_err = ENOMEM;
					return INTAKE_END;
				}
				continue;
			}
			if (is_full)
				continue;
		}
		if (result != INTAKE_TOOK)
			return result;
	}
	return INTAKE_TOOK;
}

/* The payload is complete: publishes it, unless it has been seen before. */
static void publish_payload(struct feed *feed, enum engine engine)
{
	struct intake *intake = &feed->intake;
	const struct packet_header header = intake->relay.header;
	bool in_pipes = intake->pipe_count && intake_pipe_bytes(intake) > 0;
	struct packet packet;

	intake->relay.head_bytes = 0;
	crossing_answer(feed); /* as in intake_next_packet() */
	follow_session(feed, &header);
	if (header.sequence < feed->next_seq) {
		feed->metrics.source_repeated += header.count;
		(void)intake_reset(feed);
		return;
	}
	announce_break(feed, header.sequence);
	packet = packet_of(feed, &header);
	feed->next_seq = header.sequence + header.count;
	if (in_pipes)
		intake_publish_pipes(feed, &packet);
	else
		intake_publish_memory(feed, &packet, engine);
}

enum intake_result intake_take_relay(struct feed *feed, const struct source *source, int *ret_err)
{
	struct intake *intake = &feed->intake;
	struct intake_relay *relay = &intake->relay;
	enum intake_result result;
	enum engine engine;
	bool unseen;

	if (relay->head_bytes < sizeof(relay->head)) {
		result = read_head(feed, source, ret_err);
		if (result != INTAKE_TOOK)
			return result;
	}
	if (relay->header.type != PACKET_DATA) {
		relay->head_bytes = 0;
		take_news(feed, &relay->header);
		return INTAKE_TOOK;
	}
	engine = intake_choose(feed, engine_class(relay->header.length));
	unseen = intake_memory_bytes(intake) == 0 &&
		 (engine == ENGINE_SPLICE || intake_pipe_bytes(intake) > 0);
	if (engine == ENGINE_SPLICE && !unseen)
		engine = ENGINE_COPY;
	result = take_payload(feed, source, unseen, engine == ENGINE_SPLICE ? ENGINE_COPY : engine,
			      ret_err);
	if (result == INTAKE_TOOK)
		publish_payload(feed, engine == ENGINE_SPLICE ? ENGINE_COPY : engine);
	return result;
}
