// SPDX-License-Identifier: MIT
/*
 * A small state of a relay that is right.
 */
#include "tests/unit/handover_sample.h"

#include <string.h>

static const uint8_t payload[SAMPLE_BLOCK_BYTES] = "0123456789abcdef";

static void fill_web(struct sample *sample)
{
	sample->http_listeners[0] = (struct handed_http){
		.listener = "web",
		.counters = {.requests = 42, .lost = 1},
		.refused[HTTP_REFUSED_TOKEN] = 8,
	};
}

void sample_fill(struct sample *sample)
{
	struct rendition_state *rendition = &sample->renditions[0];
	struct feed_state *part = &sample->parts[0];

	memset(sample, 0, sizeof(*sample));
	memcpy(sample->block, payload, sizeof(payload));
	rendition->ring_fd = RING_FD;
	memcpy(rendition->format, "framed", 7);
	rendition->subscribers = sample->subscribers;
	rendition->subscriber_count = 3;
	sample->subscribers[0] = (struct subscriber_snapshot){
		.fd = FIRST_FD + 3,
		.id = 1,
		.on_slow = ON_SLOW_WAIT,
		.note = sample->note,
		.note_bytes = 4,
		.has_from = true,
		.from_seq = 12,
		.input_bucket = {.per_second = 4096, .depth_ns = 1000000000, .full_ns = 77},
		.user_timeout_ms = 30000,
		.until_ns = UINT64_C(77000000000),
		.ends_with_fin = true,
		.has_farewell = true,
		.has_input = true,
		.input_max_bytes = 4096,
		.cursor = {.is_inside = true, .index = 3, .offset = 4, .pos = 44, .next_index = 4}};
	sample->subscribers[1] = (struct subscriber_snapshot){
		.fd = FIRST_FD + 4, .id = 2, .cursor = {.pos = 142, .next_index = 8}};
	sample->subscribers[2] = (struct subscriber_snapshot){
		.fd = FIRST_FD + 5,
		.id = 3,
		.is_replaying = true,
		.from_files = {.device = 1,
			       .inode = 2,
			       .until_ns = 3,
			       .rate = 4,
			       .place = {.file = 5, .offset = 6, .sent = UINT64_C(7) << 40}}};
	*part = (struct feed_state){
		.is_awake = true,
		.session = 7,
		.next_seq = 21,
		.renditions = sample->renditions,
		.rendition_count = 1,
		.counts.metrics.in_bytes = 4711,
		.intake = {.rest = sample->block, .rest_bytes = 3, .framing = 1}};
	part->counts.closed[CLOSE_LAG] = 3;
	sample->feeds[0] = (struct handed_feed){.name = "a",
						.ingest_text = "listen tcp:127.0.0.1:0",
						.parts = sample->parts,
						.part_count = 1,
						.ingest = {.fd = FIRST_FD + 1}};
	sample->sockets[0] = (struct handed_socket){
		.kind = HANDED_LISTENER, .name = "b", .address = "tcp:*:0", .fd = FIRST_FD};
	sample->handover = (struct handover){.config = {.fd = FIRST_FD + 2, .fallbacks = 5},
					     .workers = 1,
					     .sockets = sample->sockets,
					     .socket_count = 1,
					     .feeds = sample->feeds,
					     .feed_count = 1,
					     .http_listeners = sample->http_listeners,
					     .http_listener_count = 1,
					     .farewells = {.list = sample->farewells, .count = 1}};
	memcpy(sample->last_words, "bye", 3);
	sample->farewells[0] =
		(struct farewell){.fd = FIRST_FD + 6, .bytes = sample->last_words, .byte_count = 3};
	fill_web(sample);
}
