// SPDX-License-Identifier: MIT
/*
 * Subscribers of web formats of a real feed, with every engine: what they get, that the payload is
 * shared, where they begin, and how they end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "feed/chain.h"
#include "tests/unit/web_rig.h"

enum {
	OF_EACH = 3, // subscribers of a format
};

static struct web_rig web;

// --- what comes

static void every_format_has_the_same_payload(void **state)
{
	static const size_t bodies[] = {50, 3000, 150000};

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		for (size_t b = 0; b < ARRAY_LEN(bodies); b++) {
			struct rig_stream stream = web_rig_make_lines(600000, bodies[b]);

			web_rig_open_lines(&web, engine);
			for (size_t i = 0; i < FORMATS * OF_EACH; i++)
				(void)web_rig_join(&web, i % FORMATS, NULL);
			feed_rig_join(&web.rig, false, false, 0, NULL);
			feed_rig_publish(&web.rig, stream.bytes, stream.size);
			for (size_t i = 0; i < FORMATS * OF_EACH; i++)
				web_rig_check(&web, i % FORMATS, i, stream.bytes, stream.size);
			feed_rig_check_payload(&web.rig, FORMATS * OF_EACH, stream.bytes,
					       stream.size);
			struct format_wire wire = web_rig_read(&web, EVENTS, EVENTS);

			assert_int_equal(wire.pieces, stream.messages);
			assert_int_equal(wire.next_id, stream.messages + 1);
			assert_int_equal(wire.comments, 1); // the greeting
			free(wire.payload);
			wire = web_rig_read(&web, MESSAGES, MESSAGES);
			assert_int_equal(wire.pieces, stream.messages);
			assert_int_equal(wire.texts, 0);
			free(wire.payload);
			wire = web_rig_read(&web, TEXT, TEXT);
			assert_int_equal(wire.texts, wire.pieces);
			assert_int_equal(wire.pings, 1);
			free(wire.payload);
			assert_int_equal(web.rig.feed->metrics.engine_fallbacks, 0);
			feed_rig_check_metrics(&web.rig);
			feed_rig_close(&web.rig);
			feed_rig_free_stream(&stream);
		}
	}
}

/* Heads and ends are handed to the kernel once a packet, however many read them, and of all that is
 * delivered only the notes are copied. */
static void head_payload_and_end_are_shared(void **state)
{
	struct feed_params params = feed_rig_params(FRAMING_U32BE, ENGINE_SPLICE);
	struct rig_stream stream = feed_rig_make_stream(&params.framing, 2000000, 90000, 3);

	(void)state;
	for (int gift = 0; gift < 2; gift++) {
		uint64_t put[2];

		params.gift_headers = gift;
		for (size_t many = 0; many < 2; many++) {
			const size_t count = many ? 16 : 2;
			const struct metrics *metrics;
			uint64_t heads = 0, packets;

			web_rig_open(&web, &params);
			for (size_t i = TEXT; i < FORMATS; i++) // these have to see the payload
				feed_close_rendition(&web.formats[i].rendition);
			for (size_t i = 0; i < count; i++)
				(void)web_rig_join(&web, i % 2, NULL);
			feed_rig_publish(&web.rig, stream.bytes, stream.size);
			for (size_t i = 0; i < count; i++)
				web_rig_check(&web, i % 2, i, stream.bytes, stream.size);
			metrics = &web.rig.feed->metrics;
			packets = metrics->in_packets;
			assert_int_equal(metrics->packets_splice, packets);
			assert_int_equal(metrics->copied_bytes, 0);
			assert_int_equal(metrics->compacted_bytes, 0);
			assert_int_equal(metrics->engine_fallbacks, 0);
			assert_int_equal(metrics->spliced_bytes + metrics->noted_bytes,
					 metrics->delivered_bytes);
			put[many] = gift ? metrics->gifted_bytes : metrics->written_bytes;
			assert_int_equal(gift ? metrics->written_bytes : metrics->gifted_bytes, 0);
			for (size_t i = 0; i < 2; i++) // one reader's worth of each format
				heads += web.rig.readers[i].size - stream.size;
			heads -= 2;            // the greeting of one of them, a ping
			heads += 32 * packets; // the framed rendition, which nobody reads
			assert_int_equal(put[many], heads);
			assert_true(put[many] > 40 * packets);
			feed_rig_close(&web.rig);
		}
	}
	feed_rig_free_stream(&stream);
}

static void text_is_utf8_whatever_is_published(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		web_rig_open_lines(&web, engine);
		(void)web_rig_join(&web, TEXT, NULL);
		(void)web_rig_join(&web, EVENTS, NULL);
		(void)web_rig_join(&web, BINARY, NULL);
		web_rig_publish(&web, "a\xff\n");
		web_rig_publish(&web, "\xc3\xa4\n");
		web_rig_check(&web, TEXT, 0, "a\xef\xbf\xbd\n\xc3\xa4\n", 8);
		web_rig_check(&web, EVENTS, 1, "a\xef\xbf\xbd\n\xc3\xa4\n", 8);
		web_rig_check(&web, BINARY, 2, "a\xff\n\xc3\xa4\n", 6);
		feed_rig_close(&web.rig);
	}
}

static void a_gap_is_told_in_the_words_of_the_format(void **state)
{
	const struct subscriber_params params = {.on_slow = ON_SLOW_SKIP};
	struct rig_stream stream = web_rig_make_lines(3000000, 3000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		static const size_t slow[] = {BINARY, EVENTS};
		unsigned gaps = 0;

		web_rig_open_lines(&web, engine);
		web.rig.feed->params.ring_bytes = 200000;
		for (size_t i = 0; i < 2; i++) {
			struct rendition *rendition = web.formats[slow[i]].rendition;

			rendition->ring.params.max_bytes = 200000;
			feed_rig_join_rendition(&web.rig, rendition, true, FEED_RIG_SMALL, &params);
			web.rig.readers[i].is_paused = true;
		}
		feed_rig_publish(&web.rig, stream.bytes, stream.size);
		web.rig.readers[0].is_paused = web.rig.readers[1].is_paused = false;
		feed_rig_settle(&web.rig);
		web_rig_publish(&web, "the last\n");
		for (size_t i = 0; i < 2; i++) {
			struct format_wire wire = web_rig_read(&web, slow[i], i);

			assert_int_equal(wire.torn_bytes, 0);
			assert_true(wire.gaps > 0);
			gaps += wire.gaps;
			assert_true(wire.size < stream.size);
			assert_memory_equal(wire.payload + wire.size - 9, "the last\n", 9);
			free(wire.payload);
		}
		/* Usually one each; what the kernel moved on late makes room for a second. */
		assert_int_equal(web.rig.feed->metrics.gaps, gaps);
		feed_rig_check_metrics(&web.rig);
		feed_rig_close(&web.rig);
	}
	feed_rig_free_stream(&stream);
}

// --- from

static void one_begins_where_it_asks_to(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		struct subscriber_params params = {.has_from = true, .burst_bytes = 1};
		uint64_t oldest, next;

		web_rig_open_lines(&web, engine);
		web_rig_publish(&web, "1\n2\n");
		web_rig_publish(&web, "3\n4\n");
		web_rig_publish(&web, "5\n");
		rendition_range(web.formats[MESSAGES].rendition, &oldest, &next);
		assert_int_equal(oldest, 1);
		assert_int_equal(next, 6);
		for (uint64_t from = 1; from <= 8; from++) {
			// from the packet that holds it
			const char *text = &"1\n2\n3\n4\n5\n6\n"[from < 3   ? 0
								 : from < 5 ? 4
								 : from < 6 ? 8
									    : 10];
			params.from_seq = from;
			for (size_t format = 0; format < FORMATS; format++) {
				size_t reader = web_rig_join(&web, format, &params);

				feed_rig_settle(&web.rig);
				web_rig_check(&web, format, reader, text, strlen(text) - 2);
			}
			if (from % 4)
				continue;
			feed_rig_close(&web.rig);
			web_rig_open_lines(&web, engine);
			web_rig_publish(&web, "1\n2\n");
			web_rig_publish(&web, "3\n4\n");
			web_rig_publish(&web, "5\n");
		}
		feed_rig_close(&web.rig);
	}
}

static void what_the_ring_has_given_up_is_refused(void **state)
{
	struct subscriber_params params = {.has_from = true, .on_slow = ON_SLOW_WAIT};
	struct rig_stream stream = web_rig_make_lines(600000, 3000);
	uint64_t oldest, next;
	int fds[2];

	(void)state;
	web_rig_open_lines(&web, ENGINE_COPY);
	web.formats[CHUNKED].rendition->ring.params.max_bytes = 100000;
	feed_rig_publish(&web.rig, stream.bytes, stream.size);
	rendition_range(web.formats[CHUNKED].rendition, &oldest, &next);
	assert_true(oldest > 1 && oldest < next);
	assert_int_equal(next, stream.messages + 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	params.from_seq = oldest - 1;
	assert_int_equal(subscriber_join(web.formats[CHUNKED].rendition, fds[0], &params), -ERANGE);
	assert_int_equal(feed_subscriber_count(web.rig.feed), 0);
	assert_int_equal(write(fds[0], "x", 1), 1); // the socket is still ours, and open
	close(fds[0]);
	close(fds[1]);
	params.from_seq = oldest;
	const size_t reader = web_rig_join(&web, CHUNKED, &params);

	feed_rig_settle(&web.rig);
	assert_true(web.rig.readers[reader].size > 0);
	feed_rig_close(&web.rig);
	feed_rig_free_stream(&stream);
}

// --- ends

static void whoever_has_read_all_is_told_goodbye(void **state)
{
	struct rig_stream stream = web_rig_make_lines(500000, 3000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		web_rig_open_lines(&web, engine);
		for (size_t i = 0; i < 2 * FORMATS; i++) {
			feed_rig_join_rendition(&web.rig, web.formats[i % FORMATS].rendition, true,
						i < FORMATS ? FEED_RIG_SMALL : 0, NULL);
			web.rig.readers[i].is_paused = i < FORMATS; // these block
		}
		feed_rig_publish(&web.rig, stream.bytes, stream.size);
		feed_drain(web.rig.feed);
		feed_rig_settle(&web.rig);
		for (size_t i = 0; i < FORMATS; i++)
			web.rig.readers[i].is_paused = false;
		for (int i = 0; i < 200 && feed_subscriber_count(web.rig.feed); i++)
			feed_rig_settle(&web.rig);
		feed_rig_settle(&web.rig);
		assert_int_equal(web.rig.feed->fanout.closed[CLOSE_DRAIN], 2 * FORMATS);
		for (size_t i = 0; i < 2 * FORMATS; i++) {
			struct format_wire wire = web_rig_read(&web, i % FORMATS, i);

			assert_true(web.rig.readers[i].has_ended);
			assert_int_equal(web.rig.readers[i].end_errno, 0);
			assert_true(wire.has_ended || i % FORMATS == EVENTS);
			assert_int_equal(wire.code,
					 wire.has_ended && i % FORMATS != CHUNKED ? 1001 : 0);
			free(wire.payload);
			web_rig_check(&web, i % FORMATS, i, stream.bytes, stream.size);
		}
		feed_rig_check_metrics(&web.rig);
		feed_rig_close(&web.rig);
	}
	feed_rig_free_stream(&stream);
}

static void whoever_is_cut_short_gets_no_clean_end(void **state)
{
	struct rig_stream stream = web_rig_make_lines(4000000, 3000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		web_rig_open_lines(&web, engine);
		feed_rig_join_rendition(&web.rig, web.formats[CHUNKED].rendition, true,
					FEED_RIG_SMALL, NULL);
		web.rig.readers[0].is_paused = true;
		feed_rig_publish(&web.rig, stream.bytes, stream.size);
		subscriber_close(feed_rig_newest(web.formats[CHUNKED].rendition), CLOSE_REMOVED);
		web.rig.readers[0].is_paused = false;
		feed_rig_settle(&web.rig);
		struct format_wire wire = web_rig_read(&web, CHUNKED, 0);

		assert_false(wire.has_ended);
		assert_int_equal(web.rig.readers[0].end_errno, ECONNRESET);
		free(wire.payload);
		feed_rig_close(&web.rig);
	}
	feed_rig_free_stream(&stream);
}

/* An end of the session that a relay above announces is not the end of the subscribers. */
static void a_new_session_does_not_end_the_stream(void **state)
{
	struct feed_params params = feed_rig_params(FRAMING_RELAY, ENGINE_COPY);
	uint8_t wire[2][PACKET_HEADER_BYTES + 2];

	(void)state;
	web_rig_open(&web, &params);
	for (size_t i = 0; i < FORMATS; i++)
		(void)web_rig_join(&web, i, NULL);
	for (unsigned i = 0; i < 2; i++) {
		const struct packet_header header = {.count = 1,
						     .length = 2,
						     .session = 8 + i,
						     .sequence = 9 + 10 * i,
						     .time = 1};

		packet_header_encode(&header, wire[i]);
		memcpy(wire[i] + PACKET_HEADER_BYTES, i ? "b\n" : "a\n", 2);
		feed_rig_publish(&web.rig, wire[i], sizeof(wire[i]));
	}
	for (size_t i = 0; i < FORMATS; i++)
		web_rig_check(&web, i, i, i == EVENTS ? "a\n\nb\n\n" : "a\nb\n",
			      i == EVENTS ? 6 : 4);
	assert_int_equal(feed_subscriber_count(web.rig.feed), FORMATS);
	feed_rig_close(&web.rig);
}

// --- pipes

static void an_end_takes_the_last_slot_or_one_more_pipe(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_SPLICE);
	struct chain chain = {.count = 0};
	unsigned slots;

	(void)state;
	web_rig_open(&web, &params);
	assert_true(chain_put_header(&web.rig.feed->pipes, &chain, (const uint8_t *)"h", 1));
	slots = chain.pipes[0].slots;
	for (unsigned used = 1; used <= slots; used++) {
		assert_int_equal(chain.count, 1);
		assert_int_equal(chain.pipes[0].held_bytes, 2 * used - 1);
		assert_true(chain_put_trailer(&web.rig.feed->pipes, &chain, (const uint8_t *)"\r\n",
					      2));
	}
	assert_int_equal(chain.count, 2);
	assert_int_equal(chain.pipes[1].held_bytes, 2);
	chain_drop(&web.rig.feed->pipes, &chain);
	feed_rig_close(&web.rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_format_has_the_same_payload),
		TEST(head_payload_and_end_are_shared),
		TEST(text_is_utf8_whatever_is_published),
		TEST(a_gap_is_told_in_the_words_of_the_format),
		TEST(one_begins_where_it_asks_to),
		TEST(what_the_ring_has_given_up_is_refused),
		TEST(whoever_has_read_all_is_told_goodbye),
		TEST(whoever_is_cut_short_gets_no_clean_end),
		TEST(a_new_session_does_not_end_the_stream),
		TEST(an_end_takes_the_last_slot_or_one_more_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
