// SPDX-License-Identifier: MIT
/* What the thread gets of the feed: which packets it asks for, and which messages of them are
 * the next ones. */
#include "nats/forwarder_parts.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	WAIT_MS = 100,    /* for a packet, before others are looked at */
	ACK_LOOK_MS = 10, /* the same, while the stream has still to acknowledge something */
	REJOIN_MS = 200,  /* between two streams of the feed */
};

static uint64_t now_ms(void)
{
	return clock_mono_ns() / NS_PER_MS;
}

/* But for what the stream has of them. */
static void note_missed(struct forwarder *forwarder, uint64_t from, uint64_t to)
{
	uint32_t session = forwarder->position.session;
	uint64_t missed = to - from - stream_tail_count(&forwarder->tail, session, from, to);
	uint64_t suppressed;

	forwarder->counts.missed += missed;
	if (missed && log_allow(&forwarder->missed_log, clock_mono_ns(), &suppressed))
		log_warn("forward misses messages feed=%s session=%u from=%llu to=%llu: the ring "
			 "or the publisher no longer had them suppressed=%llu",
			 forwarder->feed_name, session, (unsigned long long)from,
			 (unsigned long long)to, (unsigned long long)suppressed);
}

/* ---- a stream of the feed ---- */

bool forwarder_wait(struct forwarder *forwarder, uint64_t until_ns)
{
	const struct timespec until = {
		.tv_sec = (time_t)(until_ns / NS_PER_S),
		.tv_nsec = (long)(until_ns % NS_PER_S),
	};

	return pthread_cond_timedwait(&forwarder->changed, &forwarder->lock, &until) == 0;
}

/* With the lock. */
static void ask(struct forwarder *forwarder)
{
	forwarder->from = forwarder->position;
	forwarder->is_asking = true;
	atomic_fetch_add(&forwarder->owners, 1);
	inbox_post(forwarder->inbox, &forwarder->join);
}

/* With the lock.  The answer may take as long as the disk of the history does. */
static void await_answer(struct forwarder *forwarder)
{
	uint64_t until_ns = clock_mono_ns() + ACK_LOOK_MS * NS_PER_MS;

	while (!forwarder->is_answered && forwarder_wait(forwarder, until_ns))
		;
}

int forwarder_ask_for_stream(struct forwarder *forwarder)
{
	int stream = -1;

	(void)pthread_mutex_lock(&forwarder->lock);
	if (!forwarder->is_answered && !forwarder->is_asking &&
	    !atomic_load(&forwarder->is_stopped))
		ask(forwarder);
	await_answer(forwarder);
	if (forwarder->is_answered) {
		stream = forwarder->stream;
		forwarder->stream = -1;
		forwarder->is_answered = forwarder->is_asking = false;
		forwarder->joined_ms = now_ms();
	}
	(void)pthread_mutex_unlock(&forwarder->lock);
	return stream;
}

static void leave_stream(struct forwarder *forwarder)
{
	packet_input_reset(&forwarder->input, -1);
	forwarder->hand.count = 0;
}

/* The first packet that comes says what the ring has.  Is something before that wanted?  Then it
 * is asked for. */
static bool must_begin_before(const struct forwarder *forwarder, uint32_t session,
			      uint64_t sequence)
{
	const struct stream_tail *tail = &forwarder->tail;

	if (!tail->session)
		return false;
	if (tail->session == session)
		return tail->floor + 1 < sequence;
	return forwarder->has_history;
}

void forwarder_raise_to_floor(struct forwarder *forwarder)
{
	const struct stream_tail *tail = &forwarder->tail;
	struct forward_id *position = &forwarder->position;

	if (tail->session && tail->session == position->session &&
	    tail->floor >= position->sequence)
		position->sequence = tail->floor + 1;
}

/* The next message is this one.  False: the stream of the feed is to begin elsewhere. */
static bool move_to(struct forwarder *forwarder, const struct packet_header *header,
		    uint64_t sequence)
{
	struct forward_id *position = &forwarder->position;

	if (!position->session && must_begin_before(forwarder, header->session, sequence)) {
		*position = (struct forward_id){forwarder->tail.session, forwarder->tail.floor + 1};
		return false;
	}
	if (position->session != header->session) {
		if (position->session)
			log_info("forward goes on in another session feed=%s session=%u "
				 "sequence=%llu before=%u",
				 forwarder->feed_name, header->session,
				 (unsigned long long)sequence, position->session);
		*position = (struct forward_id){header->session, sequence};
	} else if (sequence > position->sequence) {
		if (!(header->flags & PACKET_FLAG_HOLE))
			note_missed(forwarder, position->sequence, sequence);
		position->sequence = sequence;
	}
	forwarder_raise_to_floor(forwarder);
	return true;
}

/* False: as move_to(). */
static bool take_packet(struct forwarder *forwarder, const struct packet_header *header,
			const uint8_t *payload)
{
	bool is_gap = header->type == PACKET_GAP;

	if (header->type == PACKET_END)
		return true;
	/* Of a gap from 0 on nobody knows where it begins. */
	if (!(is_gap && !header->sequence) && !move_to(forwarder, header, header->sequence))
		return false;
	if (is_gap)
		return move_to(forwarder, header, header->time);
	if (header->type == PACKET_DATA)
		forwarder->hand = (struct packet_in_hand){
			.bytes = payload,
			.count = header->length,
			.sequence = header->sequence,
			.next_seq = packet_header_next_seq(header),
		};
	return true;
}

/* The next stream, if it is time for it.  Waits for a moment. */
static void take_stream(struct forwarder *forwarder)
{
	if (forwarder->is_asking || now_ms() - forwarder->joined_ms >= REJOIN_MS)
		packet_input_reset(&forwarder->input, forwarder_ask_for_stream(forwarder));
	else
		(void)poll(NULL, 0, ACK_LOOK_MS);
}

int forwarder_take_packet(struct forwarder *forwarder)
{
	bool is_idle = unacked_is_empty(&forwarder->unacked);
	struct pollfd poll_fd = {.fd = forwarder->input.fd, .events = POLLIN};
	struct packet_header header;
	const uint8_t *payload;

	if (forwarder->input.fd < 0)
		take_stream(forwarder);
	if (forwarder->input.fd < 0)
		return 0;
	switch (packet_input_next(&forwarder->input, &header, &payload)) {
	case PACKET_ARRIVAL_PACKET:
		if (!take_packet(forwarder, &header, payload)) {
			leave_stream(forwarder);
			forwarder->joined_ms = 0; /* at once */
		}
		return 0;
	case PACKET_ARRIVAL_NONE:
		(void)poll(&poll_fd, 1, is_idle ? WAIT_MS : ACK_LOOK_MS);
		return 0;
	case PACKET_ARRIVAL_END:
		leave_stream(forwarder);
		return 0;
	case PACKET_ARRIVAL_NO_MEMORY:
		break;
	}
	return -ENOMEM;
}
