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
#include "feed/chain.h"
#include "feed/crossing.h"
#include "feed/feed.h"
#include "pipe/pipe_io.h"

static struct ring_packet place_of(const struct packet *packet)
{
	bool is_gap = packet->type == PACKET_GAP; /* its time field holds a sequence */

	return (struct ring_packet){
		.first_seq = packet->first_seq,
		.next_seq = packet_next_seq(packet),
		.count = packet->count,
		.time_ns = is_gap ? clock_wall_ns() : packet->time_ns,
		.starts_message = packet->starts_message,
	};
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

	if (packet->type == PACKET_DATA && !feed->from) {
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

/* A branch gets what its home has counted. */
static void count_packet(struct feed *feed, enum engine engine)
{
	if (feed->from)
		return;
	feed->metrics.packets_splice += engine == ENGINE_SPLICE;
	feed->metrics.packets_compact += engine == ENGINE_COMPACT;
	feed->metrics.packets_copy += engine == ENGINE_COPY;
}

void publish_copy(struct feed *feed, const struct packet *packet, const uint8_t *bytes)
{
	struct list_node *node;

	crossing_send_copy(feed, packet, bytes);
	list_for_each (&feed->renditions, node)
		copy_to_rendition(rendition_of(node), packet, bytes);
	count_packet(feed, ENGINE_COPY);
	finish(feed, packet);
}

void publish_gift(struct feed *feed, const struct packet *packet, const uint8_t *bytes)
{
	struct list_node *node;

	if (!crossing_send_gift(feed, packet, bytes))
		crossing_send_copy(feed, packet, bytes);
	list_for_each (&feed->renditions, node) {
		struct rendition *rendition = rendition_of(node);
		struct chain chain = {.count = 0};
		uint8_t header[ENCODER_HEADER_MAX];
		size_t header_bytes = rendition->encoder->header(packet, header);

		if ((!header_bytes || chain_put_header(feed, &chain, header, header_bytes)) &&
		    chain_gift_payload(feed, &chain, bytes, packet->length) &&
		    chain_append(feed, rendition, &chain, packet, ENGINE_COMPACT))
			continue;
		chain_drop(feed, &chain);
		feed->metrics.engine_fallbacks++;
		append_copy(rendition, packet, header, header_bytes, bytes);
	}
	count_packet(feed, ENGINE_COMPACT);
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
				 &place, payload->engine) == 0;
}

static bool tee_to_rendition(struct feed *feed, struct rendition *rendition,
			     const struct packet *packet, struct pipe_payload *payload)
{
	struct chain chain = {.count = 0};
	uint8_t header[ENCODER_HEADER_MAX];
	size_t header_bytes = rendition->encoder->header(packet, header);

	if ((!header_bytes || chain_put_header(feed, &chain, header, header_bytes)) &&
	    chain_tee_payload(feed, &chain, payload) &&
	    chain_append(feed, rendition, &chain, packet, payload->engine))
		return true;
	chain_drop(feed, &chain);
	return false;
}

/* True when the rendition has the packet in pipes. */
static bool put_pipes(struct feed *feed, struct rendition *rendition, const struct packet *packet,
		      struct pipe_payload *payload, bool is_last)
{
	uint8_t header[ENCODER_HEADER_MAX];

	if (is_last && rendition->encoder->header(packet, header) == 0 &&
	    hand_over(feed, rendition, packet, payload))
		return true;
	return tee_to_rendition(feed, rendition, packet, payload);
}

/* The renditions from `node` on get copies of `bytes`; NULL: there are none. */
static void copy_from(struct feed *feed, const struct packet *packet, const uint8_t *bytes,
		      struct list_node *node)
{
	for (; node; node = list_next(&feed->renditions, node)) {
		feed->metrics.engine_fallbacks++;
		if (bytes)
			copy_to_rendition(rendition_of(node), packet, bytes);
		else
			lose_packet(rendition_of(node), packet);
	}
}

void publish_pipes(struct feed *feed, const struct packet *packet, struct pipe_payload *payload)
{
	struct list_node *node = list_first(&feed->renditions);
	bool has_crossed = feed->has_pipes && crossing_send_pipes(feed, packet, payload);
	uint8_t *bytes = NULL;

	while (has_crossed && node) {
		struct list_node *next = list_next(&feed->renditions, node);

		if (!put_pipes(feed, rendition_of(node), packet, payload, !next))
			break;
		node = next;
	}
	/* Whoever has not got it as pipes gets a copy, read once. */
	if (!has_crossed || node)
		bytes = read_payload(payload, packet->length);
	if (!has_crossed && bytes)
		crossing_send_copy(feed, packet, bytes);
	else if (!has_crossed)
		crossing_lose(feed);
	copy_from(feed, packet, bytes, node);
	if (!bytes)
		drop_payload(feed, payload);
	free(bytes);
	count_packet(feed, ENGINE_SPLICE);
	finish(feed, packet);
}

void publish_news(struct feed *feed, const struct packet *packet)
{
	struct list_node *node;

	crossing_send_copy(feed, packet, NULL);
	list_for_each (&feed->renditions, node) {
		struct rendition *rendition = rendition_of(node);
		uint8_t header[ENCODER_HEADER_MAX];
		size_t header_bytes = rendition->encoder->header(packet, header);

		if (header_bytes)
			append_copy(rendition, packet, header, header_bytes, NULL);
	}
	finish(feed, packet);
}
