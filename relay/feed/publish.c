// SPDX-License-Identifier: MIT
/*
 * Publishing.  Each rendition gets the packet as a chain of pipes (header gifted or written,
 * payload teed) or, where pipes run short or a call is refused, as a copy in blocks.
 *
 * tee never consumes its source, so whatever fails half-way for one rendition can still be read and
 * copied.
 */
#include "feed/publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"
#include "feed/chain.h"
#include "feed/feed_kept.h"
#include "pipe/pipe_io.h"
#include "ring/cursor.h"

/* What a new rendition takes of the past of another one.  The worker does nothing else meanwhile,
 * so it is as much as can be done in some milliseconds; to rewrite takes longer than to copy, and
 * to compress even longer. */
static const struct cursor_reach past_shared = {
	.bytes = 8 << 20, .messages = UINT64_MAX, .packets = 8192};
static const struct cursor_reach past_rewritten = {
	.bytes = 1 << 19, .messages = 8192, .packets = 8192};
static const struct cursor_reach past_compressed = {
	.bytes = 1 << 18, .messages = 1024, .packets = 1024};

static const struct cursor_reach *past_of(const struct encoder *encoder)
{
	if (encoder->alone)
		return &past_compressed;
	return encoder_sees_payload(encoder) ? &past_rewritten : &past_shared;
}

static struct ring_packet entry_of(const struct packet *packet)
{
	return (struct ring_packet){
		.first_seq = packet->first_seq,
		.next_seq = packet_next_seq(packet),
		.count = packet->count,
		.arrived_ns = packet->arrived_ns,
		.media_start = packet->media_start,
	};
}

/* What the format puts around the payload of a packet. */
struct frame {
	size_t header_bytes;
	size_t trailer_bytes;
	uint8_t header[ENCODER_HEADER_MAX];
	uint8_t trailer[ENCODER_TRAILER_MAX];
};

static void make_frame(const struct encoder *encoder, const struct packet *packet,
		       struct frame *ret)
{
	ret->header_bytes = encoder->header(encoder, packet, ret->header);
	ret->trailer_bytes = 0;
	if (encoder->trailer && packet->type == PACKET_DATA)
		ret->trailer_bytes = encoder->trailer(encoder, packet, ret->trailer);
}

static bool put_header(struct publish *publish, struct chain *chain, const struct frame *frame)
{
	return !frame->header_bytes ||
	       chain_put_header(publish->fanout->pipes, chain, frame->header, frame->header_bytes);
}

static bool put_trailer(struct publish *publish, struct chain *chain, const struct frame *frame)
{
	return !frame->trailer_bytes || chain_put_trailer(publish->fanout->pipes, chain,
							  frame->trailer, frame->trailer_bytes);
}

static bool chain_append(struct publish *publish, struct rendition *rendition, struct chain *chain,
			 const struct packet *packet, enum engine engine)
{
	struct ring_packet entry = entry_of(packet);

	return ring_append_pipes(&rendition->ring, chain->pipes, chain->count,
				 &publish->fanout->pipes->pool, &entry, engine) == 0;
}

/* Without memory a packet is lost for a format, and nobody may take it for delivered. */
static void lose_packet(struct rendition *rendition, const struct packet *packet)
{
	uint64_t suppressed;

	if (log_allow(&rendition->losses_log, clock_mono_ns(), &suppressed))
		log_error("out of memory feed=%s format=%s lost_messages=%u suppressed=%llu",
			  rendition->fanout->name, encoder_name(rendition->encoder), packet->count,
			  (unsigned long long)suppressed);
	fanout_lose(rendition);
	ring_set_sequence(&rendition->ring, packet->session, packet_next_seq(packet));
}

static void append_pieces(struct rendition *rendition, const struct packet *packet,
			  const struct iovec *pieces, size_t count)
{
	struct ring_packet entry = entry_of(packet);

	if (ring_append_copy(&rendition->ring, pieces, count, &entry, ENGINE_COPY) < 0)
		lose_packet(rendition, packet);
}

static void append_copy(struct rendition *rendition, const struct packet *packet,
			struct frame *frame, const uint8_t *bytes)
{
	const struct iovec pieces[] = {
		{frame->header, frame->header_bytes},
		{(void *)(uintptr_t)bytes, packet->length},
		{frame->trailer, frame->trailer_bytes},
	};

	append_pieces(rendition, packet, pieces, ARRAY_LEN(pieces));
}

/* Gives it in pieces, each up to a block at most: a packet of the ring begins behind each block. */
static void append_intervals(const struct publish *publish, struct rendition *rendition,
			     const struct packet *packet, const uint8_t *bytes)
{
	const struct encoder *encoder = rendition->encoder;
	uint8_t block[ENCODER_BLOCK_MAX];
	uint64_t left = packet->length;

	encoder->write_block(publish->title, block);
	while (left > 0) {
		size_t rest = encoder_interval_rest(encoder, rendition->ring.end_pos);
		size_t piece = size_min(rest, left);
		const struct iovec parts[] = {
			{(void *)(uintptr_t)bytes, piece},
			{block, piece == rest ? encoder->block_bytes : 0},
		};
		struct ring_packet entry = entry_of(packet);

		bytes += piece;
		left -= piece;
		if (left > 0) {
			entry.count = 0;
			entry.next_seq = packet->first_seq;
		}
		if (ring_append_copy(&rendition->ring, parts, ARRAY_LEN(parts), &entry,
				     ENGINE_COPY) < 0) {
			lose_packet(rendition, packet);
			return;
		}
	}
}

/* Gives the rendition the packet in words of its own.  False: it is header, payload and trailer. */
static bool rewrite(const struct publish *publish, struct rendition *rendition,
		    const struct packet *packet, const uint8_t *bytes)
{
	const struct encoder *encoder = rendition->encoder;
	const struct framing_params framing =
		packet->feed ? *packet->feed->framing : framing_published(publish->framing);
	struct iovec whole;

	if (!encoder_sees_payload(encoder) || packet->length == 0)
		return false;
	if (encoder->interval_bytes) {
		append_intervals(publish, rendition, packet, bytes);
		return true;
	}
	whole.iov_base = encoder->rewrite(encoder, packet, &framing, bytes, &whole.iov_len);
	if (!whole.iov_base && whole.iov_len == ENCODER_AS_IT_IS)
		return false;
	if (encoder->alone) {
		publish->fanout->metrics->compressed_bytes += packet->length;
		publish->fanout->metrics->compressed_to_bytes += whole.iov_len;
	}
	if (whole.iov_base)
		append_pieces(rendition, packet, &whole, 1);
	else
		lose_packet(rendition, packet);
	free(whole.iov_base);
	return true;
}

/* True when it had to be copied only because pipes would not do. */
static bool copy_to_rendition(const struct publish *publish, struct rendition *rendition,
			      const struct packet *packet, const uint8_t *bytes)
{
	struct frame frame;

	if (rewrite(publish, rendition, packet, bytes))
		return false;
	make_frame(rendition->encoder, packet, &frame);
	append_copy(rendition, packet, &frame, bytes);
	return true;
}

static void copy_to_renditions(struct publish *publish, const struct packet *packet,
			       const uint8_t *bytes)
{
	struct list_node *node;

	list_for_each (&publish->fanout->renditions, node)
		(void)copy_to_rendition(publish, rendition_of(node), packet, bytes);
}

static size_t bytes_in(const struct payload *payload, size_t number)
{
	return number + 1 == payload->count ? payload->last_bytes
					    : payload->pipes[number].held_bytes;
}

/* Reads the payload out of its pipes.  NULL: no memory, or a pipe failed. */
static uint8_t *read_payload(struct payload *payload, size_t length)
{
	uint8_t *bytes = malloc(length);
	size_t filled = 0;

	for (size_t i = 0; bytes && i < payload->count; i++) {
		size_t here = bytes_in(payload, i);

		if (!pipe_read_whole(&payload->pipes[i], bytes + filled, here)) {
			free(bytes);
			return NULL;
		}
		filled += here;
	}
	return bytes;
}

/* The same as read_payload(), but the payload stays where it is. */
static uint8_t *look_at_payload(struct publish *publish, struct payload *payload, size_t length)
{
	uint8_t *bytes = malloc(length);
	size_t filled = 0;

	for (size_t i = 0; bytes && i < payload->count; i++) {
		size_t here = bytes_in(payload, i);

		if (!pipe_set_peek(publish->fanout->pipes, &payload->pipes[i], bytes + filled,
				   here)) {
			free(bytes);
			return NULL;
		}
		filled += here;
	}
	return bytes;
}

/* What no rendition has taken over: throws the payload away, keeps the rest of the last pipe. */
static void drop_payload(struct publish *publish, struct payload *payload)
{
	for (size_t i = 0; i < payload->count; i++) {
		struct pipe *pipe = &payload->pipes[i];
		size_t left = size_min(payload->last_bytes, pipe->held_bytes);
		size_t thrown = 0;
		int err = 0;

		if (!pipe_is_open(pipe))
			continue;
		if (i + 1 < payload->count)
			pipe_pool_put_drained(&publish->fanout->pipes->pool, pipe);
		else if (left && pipe_discard(pipe, publish->fanout->pipes->pool.null_fd, left,
					      &thrown, &err) != PIPE_IO_OK)
			pipe_pool_put_drained(&publish->fanout->pipes->pool,
					      pipe); /* never the same bytes twice */
	}
}

/* The pipes hold nothing but the packet, so a format without header can have them as they are. */
static bool hand_over(struct publish *publish, struct rendition *rendition,
		      const struct packet *packet, struct payload *payload)
{
	struct ring_packet entry = entry_of(packet);

	return payload->pipes[payload->count - 1].held_bytes == payload->last_bytes &&
	       ring_append_pipes(&rendition->ring, payload->pipes, payload->count,
				 &publish->fanout->pipes->pool, &entry, payload->engine) == 0;
}

/* True when the rendition has the packet in pipes. */
static bool put_chain(struct publish *publish, struct rendition *rendition,
		      const struct packet *packet, struct payload *payload, bool is_last)
{
	struct chain chain = {.count = 0};
	struct frame frame;

	make_frame(rendition->encoder, packet, &frame);
	if (is_last && !frame.header_bytes && !frame.trailer_bytes &&
	    hand_over(publish, rendition, packet, payload))
		return true;
	if (put_header(publish, &chain, &frame) &&
	    chain_tee_payload(publish->fanout->pipes, &chain, payload) &&
	    put_trailer(publish, &chain, &frame) &&
	    chain_append(publish, rendition, &chain, packet, payload->engine))
		return true;
	chain_drop(publish->fanout->pipes, &chain);
	return false;
}

/* The renditions from `node` on get copies of `bytes`; NULL: there are none. */
static void copy_from(struct publish *publish, const struct packet *packet, const uint8_t *bytes,
		      struct list_node *node)
{
	for (; node; node = list_next(&publish->fanout->renditions, node)) {
		if (!bytes)
			lose_packet(rendition_of(node), packet);
		if (!bytes || copy_to_rendition(publish, rendition_of(node), packet, bytes))
			publish->fanout->metrics->engine_fallbacks++;
	}
}

static bool is_rewritten(const struct publish *publish)
{
	struct list_node *node;

	list_for_each (&publish->fanout->renditions, node) {
		if (encoder_sees_payload(rendition_of(node)->encoder))
			return true;
	}
	return false;
}

/* Gives the renditions the packet in pipes, or in their own words.  Returns the first that could
 * not have it so, NULL: all have it.  `seen`: the payload, if any format has to see it. */
static struct list_node *tee_to_renditions(struct publish *publish, const struct packet *packet,
					   struct payload *payload, const uint8_t *seen)
{
	struct list_node *node = list_first(&publish->fanout->renditions);

	while (node) {
		struct rendition *rendition = rendition_of(node);
		struct list_node *next = list_next(&publish->fanout->renditions, node);

		if (encoder_sees_payload(rendition->encoder) && !seen)
			break;
		if (!(seen && rewrite(publish, rendition, packet, seen)) &&
		    !put_chain(publish, rendition, packet, payload, !next))
			break;
		node = next;
	}
	return node;
}

/* The payload is taken out of its pipes, or the pipes are given away. */
static void put_pipes(struct publish *publish, const struct packet *packet, struct payload *payload)
{
	struct list_node *node = list_first(&publish->fanout->renditions);
	const uint8_t *bytes = payload->bytes;
	bool has_crossed, is_read = false;
	uint8_t *own = NULL;

	has_crossed = publish->fanout->pipes->has_pipes &&
		      crossings_send(&publish->crossings, packet, payload);
	if (has_crossed) {
		if (!bytes && is_rewritten(publish))
			bytes = own = look_at_payload(publish, payload, packet->length);
		node = tee_to_renditions(publish, packet, payload, bytes);
	}
	/* Whoever has not got it as pipes gets a copy, read once. */
	if (!bytes && (!has_crossed || node)) {
		bytes = own = read_payload(payload, packet->length);
		is_read = own;
	}
	if (!has_crossed && bytes)
		crossings_send_copy(&publish->crossings, packet, bytes);
	else if (!has_crossed)
		crossings_lose(&publish->crossings);
	copy_from(publish, packet, bytes, node);
	if (!is_read)
		drop_payload(publish, payload);
	free(own);
}

static void put_news(struct publish *publish, const struct packet *packet)
{
	struct list_node *node;

	crossings_send_copy(&publish->crossings, packet, NULL);
	list_for_each (&publish->fanout->renditions, node) {
		struct rendition *rendition = rendition_of(node);
		struct frame frame;

		make_frame(rendition->encoder, packet, &frame);
		if (frame.header_bytes)
			append_copy(rendition, packet, &frame, NULL);
	}
}

static void put_payload(struct publish *publish, const struct packet *packet,
			struct payload *payload)
{
	if (payload->kind == PAYLOAD_PIPES) {
		put_pipes(publish, packet, payload);
		return;
	}
	(void)crossings_send(&publish->crossings, packet, payload);
	copy_to_renditions(publish, packet, payload->bytes);
}

static void count(struct publish *publish, const struct packet *packet,
		  const struct payload *payload)
{
	struct metrics *metrics = publish->fanout->metrics;

	if (publish->is_counted)
		return;
	metrics->in_packets++;
	metrics->in_messages += packet->count;
	metrics->in_bytes += packet->length;
	metrics->packets_splice += payload->engine == ENGINE_SPLICE;
	metrics->packets_compact += payload->engine == ENGINE_COMPACT;
	metrics->packets_copy += payload->engine == ENGINE_COPY;
}

/* Wakes whoever waited for it, after the rings have been cut to size. */
static void wake(struct publish *publish)
{
	struct list_node *node;

	list_for_each (&publish->fanout->renditions, node)
		rendition_note_appended(rendition_of(node));
}

void publish_packet(struct publish *publish, const struct packet *numbered, struct payload *payload)
{
	struct packet packet = *numbered;

	/* Whoever asks for a time gets the same messages in each format and from each worker. */
	if (!packet.arrived_ns)
		packet.arrived_ns = clock_mono_ns();
	publish->sequence.session = packet.session;
	publish->sequence.next_seq = packet_next_seq(&packet);
	feed_record_note_packet(publish->fanout, &packet);
	if (payload) {
		publish->crossings.engine = payload->engine;
		put_payload(publish, &packet, payload);
		count(publish, &packet, payload);
	} else {
		put_news(publish, &packet);
	}
	publish->last_ms = packet.arrived_ns / NS_PER_MS;
	wake(publish);
}

static void note(struct publish *publish)
{
	feed_record_note(publish->fanout, &publish->sequence, publish->is_awake);
}

void publish_set_source(struct publish *publish, bool is_up)
{
	if (publish->sequence.is_source_up == is_up)
		return;
	publish->sequence.is_source_up = is_up;
	note(publish);
}

void publish_set_title(struct publish *publish, const char *title)
{
	(void)snprintf(publish->title, sizeof(publish->title), "%s", title);
}

void publish_set_awake(struct publish *publish, bool is_awake)
{
	publish->is_awake = is_awake;
	note(publish);
}

void publish_resume(struct publish *publish, const struct sequence *sequence)
{
	publish->sequence = *sequence;
	note(publish);
}

void publish_tick(const struct publish *publish, uint64_t now_ns)
{
	struct list_node *node;
	uint64_t suppressed;

	list_for_each (&publish->fanout->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		if (log_sum_is_due(&rendition->losses_log, now_ns, &suppressed))
			log_error("out of memory feed=%s format=%s, more of them suppressed=%llu",
				  publish->fanout->name, encoder_name(rendition->encoder),
				  (unsigned long long)suppressed);
	}
}

void publish_missing(struct rendition *rendition, uint32_t session, uint64_t next_seq)
{
	const struct packet gap = {
		.type = PACKET_GAP,
		.session = session,
		.first_seq = rendition->ring.next_seq,
		.time_ns = next_seq,
		.arrived_ns = clock_mono_ns(),
	};
	struct frame frame;

	make_frame(rendition->encoder, &gap, &frame);
	if (frame.header_bytes)
		append_copy(rendition, &gap, &frame, NULL);
	ring_set_sequence(&rendition->ring, session, next_seq);
	rendition_note_appended(rendition);
}

/* ---- the past of a new rendition ---- */

/* Of all that can be read back, the one that reaches furthest.  NULL: there is no past.  What
 * another relay says of its packets (time, parts of messages, none at all) only a header keeps. */
static struct rendition *find_past(const struct publish *publish)
{
	bool is_relay = publish->framing->kind == FRAMING_RELAY;
	uint64_t oldest = publish->sequence.next_seq;
	struct rendition *found = NULL;
	struct list_node *node;

	list_for_each (&publish->fanout->renditions, node) {
		struct rendition *rendition = rendition_of(node);
		const struct encoder *encoder = rendition->encoder;

		if (!encoder->read || (is_relay && encoder != &encoder_framed) ||
		    cursor_oldest_seq(&rendition->ring) >= oldest)
			continue;
		oldest = cursor_oldest_seq(&rendition->ring);
		found = rendition;
	}
	return found;
}

static void put_past(const struct publish *publish, struct rendition *to, struct packet *packet,
		     const uint8_t *payload)
{
	struct frame frame;

	if (to->ring.segment_count && packet->first_seq > to->ring.next_seq)
		publish_missing(to, packet->session, packet->first_seq);
	if (packet->type == PACKET_DATA) {
		(void)copy_to_rendition(publish, to, packet, payload);
		return;
	}
	make_frame(to->encoder, packet, &frame);
	if (frame.header_bytes)
		append_copy(to, packet, &frame, NULL);
}

static int take_packets(const struct publish *publish, struct rendition *to, struct rendition *from,
			struct cursor *cursor)
{
	uint64_t mono_ns = clock_mono_ns(), wall_ns = clock_wall_ns();
	struct ring_packet entry;
	uint8_t *wire;
	size_t bytes;
	int r;

	while ((r = cursor_read_packet(cursor, &from->ring, publish->fanout->pipes, &entry, &wire,
				       &bytes)) > 0) {
		struct packet packet = {
			.type = PACKET_DATA,
			.count = (uint16_t)entry.count,
			.session = publish->sequence.session,
			.first_seq = entry.first_seq,
			.time_ns = wall_ns - (mono_ns - entry.arrived_ns),
			.arrived_ns = entry.arrived_ns,
			.media_start = entry.media_start,
		};
		const uint8_t *payload = from->encoder->read(wire, bytes, &packet);

		if (packet.type != PACKET_HEARTBEAT && packet.type != PACKET_END)
			put_past(publish, to, &packet, payload);
		free(wire);
		rendition_trim(to);
	}
	return r;
}

void publish_take_past(const struct publish *publish, struct rendition *to)
{
	struct rendition *from = publish->is_awake ? find_past(publish) : NULL;
	struct cursor cursor;
	int r;

	if (!from)
		return;
	cursor_join_recent(&cursor, &from->ring, past_of(to->encoder));
	r = take_packets(publish, to, from, &cursor);
	if (r < 0) {
		log_error("it begins without a past feed=%s format=%s: %s", to->fanout->name,
			  encoder_name(to->encoder), strerror(-r));
		ring_clear(&to->ring);
	}
	cursor_leave(&cursor);
	ring_set_sequence(&to->ring, publish->sequence.session, publish->sequence.next_seq);
}
