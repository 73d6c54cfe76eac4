// SPDX-License-Identifier: MIT
/*
 * A feed end to end: what a publisher sends is what every subscriber gets, by every engine, in
 * every framing and in both formats, however the bytes are cut; and how it takes publishers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fd.h"
#include "tests/unit/feed_rig.h"

static struct feed_rig rig;

static void check_delivery(const struct feed_params *params, const struct rig_stream *stream,
			   bool over_tcp, size_t chunk)
{
	struct metrics metrics;

	feed_rig_open(&rig, params, over_tcp);
	for (int i = 0; i < 4; i++)
		feed_rig_join(&rig, i % 2, i / 2, 0, NULL);
	rig.chunk_bytes = chunk;
	feed_rig_publish(&rig, stream->bytes, stream->size);
	for (size_t i = 0; i < 4; i++)
		feed_rig_check_payload(&rig, i, stream->payload, stream->payload_size);
	feed_rig_check_metrics(&rig);
	feed_read_metrics(rig.feed, &metrics);
	assert_int_equal(metrics.in_bytes, stream->payload_size);
	if (params->framing.kind != FRAMING_NONE) {
		assert_int_equal(metrics.in_messages, stream->messages);
		assert_int_equal(metrics.delivered_messages, 4 * stream->messages);
	}
	assert_int_equal(metrics.engine_fallbacks, 0);
	assert_int_equal(metrics.refused_calls, 0);
	assert_true(intake_is_empty(&rig.feed->intake));
	feed_rig_close(&rig);
}

static void every_engine_framing_and_format(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		for (int kind = FRAMING_NONE; kind <= FRAMING_RELAY; kind++) {
			const struct feed_params params =
				feed_rig_params((enum framing_kind)kind, engine);
			struct rig_stream stream =
				feed_rig_make_stream(&params.framing, 200000, 900, 1);

			check_delivery(&params, &stream, true, SIZE_MAX);
			check_delivery(&params, &stream, false, 4000);
			check_delivery(&params, &stream, kind % 2, 977);
			feed_rig_free_stream(&stream);
		}
	}
}

static void a_stream_that_comes_byte_by_byte(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		for (int kind = FRAMING_NONE; kind <= FRAMING_RELAY; kind++) {
			struct feed_params params =
				feed_rig_params((enum framing_kind)kind, engine);
			params.framing.fixed_bytes = 7;
			struct rig_stream stream =
				feed_rig_make_stream(&params.framing, 600, 40, 2);

			check_delivery(&params, &stream, kind % 2, 1);
			feed_rig_free_stream(&stream);
		}
	}
}

static void messages_longer_than_segments(void **state)
{
	static const enum framing_kind kinds[] = {FRAMING_LINE, FRAMING_U32BE, FRAMING_FIXED,
						  FRAMING_RELAY};

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
			struct feed_params params = feed_rig_params(kinds[i], engine);
			params.framing.fixed_bytes = 300001;
			struct rig_stream stream =
				feed_rig_make_stream(&params.framing, 2000000, 500000, 3);

			check_delivery(&params, &stream, i % 2, SIZE_MAX);
			check_delivery(&params, &stream, i % 2, 33333);
			feed_rig_free_stream(&stream);
		}
	}
}

// More than all the ingest pipes hold, byte for byte the longest that is allowed.
static void the_longest_message(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		struct feed_params params = feed_rig_params(FRAMING_U32LE, engine);
		struct rig_stream stream = {.messages = 1};

		params.framing.max_message = 3 << 20;
		stream.size = stream.payload_size = 4 + params.framing.max_message;
		stream.bytes = stream.payload = calloc(1, stream.size);
		memcpy(stream.bytes, (const uint8_t[]){0, 0, 0x30, 0}, 4);
		stream.bytes[stream.size - 1] = 'e';
		feed_rig_open(&rig, &params, true);
		feed_rig_join(&rig, false, true, 0, NULL);
		feed_rig_join(&rig, true, true, 0, NULL);
		feed_rig_publish(&rig, stream.bytes, stream.size);
		feed_rig_check_payload(&rig, 0, stream.bytes, stream.size);
		feed_rig_check_payload(&rig, 1, stream.bytes, stream.size);
		assert_int_equal(rig.feed->metrics.in_messages, 1);
		feed_rig_check_metrics(&rig);
		feed_rig_close(&rig);
		feed_rig_free_stream(&stream);
	}
}

static void headers_by_write_are_the_same(void **state)
{
	struct feed_params params = feed_rig_params(FRAMING_U32BE, ENGINE_SPLICE);
	struct rig_stream stream = feed_rig_make_stream(&params.framing, 300000, 5000, 4);

	(void)state;
	params.gift_headers = false;
	check_delivery(&params, &stream, true, SIZE_MAX);
	feed_rig_free_stream(&stream);
}

// 65535 messages are the most that a packet can count.
static void many_tiny_messages(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		struct feed_params params = feed_rig_params(FRAMING_FIXED, engine);
		params.framing.fixed_bytes = 2;
		params.segment_bytes = 512 * 1024;
		struct rig_stream stream = feed_rig_make_stream(&params.framing, 700000, 2, 5);

		check_delivery(&params, &stream, true, SIZE_MAX);
		check_delivery(&params, &stream, true, 60001);
		feed_rig_free_stream(&stream);
	}
}

// Without framing, the urgent byte must not hold up what comes behind it.
static void urgent_data_does_not_stop_a_source(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		for (int kind = FRAMING_NONE; kind <= FRAMING_LINE; kind++) {
			const struct feed_params params =
				feed_rig_params((enum framing_kind)kind, engine);

			feed_rig_open(&rig, &params, true);
			feed_rig_join(&rig, false, true, 0, NULL);
			feed_rig_publish(&rig, "before\n", 7);
			assert_int_equal(send(rig.publisher_fd, "!", 1, MSG_OOB), 1);
			for (int i = 0; i < 5; i++)
				(void)feed_rig_turn(&rig);
			rig.left = (const uint8_t *)"after\n";
			rig.left_bytes = 6;
			rig.result = INTAKE_TOOK;
			for (int i = 0; i < 200 && rig.readers[0].size < 13; i++)
				(void)feed_rig_turn(&rig);
			assert_int_equal(rig.readers[0].size, 13);
			assert_memory_equal(rig.readers[0].bytes, "before\nafter\n", 13);
			feed_rig_close(&rig);
		}
	}
}

// --- publishers

static void what_is_unfinished_at_the_end_is_not_published(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		const struct feed_params params = feed_rig_params(FRAMING_LINE, engine);
		struct rig_wire wire;

		feed_rig_open(&rig, &params, false);
		feed_rig_join(&rig, false, false, 0, NULL);
		feed_rig_join(&rig, true, false, 0, NULL);
		feed_rig_publish(&rig, "one\ntwo\nhalf", 12);
		feed_rig_end_source(&rig);
		assert_int_equal(rig.feed->metrics.partial_messages, 1);
		assert_int_equal(rig.feed->metrics.partial_bytes, 4);
		assert_int_equal(rig.feed->source_ends[CLOSE_PEER_CLOSED], 1);
		feed_rig_connect_source(&rig, false);
		feed_rig_publish(&rig, "three\n", 6);
		feed_rig_check_payload(&rig, 0, (const uint8_t *)"one\ntwo\nthree\n", 14);
		feed_rig_check_payload(&rig, 1, (const uint8_t *)"one\ntwo\nthree\n", 14);
		wire = feed_rig_parse(&rig.readers[1]);
		assert_int_equal(wire.downs, 1);
		assert_int_equal(wire.ups, 1);
		assert_int_equal(wire.messages, 3);
		free(wire.payload);
		assert_int_equal(rig.feed->metrics.source_connects, 2);
		assert_int_equal(rig.feed->metrics.source_losses, 1);
		feed_rig_close(&rig);
	}
}

/* Where it is to be so, an orderly end is the end of a line, however long; a reset is not. */
static void a_last_line_may_end_with_its_source(void **state)
{
	static const size_t lengths[] = {1, 4, 300 * 1024};
	char *line = malloc(300 * 1024);

	(void)state;
	assert_non_null(line);
	memset(line, 'x', 300 * 1024);
	FOR_EVERY_ENGINE(engine)
	{
		for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
			struct feed_params params = feed_rig_params(FRAMING_LINE, engine);
			struct rig_wire wire;

			params.framing.ends_with_source = true;
			feed_rig_open(&rig, &params, true);
			feed_rig_join(&rig, true, false, 0, NULL);
			feed_rig_publish(&rig, "one\n", 4);
			feed_rig_publish(&rig, line, lengths[i]);
			feed_rig_end_source(&rig);
			feed_rig_connect_source(&rig, true);
			feed_rig_publish(&rig, "two\nhalf", 8);
			fd_close(&rig.source.fd);
			feed_source_down(rig.feed, CLOSE_PEER_RESET);
			while (feed_rig_turn(&rig))
				;
			wire = feed_rig_parse(&rig.readers[0]);
			assert_int_equal(wire.messages, 3);
			assert_int_equal(wire.size, 4 + lengths[i] + 4);
			assert_memory_equal(wire.payload, "one\n", 4);
			assert_memory_equal(wire.payload + 4, line, lengths[i]);
			assert_memory_equal(wire.payload + 4 + lengths[i], "two\n", 4);
			free(wire.payload);
			assert_int_equal(rig.feed->metrics.partial_messages, 1);
			feed_rig_close(&rig);
		}
	}
	free(line);
}

static void a_source_that_ends_between_messages_leaves_nothing(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		for (int kind = FRAMING_NONE; kind <= FRAMING_RELAY; kind++) {
			const struct feed_params params =
				feed_rig_params((enum framing_kind)kind, engine);
			struct rig_stream stream =
				feed_rig_make_stream(&params.framing, 5000, 300, 6);

			feed_rig_open(&rig, &params, true);
			feed_rig_join(&rig, false, true, 0, NULL);
			rig.left = stream.bytes;
			rig.left_bytes = stream.size;
			(void)feed_rig_turn(&rig);
			assert_int_equal(rig.left_bytes, 0);
			feed_rig_end_source(&rig); // the end comes with the last bytes
			feed_rig_check_payload(&rig, 0, stream.payload, stream.payload_size);
			assert_int_equal(rig.feed->metrics.partial_messages, 0);
			feed_rig_close(&rig);
			feed_rig_free_stream(&stream);
		}
	}
}

static void a_message_too_long_ends_the_publisher_behind_what_is_whole(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		struct feed_params params = feed_rig_params(FRAMING_U16BE, engine);
		const uint8_t bytes[] = {0, 1, 'a', 0, 0, 0, 2, 'b', 'c', 0, 11, 'x', 'x'};

		params.framing.max_message = 10;
		feed_rig_open(&rig, &params, false);
		feed_rig_join(&rig, false, false, 0, NULL);
		feed_rig_join(&rig, true, false, 0, NULL);
		feed_rig_publish(&rig, bytes, sizeof(bytes));
		assert_int_equal(rig.source.fd, -1);
		assert_int_equal(rig.feed->source_ends[CLOSE_TOO_LONG], 1);
		feed_rig_check_payload(&rig, 0, bytes, 9);
		feed_rig_check_payload(&rig, 1, bytes, 9);
		feed_rig_close(&rig);
	}
}

static void bytes_that_are_no_packets_end_the_publisher(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_RELAY, ENGINE_SPLICE);
	uint8_t header[PACKET_HEADER_BYTES];

	(void)state;
	feed_rig_open(&rig, &params, false);
	feed_rig_publish(&rig, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 35);
	assert_int_equal(rig.feed->source_ends[CLOSE_BAD_MAGIC], 1);
	feed_rig_connect_source(&rig, false);
	rig.left_bytes = 0;
	packet_header_encode(&(struct packet_header){.type = 99}, header);
	feed_rig_publish(&rig, header, sizeof(header));
	assert_int_equal(rig.feed->source_ends[CLOSE_BAD_HEADER], 1);
	feed_rig_connect_source(&rig, false);
	rig.left_bytes = 0;
	packet_header_encode(&(struct packet_header){.count = 1, .length = 17 << 20}, header);
	feed_rig_publish(&rig, header, sizeof(header));
	assert_int_equal(rig.feed->source_ends[CLOSE_TOO_LONG], 1);
	feed_rig_close(&rig);
}

static void the_loss_of_the_source_closes_if_told_so(void **state)
{
	struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_SPLICE);

	(void)state;
	params.close_on_source_loss = true;
	feed_rig_open(&rig, &params, false);
	for (int i = 0; i < 4; i++)
		feed_rig_join(&rig, i % 2, i / 2, 0, NULL);
	feed_rig_publish(&rig, "one\n", 4);
	feed_rig_end_source(&rig);
	for (size_t i = 0; i < 4; i++) {
		feed_rig_check_payload(&rig, i, (const uint8_t *)"one\n", 4);
		assert_true(rig.readers[i].has_ended);
		assert_int_equal(rig.readers[i].end_errno, 0); // all was sent: a clean end
	}
	assert_int_equal(rig.feed->fanout.closed[CLOSE_SOURCE_LOST], 4);
	feed_rig_check_metrics(&rig);
	feed_rig_close(&rig);
}

// --- a source that is a relay itself

static void put_packet(enum packet_type type, uint32_t session, uint64_t sequence, uint64_t time,
		       const char *payload)
{
	uint8_t bytes[PACKET_HEADER_BYTES + 64];
	const size_t length = strlen(payload);

	packet_header_encode(&(struct packet_header){.type = (uint8_t)type,
						     .count = type == PACKET_DATA,
						     .length = (uint32_t)length,
						     .session = session,
						     .sequence = sequence,
						     .time = time},
			     bytes);
	memcpy(bytes + PACKET_HEADER_BYTES, payload, length);
	feed_rig_publish(&rig, bytes, PACKET_HEADER_BYTES + length);
}

static void a_break_in_the_sequence_is_announced_and_repeats_are_dropped(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		const struct feed_params params = feed_rig_params(FRAMING_RELAY, engine);
		struct metrics metrics;
		struct rig_wire wire;

		feed_rig_open(&rig, &params, false);
		put_packet(PACKET_DATA, 5, 100, 1, "first");
		feed_rig_join(&rig, true, false, 0, NULL);
		put_packet(PACKET_DATA, 5, 101, 2, "one");
		put_packet(PACKET_DATA, 5, 105, 3, "five"); // 102 .. 104 are missing
		put_packet(PACKET_DATA, 5, 105, 3, "five");
		put_packet(PACKET_GAP, 5, 106, 110, "");
		put_packet(PACKET_DATA, 5, 110, 4, "ten");
		put_packet(PACKET_HEARTBEAT, 5, 112, 4, ""); // 111 is missing
		wire = feed_rig_parse(&rig.readers[0]);
		assert_int_equal(wire.first_seq, 101);
		assert_int_equal(wire.next_seq, 112);
		assert_int_equal(wire.missed, 3 + 4 + 1);
		assert_int_equal(wire.messages, 3);
		assert_int_equal(wire.size, 10);
		assert_memory_equal(wire.payload, "onefiveten", 10);
		free(wire.payload);
		feed_read_metrics(rig.feed, &metrics);
		assert_int_equal(metrics.source_missed, 8);
		assert_int_equal(metrics.source_repeated, 1);
		// what upstream lost was not delivered
		assert_int_equal(metrics.delivered_messages, 3);
		feed_rig_close(&rig);
	}
}

static void a_new_session_starts_the_sequence_anew(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_RELAY, ENGINE_COPY);
	struct packet_header header;
	struct metrics metrics;
	const uint8_t *late;

	(void)state;
	feed_rig_open(&rig, &params, false);
	feed_rig_join(&rig, false, false, 0, NULL);
	put_packet(PACKET_DATA, 5, 1000, 1, "old");
	put_packet(PACKET_HEARTBEAT, 6, 1, 2, "");
	feed_rig_join(&rig, true, false, 0, NULL); // a greeting in the new session's numbers
	put_packet(PACKET_DATA, 6, 1, 3, "new");
	assert_int_equal(rig.readers[0].size, 6);
	assert_memory_equal(rig.readers[0].bytes, "oldnew", 6);
	late = rig.readers[1].bytes;
	assert_int_equal(rig.readers[1].size, 2 * PACKET_HEADER_BYTES + 3);
	assert_int_equal(packet_header_decode(late, &header), 0);
	assert_int_equal(header.type, PACKET_HEARTBEAT);
	assert_int_equal(header.session, 6);
	assert_int_equal(header.sequence, 1);
	feed_read_metrics(rig.feed, &metrics);
	assert_int_equal(metrics.delivered_messages, 3);
	feed_rig_close(&rig);
}

// The numbers of a publisher that has gone, and those of the next one; a framed reader is there.
static struct metrics after_two_publishers(uint64_t gap_to, bool has_data, uint64_t next_begins)
{
	const struct feed_params params = feed_rig_params(FRAMING_RELAY, ENGINE_COPY);
	struct metrics metrics;

	feed_rig_open(&rig, &params, false);
	feed_rig_join(&rig, true, false, 0, NULL);
	feed_rig_join(&rig, false, false, 0, NULL);
	put_packet(PACKET_DATA, 5, 100, 1, "one");
	put_packet(PACKET_GAP, 5, 101, gap_to, "");
	if (has_data)
		put_packet(PACKET_DATA, 5, gap_to, 1, "far");
	feed_rig_end_source(&rig);
	feed_rig_connect_source(&rig, false);
	put_packet(PACKET_DATA, 5, next_begins, 1, "two");
	put_packet(PACKET_DATA, 5, next_begins + 1, 1, "three");
	feed_read_metrics(rig.feed, &metrics);
	return metrics;
}

static void numbers_that_are_no_loss_keep_no_publisher_out(void **state)
{
	static const struct {
		uint64_t gap_to, next_begins;
		bool has_data;
		uint64_t restarts;
		const char *bytes;
	} rows[] = {
		{UINT64_MAX, 101, false, 2, "onetwothree"},  // no loss at all: already the jump
		{1000000, 101, false, 1, "onetwothree"},     // before what was passed over
		{1000000, 101, true, 1, "onefartwothree"},   // and that went on
		{1000000, 1000000, false, 0, "onetwothree"}, // an honest one
		{1000000, 999999, false, 1, "onetwothree"},  // was said to be missing
		{1000, 999, false, 0, "onethree"},           // a usual loss: 999 is a repeat
		{200, 99, false, 0, "one"},                  // repeats
		{3ULL << 30, 3ULL << 30, true, 0, "onefarthree"}, // a repeat, then news
		{3ULL << 30, 4, true, 1, "onefartwothree"},       // further than any repeat
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct metrics metrics =
			after_two_publishers(rows[i].gap_to, rows[i].has_data, rows[i].next_begins);
		struct packet_header header;
		const uint8_t *last;

		if (metrics.source_restarts != rows[i].restarts)
			fail_msg("row %zu: begun anew %lu times", i,
				 (unsigned long)metrics.source_restarts);
		feed_rig_check_payload(&rig, 1, (const uint8_t *)rows[i].bytes,
				       strlen(rows[i].bytes));
		last = rig.readers[0].bytes + rig.readers[0].size - PACKET_HEADER_BYTES - 5;
		if (rows[i].restarts) { // told with a session of its own, from the right number on
			assert_int_equal(packet_header_decode(last, &header), 0);
			assert_int_equal(header.sequence, rows[i].next_begins + 1);
			assert_int_not_equal(header.session, 5);
		}
		feed_rig_close(&rig);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_engine_framing_and_format),
		TEST(a_stream_that_comes_byte_by_byte),
		TEST(messages_longer_than_segments),
		TEST(the_longest_message),
		TEST(headers_by_write_are_the_same),
		TEST(many_tiny_messages),
		TEST(urgent_data_does_not_stop_a_source),
		TEST(what_is_unfinished_at_the_end_is_not_published),
		TEST(a_last_line_may_end_with_its_source),
		TEST(a_source_that_ends_between_messages_leaves_nothing),
		TEST(a_message_too_long_ends_the_publisher_behind_what_is_whole),
		TEST(bytes_that_are_no_packets_end_the_publisher),
		TEST(the_loss_of_the_source_closes_if_told_so),
		TEST(a_break_in_the_sequence_is_announced_and_repeats_are_dropped),
		TEST(a_new_session_starts_the_sequence_anew),
		TEST(numbers_that_are_no_loss_keep_no_publisher_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
