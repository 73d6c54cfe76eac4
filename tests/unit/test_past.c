// SPDX-License-Identifier: MIT
/*
 * A rendition that is made late takes its past from another one: byte for byte what it would have,
 * had it been there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/ts_rig.h"

enum {
	FORMATS = 9,
	PACKETS_MAX = 4096,
	TIME_AT = 24, // in the header of a framed packet
};

#define SECOND_NS 1000000000ULL

static struct feed_rig rig;

static const struct encoder *const sources[] = {&encoder_raw, &encoder_framed, &encoder_chunked};

static const struct encoder *const formats[FORMATS] = {
	&encoder_raw,
	&encoder_framed,
	&encoder_chunked,
	&encoder_events,
	&encoder_events_plain,
	&encoder_websocket,
	&encoder_websocket_gaps,
	&encoder_websocket_messages,
	&encoder_websocket_gaps_text,
};

// All that is in a ring, packet by packet.
struct past {
	struct ring_packet packets[PACKETS_MAX];
	uint8_t *bytes[PACKETS_MAX];
	size_t sizes[PACKETS_MAX];
	size_t count;
	struct ring_media media;
	uint64_t next_seq;
};

static struct past was_there[FORMATS], taken;

static void read_past(struct rendition *rendition, struct past *ret)
{
	struct ring *ring = &rendition->ring;
	struct cursor cursor;

	ret->count = 0;
	ret->media = ring->media;
	ret->next_seq = ring->next_seq;
	assert_int_equal(cursor_join_seq(&cursor, ring, cursor_oldest_seq(ring)), 0);
	while (cursor_read_packet(&cursor, ring, &rig.feed->pipes, &ret->packets[ret->count],
				  &ret->bytes[ret->count], &ret->sizes[ret->count]) > 0)
		assert_true(++ret->count < PACKETS_MAX);
	cursor_leave(&cursor);
}

static void free_past(struct past *past)
{
	for (size_t i = 0; i < past->count; i++)
		free(past->bytes[i]);
	past->count = 0;
}

static struct rendition *open_format(const struct encoder *encoder)
{
	struct rendition *rendition = feed_open_rendition(rig.feed, encoder);

	assert_non_null(rendition);
	return rendition;
}

// A feed that has nothing open.
static void open_feed(const struct feed_params *params)
{
	feed_rig_open(&rig, params, false);
	feed_close_rendition(&rig.raw);
	feed_close_rendition(&rig.framed);
}

// Near each other; they count as the same from here on.
static void check_time(uint8_t got[8], const uint8_t want[8])
{
	uint64_t got_ns = 0, want_ns = 0;

	for (int i = 0; i < 8; i++) {
		got_ns = got_ns << 8 | got[i];
		want_ns = want_ns << 8 | want[i];
	}
	assert_in_range(got_ns, want_ns - SECOND_NS, want_ns + SECOND_NS);
	memcpy(got, want, 8);
}

static void check_packet(const struct past *past, size_t i, bool has_own_time)
{
	const struct ring_packet *want = &past->packets[i], *got = &taken.packets[i];
	uint8_t *bytes = taken.bytes[i];

	assert_int_equal(taken.sizes[i], past->sizes[i]);
	if (has_own_time) // when it arrived, not when it was published
		check_time(bytes + TIME_AT, past->bytes[i] + TIME_AT);
	assert_memory_equal(bytes, past->bytes[i], taken.sizes[i]);
	assert_int_equal(got->first_seq, want->first_seq);
	assert_int_equal(got->count, want->count);
}

static void compare(size_t f, struct rendition *source)
{
	const struct encoder *encoder = formats[f], *from = source->encoder;
	const struct past *want = &was_there[f];
	const size_t pipe_count = source->ring.pipe_count;
	struct rendition *rendition = source;

	if (encoder != from) {
		rendition = open_format(encoder);
		feed_take_past(rig.feed, rendition);
	}
	read_past(rendition, &taken);
	assert_true(want->count > 1);
	assert_int_equal(taken.count, want->count);
	for (size_t i = 0; i < taken.count; i++)
		check_packet(want, i, encoder == &encoder_framed && from != &encoder_framed);
	assert_int_equal(taken.next_seq, want->next_seq);
	assert_int_equal(taken.media.key_frame, want->media.key_frame);
	assert_int_equal(taken.media.lead, want->media.lead);
	free_past(&taken);
	assert_int_equal(source->ring.pipe_count, pipe_count); // it has kept them
	if (encoder != from)
		feed_close_rendition(&rendition);
}

// Each format, as it was there from the start, and as it is made of the source.
static void compare_all(const struct encoder *source, const struct feed_params *params,
			const uint8_t *bytes, size_t size)
{
	struct rendition *renditions[FORMATS], *from = NULL;

	open_feed(params);
	for (size_t f = 0; f < FORMATS; f++)
		renditions[f] = open_format(formats[f]);
	feed_rig_publish(&rig, bytes, size);
	for (size_t f = 0; f < FORMATS; f++) {
		read_past(renditions[f], &was_there[f]);
		if (formats[f] == source)
			from = renditions[f];
		else
			feed_close_rendition(&renditions[f]);
	}
	for (size_t f = 0; f < FORMATS; f++) {
		compare(f, from);
		free_past(&was_there[f]);
	}
	feed_rig_close(&rig);
}

static void compare_with_all(const struct feed_params *params, const uint8_t *bytes, size_t size)
{
	for (size_t s = 0; s < ARRAY_LEN(sources); s++)
		compare_all(sources[s], params, bytes, size);
}

static void every_format_gets_what_it_would_have(void **state)
{
	static const size_t bodies[] = {60, 4000, 150000};
	const struct framing_params framing = {.kind = FRAMING_LINE};

	(void)state;
	for (enum engine engine = ENGINE_COPY; engine <= ENGINE_COMPACT;
	     engine = (enum engine)(engine + 1)) {
		const struct feed_params params = feed_rig_params(FRAMING_LINE, engine);

		for (size_t b = 0; b < ARRAY_LEN(bodies); b++) {
			struct rig_stream stream =
				feed_rig_make_stream(&framing, 250000, bodies[b], 3);

			compare_with_all(&params, stream.bytes, stream.size);
			feed_rig_free_stream(&stream);
		}
	}
}

static void key_frames_are_known_again(void **state)
{
	struct feed_params params = feed_rig_params(FRAMING_TS, ENGINE_COPY);
	uint8_t *bytes = ts_rig_make(400, 1);

	(void)state;
	ts_rig_begin_tables(bytes + (size_t)200 * TS_PACKET_BYTES);
	ts_rig_begin_pes(bytes + (size_t)201 * TS_PACKET_BYTES, TS_RIG_VIDEO, 1, true);
	params.segment_bytes = 16384;
	compare_with_all(&params, bytes, (size_t)400 * TS_PACKET_BYTES);
	free(bytes);
}

// Without a copy pipe nothing can be teed: the source's packets come into memory.
static void without_a_copy_pipe_it_is_there_too(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_SPLICE);
	const struct framing_params framing = {.kind = FRAMING_LINE};
	struct rig_stream stream = feed_rig_make_stream(&framing, 600000, 4000, 3);
	struct rendition *raw, *late;

	(void)state;
	open_feed(&params);
	raw = open_format(&encoder_raw);
	feed_rig_publish(&rig, stream.bytes, stream.size);
	read_past(raw, &was_there[0]);
	assert_true(raw->ring.pipe_count > 0);
	late = open_format(&encoder_websocket);
	rig.feed->pipes.has_pipes = false;
	feed_take_past(rig.feed, late);
	rig.feed->pipes.has_pipes = true;
	assert_int_equal(raw->ring.pipe_count, 0);
	read_past(late, &taken);
	assert_int_equal(taken.count, was_there[0].count);
	for (size_t i = 0; i < taken.count; i++)
		assert_memory_equal(taken.bytes[i] + taken.sizes[i] - was_there[0].sizes[i],
				    was_there[0].bytes[i], was_there[0].sizes[i]);
	free_past(&was_there[0]);
	free_past(&taken);
	feed_rig_close(&rig);
	feed_rig_free_stream(&stream);
}

// What cannot be read to its end is no past: a hole in it would not be seen.
static void a_pipe_that_fails_leaves_no_past(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_SPLICE);
	const struct framing_params framing = {.kind = FRAMING_LINE};
	struct rig_stream stream = feed_rig_make_stream(&framing, 600000, 4000, 3);
	struct rendition *raw, *late;
	uint8_t stolen[100];

	(void)state;
	open_feed(&params);
	raw = open_format(&encoder_raw);
	feed_rig_publish(&rig, stream.bytes, stream.size);
	assert_int_equal(ring_newest(&raw->ring)->kind, SEGMENT_PIPE);
	assert_int_equal(read(ring_newest(&raw->ring)->pipe.read_fd, stolen, sizeof(stolen)),
			 sizeof(stolen));
	late = open_format(&encoder_chunked);
	feed_take_past(rig.feed, late);
	assert_int_equal(late->ring.segment_count, 0);
	assert_int_equal(cursor_oldest_seq(&late->ring), stream.messages + 1);
	feed_rig_close(&rig);
	feed_rig_free_stream(&stream);
}

// --- another relay's packets

static size_t put_data(uint8_t *out, uint32_t session, uint64_t sequence, uint8_t flags)
{
	const struct packet_header header = {.count = !flags,
					     .flags = flags,
					     .length = 5,
					     .session = session,
					     .sequence = sequence,
					     .time = 1000 * sequence};

	packet_header_encode(&header, out);
	memcpy(out + PACKET_HEADER_BYTES, "hello", 5);
	return PACKET_HEADER_BYTES + 5;
}

// Gaps, parts of messages and times come along, from where they are kept; the session before does
// not.
static void what_a_relay_says_is_kept(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_RELAY, ENGINE_COPY);
	uint8_t wire[1024];
	size_t size = 0;

	(void)state;
	size += put_data(wire + size, 76, 1, 0);
	size += put_data(wire + size, 76, 2, 0);
	for (uint64_t sequence = 1; sequence < 9; sequence += sequence == 3 ? 4 : 1)
		size += put_data(wire + size, 77, sequence, 0);
	size += put_data(wire + size, 77, 9, PACKET_FLAG_CONTINUED);
	size += put_data(wire + size, 77, 9, 0);
	compare_all(&encoder_framed, &params, wire, size);
	open_feed(&params);
	(void)open_format(&encoder_raw);
	feed_rig_publish(&rig, wire, size);
	for (size_t f = 1; f < FORMATS; f++) {
		struct rendition *rendition = open_format(formats[f]);

		feed_take_past(rig.feed, rendition);
		assert_int_equal(rendition->ring.segment_count, 0);
		feed_close_rendition(&rendition);
	}
	feed_rig_close(&rig);
}

// --- how much

// Of the stream, from message `sequence` on.
static size_t messages_bytes(const struct rig_stream *stream, uint64_t sequence)
{
	size_t at = 0;

	while (--sequence)
		at = (size_t)((uint8_t *)memchr(stream->bytes + at, '\n', stream->size - at) -
			      stream->bytes) +
		     1;
	return stream->size - at;
}

// The worker does nothing else meanwhile, so the past that is taken has an end, at a message.
static void a_long_past_is_cut(void **state)
{
	struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);
	const struct framing_params framing = {.kind = FRAMING_LINE};
	struct rig_stream stream = feed_rig_make_stream(&framing, 16 << 20, 3000, 3);
	struct rendition *raw;

	(void)state;
	params.ring_bytes = 32 << 20;
	open_feed(&params);
	raw = open_format(&encoder_raw);
	feed_rig_publish(&rig, stream.bytes, stream.size);
	assert_int_equal(raw->ring.end_pos - raw->ring.start_pos, stream.size);
	for (size_t f = 1; f < FORMATS; f++) {
		struct rendition *late = open_format(formats[f]);
		uint64_t most = formats[f]->rewrite ? 1 << 19 : 8 << 20;
		uint64_t oldest;

		feed_take_past(rig.feed, late);
		oldest = cursor_oldest_seq(&late->ring);
		assert_in_range(messages_bytes(&stream, oldest), most / 2, most);
		assert_int_equal(late->ring.next_seq, stream.messages + 1);
		feed_close_rendition(&late);
	}
	feed_rig_close(&rig);
	feed_rig_free_stream(&stream);
}

static void a_past_of_many_packets_is_cut(void **state)
{
	struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);
	struct rendition *late;

	(void)state;
	open_feed(&params);
	(void)open_format(&encoder_raw);
	for (int i = 0; i < 10000; i++)
		feed_rig_publish(&rig, "x\n", 2);
	late = open_format(&encoder_events);
	feed_take_past(rig.feed, late);
	assert_in_range(cursor_oldest_seq(&late->ring), 10000 - 8192, 10000 - 4096);
	assert_int_equal(late->ring.next_seq, 10001);
	feed_rig_close(&rig);
}

static void a_past_of_many_messages_is_cut(void **state)
{
	enum {
		MESSAGES = 200000,
		NEWEST_MAX = 65535 // messages of a packet
	};
	struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);
	uint8_t *bytes = malloc(2 * MESSAGES);
	struct rendition *events, *chunks;

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < MESSAGES; i++)
		memcpy(bytes + 2 * i, "x\n", 2);
	open_feed(&params);
	(void)open_format(&encoder_raw);
	feed_rig_publish(&rig, bytes, 2 * MESSAGES);
	events = open_format(&encoder_events);
	feed_take_past(rig.feed, events);
	assert_in_range(cursor_oldest_seq(&events->ring), MESSAGES - NEWEST_MAX, MESSAGES);
	feed_close_rendition(&events);
	chunks = open_format(&encoder_chunked); // they cost the same, however many are in a packet
	feed_take_past(rig.feed, chunks);
	assert_int_equal(cursor_oldest_seq(&chunks->ring), 1);
	feed_rig_close(&rig);
	free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_format_gets_what_it_would_have),
		TEST(key_frames_are_known_again),
		TEST(without_a_copy_pipe_it_is_there_too),
		TEST(a_pipe_that_fails_leaves_no_past),
		TEST(what_a_relay_says_is_kept),
		TEST(a_long_past_is_cut),
		TEST(a_past_of_many_packets_is_cut),
		TEST(a_past_of_many_messages_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
