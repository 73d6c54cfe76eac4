// SPDX-License-Identifier: MIT
/*
 * Publishing.  Each rendition gets the packet as a chain of pipes (header gifted or written,
 * payload teed or gifted) or, where pipes run short or a call is refused, as a copy in blocks.
 *
 * tee never consumes its source, so whatever fails half-way for one rendition can still be read and
 * copied.
 */
#include "feed/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "feed/feed.h"
#include "pipe/pipe_io.h"

enum {
	CHAIN_MAX = 2 * INTAKE_PIPES_MAX + 2
};

/* Pipes being filled for one rendition. */
struct chain {
	struct pipe pipes[CHAIN_MAX];
	size_t count;
};

static struct ring_packet place_of(const struct packet *packet)
{
	bool is_gap = packet->type == PACKET_GAP; /* its time field holds a sequence */

	return (struct ring_packet){
		.first_seq = packet->first_seq,
		.next_seq = is_gap ? packet->time_ns : packet->first_seq + packet->count,
		.count = packet->count,
		.time_ns = is_gap ? clock_wall_ns() : packet->time_ns,
		.starts_message = packet->starts_message,
	};
}

static struct pipe *chain_add(struct feed *feed, struct chain *chain)
{
	if (chain->count == CHAIN_MAX ||
	    pipe_pool_get(&feed->pool, &chain->pipes[chain->count]) < 0)
		return NULL;
	return &chain->pipes[chain->count++];
}

static void chain_drop(struct feed *feed, struct chain *chain)
{
	while (chain->count)
		pipe_pool_put_drained(&feed->pool, &chain->pipes[--chain->count]);
}

/* Bytes that never change again, into a pipe: by vmsplice, or by write where that is refused or not
 * wanted.  *ret_bytes may be fewer than asked when the slots run out. */
static bool put_bytes(struct feed *feed, struct pipe *to, const uint8_t *bytes, size_t length,
		      bool gift, size_t *ret_bytes)
{
	int err = 0;

	if (gift && !feed->refused[REFUSAL_VMSPLICE]) {
		enum pipe_io result = pipe_gift(to, bytes, length, ret_bytes, &err);

		if (result == PIPE_IO_OK)
			feed->metrics.gifted_bytes += *ret_bytes;
		if (result != PIPE_IO_REFUSED)
			return result == PIPE_IO_OK;
		feed_note_refusal(feed, REFUSAL_VMSPLICE);
	}
	if (pipe_write(to, bytes, length, ret_bytes, &err) != PIPE_IO_OK)
		return false;
	feed->metrics.written_bytes += *ret_bytes;
	return true;
}

static bool chain_put_header(struct feed *feed, struct chain *chain, const uint8_t *header,
			     size_t length)
{
	struct pipe *to = chain_add(feed, chain);
	const uint8_t *bytes = header;
	size_t put = 0;

	if (!to)
		return false;
	if (feed->params.gift_headers) {
		uint8_t *gift = gift_arena_alloc(&feed->header_arena, length);

		if (!gift)
			return false;
		memcpy(gift, header, length);
		bytes = gift;
	}
	return put_bytes(feed, to, bytes, length, feed->params.gift_headers, &put) && put == length;
}

/* Tees the first `bytes` of `from` into `to` and, when the slots of `to` end before, into one more
 * pipe. */
static bool chain_tee(struct feed *feed, struct chain *chain, struct pipe *to, struct pipe *from,
		      size_t bytes)
{
	size_t first = 0, all = 0, thrown = 0, moved = 0;
	int err = 0;
	enum pipe_io result = pipe_tee(from, to, bytes, &first, &err);

	if (result == PIPE_IO_REFUSED)
		feed_note_refusal(feed, REFUSAL_TEE);
	if (result != PIPE_IO_OK)
		return false;
	if (first == bytes)
		return true;
	/* tee cannot go on from where it stopped: copy all, throw the first part away, move the
	 * rest. */
	to = chain_add(feed, chain);
	return to && pipe_tee(from, &feed->copy_pipe, bytes, &all, &err) == PIPE_IO_OK &&
	       all == bytes &&
	       pipe_discard(&feed->copy_pipe, feed->pool.null_fd, first, &thrown, &err) ==
		       PIPE_IO_OK &&
	       thrown == first &&
	       pipe_move(&feed->copy_pipe, to, bytes - first, &moved, &err) == PIPE_IO_OK &&
	       moved == bytes - first;
}

static bool chain_tee_payload(struct feed *feed, struct chain *chain, struct pipe_payload *payload)
{
	for (size_t i = 0; i < payload->count; i++) {
		bool is_last = i + 1 == payload->count;
		bool behind_header = i == 0 && chain->count == 1;
		struct pipe *to = behind_header ? &chain->pipes[0] : chain_add(feed, chain);
		size_t bytes = is_last ? payload->last_bytes : payload->pipes[i].held_bytes;
		bool done = to && chain_tee(feed, chain, to, &payload->pipes[i], bytes);

		if (feed->copy_pipe.held_bytes)
			feed_renew_copy_pipe(feed);
		if (!done)
			return false;
	}
	return true;
}

static bool chain_gift_payload(struct feed *feed, struct chain *chain, const uint8_t *bytes,
			       size_t length)
{
	struct pipe *to = chain->count ? &chain->pipes[0] : chain_add(feed, chain);
	size_t put = 0;

	while (to) {
		if (!put_bytes(feed, to, bytes, length, true, &put))
			put = 0;
		bytes += put;
		length -= put;
		if (!length)
			return true;
		if (to->held_bytes == 0)
			return false;
		to = chain_add(feed, chain);
	}
	return false;
}

static bool chain_append(struct feed *feed, struct rendition *rendition, struct chain *chain,
			 const struct packet *packet, enum engine engine)
{
	struct ring_packet place = place_of(packet);

	return ring_append_pipes(&rendition->ring, chain->pipes, chain->count, &feed->pool, &place,
				 engine) == 0;
}

/* Without memory a packet is lost for a format, and nobody may take it for delivered. */
static void lose_packet(struct rendition *rendition, const struct packet *packet)
{
	log_error("out of memory feed=%s format=%s lost_messages=%u", rendition->feed->params.name,
		  rendition->encoder->name, packet->count);
	ring_set_sequence(&rendition->ring, place_of(packet).next_seq);
	feed_close_subscribers(rendition, CLOSE_NO_MEMORY);
}

static void append_copy(struct rendition *rendition, const struct packet *packet,
			const uint8_t *header, size_t header_bytes, const uint8_t *bytes)
{
	struct ring_packet place = place_of(packet);

	if (ring_append_copy(&rendition->ring, header, header_bytes, bytes, packet->length, &place,
			     ENGINE_COPY) < 0)
		lose_packet(rendition, packet);
}

static void copy_to_rendition(struct rendition *rendition, const struct packet *packet,
			      const uint8_t *bytes)
{
	uint8_t header[ENCODER_HEADER_MAX];
	size_t header_bytes = rendition->encoder->header(packet, header);

	append_copy(rendition, packet, header, header_bytes, bytes);
}

/* Wakes whoever waited for it, after the rings have been cut to size. */
static void finish(struct feed *feed, const struct packet *packet)
{
	struct list_node *node;

	if (packet->type == PACKET_DATA) {
		feed->metrics.in_packets++;
		feed->metrics.in_messages += packet->count;
		feed->metrics.in_bytes += packet->length;
	}
	feed->last_packet_ms = clock_mono_ns() / NS_PER_MS;
	list_for_each (&feed->renditions, node) {
		struct rendition *rendition = rendition_of(node);

		feed_trim(rendition);
		subscriber_wake_all(rendition);
	}
}

void publish_copy(struct feed *feed, const struct packet *packet, const uint8_t *bytes)
{
	struct list_node *node;

	list_for_each (&feed->renditions, node)
		copy_to_rendition(rendition_of(node), packet, bytes);
	feed->metrics.packets_copy++;
	finish(feed, packet);
}

/* Dense pages: a segment's worth in each pipe. */
static bool fits_chain(const struct feed *feed, uint64_t length)
{
	return length / feed->params.segment_bytes + 2 <= CHAIN_MAX;
}

void publish_gift(struct feed *feed, const struct packet *packet, const uint8_t *bytes)
{
	struct list_node *node;

	list_for_each (&feed->renditions, node) {
		struct rendition *rendition = rendition_of(node);
		struct chain chain = {.count = 0};
		uint8_t header[ENCODER_HEADER_MAX];
		size_t header_bytes = rendition->encoder->header(packet, header);

		if (fits_chain(feed, packet->length) &&
		    (!header_bytes || chain_put_header(feed, &chain, header, header_bytes)) &&
		    chain_gift_payload(feed, &chain, bytes, packet->length) &&
		    chain_append(feed, rendition, &chain, packet, ENGINE_COMPACT))
			continue;
		chain_drop(feed, &chain);
		feed->metrics.engine_fallbacks++;
		append_copy(rendition, packet, header, header_bytes, bytes);
	}
	feed->metrics.packets_compact++;
	finish(feed, packet);
}

/* Reads the payload out of its pipes.  NULL: no memory, or a pipe failed. */
static uint8_t *read_payload(struct pipe_payload *payload, size_t length)
{
	uint8_t *bytes = malloc(length);
	size_t filled = 0;

	for (size_t i = 0; bytes && i < payload->count; i++) {
		struct pipe *from = &payload->pipes[i];
		size_t left = i + 1 == payload->count ? payload->last_bytes : from->held_bytes;

		while (left) {
			size_t got = 0;
			int err = 0;

			if (pipe_read(from, bytes + filled, left, &got, &err) != PIPE_IO_OK) {
				free(bytes);
				return NULL;
			}
			filled += got;
			left -= got;
		}
	}
	return bytes;
}

/* What no rendition has taken over: throws the payload away, keeps the rest of the last pipe. */
static void drop_payload(struct feed *feed, struct pipe_payload *payload)
{
	for (size_t i = 0; i < payload->count; i++) {
		struct pipe *pipe = &payload->pipes[i];
		size_t left = size_min(payload->last_bytes, pipe->held_bytes);
		size_t thrown = 0;
		int err = 0;

		if (!pipe_is_open(pipe))
			continue;
		if (i + 1 < payload->count)
			pipe_pool_put_drained(&feed->pool, pipe);
		else if (left &&
			 pipe_discard(pipe, feed->pool.null_fd, left, &thrown, &err) != PIPE_IO_OK)
			pipe_pool_put_drained(&feed->pool, pipe); /* never the same bytes twice */
	}
}

/* The pipes hold nothing but the packet, so a format without header can have them as they are. */
static bool hand_over(struct feed *feed, struct rendition *rendition, const struct packet *packet,
		      struct pipe_payload *payload)
{
	struct ring_packet place = place_of(packet);

	return payload->pipes[payload->count - 1].held_bytes == payload->last_bytes &&
	       ring_append_pipes(&rendition->ring, payload->pipes, payload->count, &feed->pool,
				 &place, ENGINE_SPLICE) == 0;
}

static bool tee_to_rendition(struct feed *feed, struct rendition *rendition,
			     const struct packet *packet, struct pipe_payload *payload)
{
	struct chain chain = {.count = 0};
	uint8_t header[ENCODER_HEADER_MAX];
	size_t header_bytes = rendition->encoder->header(packet, header);

	if ((!header_bytes || chain_put_header(feed, &chain, header, header_bytes)) &&
	    chain_tee_payload(feed, &chain, payload) &&
	    chain_append(feed, rendition, &chain, packet, ENGINE_SPLICE))
		return true;
	chain_drop(feed, &chain);
	return false;
}

void publish_pipes(struct feed *feed, const struct packet *packet, struct pipe_payload *payload)
{
	struct list_node *node;
	uint8_t *bytes = NULL; /* once read, the rest of the renditions get copies */
	bool is_consumed = false;

	list_for_each (&feed->renditions, node) {
		struct rendition *rendition = rendition_of(node);
		bool is_last = !list_next(&feed->renditions, node);

		if (!is_consumed) {
			uint8_t header[ENCODER_HEADER_MAX];

			if (is_last && rendition->encoder->header(packet, header) == 0 &&
			    hand_over(feed, rendition, packet, payload)) {
				is_consumed = true;
				continue;
			}
			if (tee_to_rendition(feed, rendition, packet, payload))
				continue;
			bytes = read_payload(payload, packet->length);
			if (!bytes)
				drop_payload(feed, payload);
			is_consumed = true;
		}
		feed->metrics.engine_fallbacks++;
		if (bytes)
			copy_to_rendition(rendition, packet, bytes);
		else
			lose_packet(rendition, packet);
	}
	if (!is_consumed)
		drop_payload(feed, payload);
	free(bytes);
	feed->metrics.packets_splice++;
	finish(feed, packet);
}

void publish_news(struct feed *feed, const struct packet *packet)
{
	struct list_node *node;

	list_for_each (&feed->renditions, node) {
		struct rendition *rendition = rendition_of(node);
		uint8_t header[ENCODER_HEADER_MAX];
		size_t header_bytes = rendition->encoder->header(packet, header);

		if (header_bytes)
			append_copy(rendition, packet, header, header_bytes, NULL);
	}
	finish(feed, packet);
}
