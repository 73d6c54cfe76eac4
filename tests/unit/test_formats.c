// SPDX-License-Identifier: MIT
/*
 * Subscribers of web formats of a real feed, with every engine: what they get, that the payload is
 * shared, where they begin, what they are told, what they send, and how they end.
 *
 * This file is longer than 600 lines because all tests share the table of formats and the one rig.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "feed/chain.h"
#include "feed/crossing.h"
#include "feed/crossing_branch.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/format_rig.h"

enum {
	SMALL = 65536, // of a socket's buffers: blocked soon, and quick once it reads
	OF_EACH = 3,   // subscribers of a format
};

static struct feed_rig rig;

#define FOR_EVERY_ENGINE(engine)                                                                   \
	for (enum engine engine = ENGINE_COPY; engine <= ENGINE_COUNT;                             \
	     engine = (enum engine)(engine + 1))

struct tested_format {
	const struct encoder *encoder;
	struct format_wire (*read)(const uint8_t *bytes, size_t size);
	struct rendition *rendition;
};

enum {
	CHUNKED,
	BINARY,
	TEXT,
	MESSAGES,
	EVENTS,
	FORMATS
};

static struct tested_format formats[FORMATS];

static void open_feed(const struct feed_params *params)
{
	feed_rig_open(&rig, params, false);
	formats[CHUNKED] = (struct tested_format){&encoder_chunked, format_rig_chunks, NULL};
	formats[BINARY] =
		(struct tested_format){&encoder_websocket_gaps, format_rig_websocket, NULL};
	formats[TEXT] = (struct tested_format){&encoder_websocket_text, format_rig_websocket, NULL};
	formats[MESSAGES] =
		(struct tested_format){&encoder_websocket_messages, format_rig_websocket, NULL};
	formats[EVENTS] = (struct tested_format){&encoder_events_plain, format_rig_events, NULL};
	for (size_t i = 0; i < FORMATS; i++) {
		formats[i].rendition = feed_open_rendition(rig.feed, formats[i].encoder);
		assert_non_null(formats[i].rendition);
	}
}

static void open_lines(enum engine engine)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, engine);

	open_feed(&params);
}

static size_t join(size_t format, const struct subscriber_params *params)
{
	return feed_rig_join_rendition(&rig, formats[format].rendition, true, 0, params);
}

static struct format_wire read_wire(size_t format, size_t reader)
{
	return formats[format].read(rig.readers[reader].bytes, rig.readers[reader].size);
}

static void check_payload(size_t format, size_t reader, const void *payload, size_t size)
{
	struct format_wire wire = read_wire(format, reader);

	assert_int_equal(wire.torn_bytes, 0);
	assert_int_equal(wire.gaps, 0);
	assert_int_equal(wire.size, size);
	if (size)
		assert_memory_equal(wire.payload, payload, size);
	free(wire.payload);
}

static void publish(const char *text)
{
	feed_rig_publish(&rig, text, strlen(text));
}

// Lines that are text: what is random must not look like a line's end to an event.
static struct rig_stream text_lines(size_t size, size_t max_body)
{
	const struct framing_params framing = {.kind = FRAMING_LINE};
	struct rig_stream stream = feed_rig_make_stream(&framing, size, max_body, 5);

	for (size_t i = 0; i < stream.size; i++) {
		if (stream.bytes[i] != '\n')
			stream.bytes[i] = (uint8_t)('a' + stream.bytes[i] % 26);
	}
	return stream;
}

// --- what comes

static void every_format_has_the_same_payload(void **state)
{
	static const size_t bodies[] = {50, 3000, 150000};

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		for (size_t b = 0; b < ARRAY_LEN(bodies); b++) {
			struct rig_stream stream = text_lines(600000, bodies[b]);

			open_lines(engine);
			for (size_t i = 0; i < FORMATS * OF_EACH; i++)
				(void)join(i % FORMATS, NULL);
			feed_rig_join(&rig, false, false, 0, NULL);
			feed_rig_publish(&rig, stream.bytes, stream.size);
			for (size_t i = 0; i < FORMATS * OF_EACH; i++)
				check_payload(i % FORMATS, i, stream.bytes, stream.size);
			feed_rig_check_payload(&rig, FORMATS * OF_EACH, stream.bytes, stream.size);
			struct format_wire wire = read_wire(EVENTS, EVENTS);

			assert_int_equal(wire.pieces, stream.messages);
			assert_int_equal(wire.next_id, stream.messages + 1);
			assert_int_equal(wire.comments, 1); // the greeting
			free(wire.payload);
			wire = read_wire(MESSAGES, MESSAGES);
			assert_int_equal(wire.pieces, stream.messages);
			assert_int_equal(wire.texts, 0);
			free(wire.payload);
			wire = read_wire(TEXT, TEXT);
			assert_int_equal(wire.texts, wire.pieces);
			assert_int_equal(wire.pings, 1);
			free(wire.payload);
			assert_int_equal(rig.feed->metrics.engine_fallbacks, 0);
			feed_rig_check_metrics(&rig);
			feed_rig_close(&rig);
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

			open_feed(&params);
			for (size_t i = TEXT; i < FORMATS; i++) // these have to see the payload
				feed_close_rendition(&formats[i].rendition);
			for (size_t i = 0; i < count; i++)
				(void)join(i % 2, NULL);
			feed_rig_publish(&rig, stream.bytes, stream.size);
			for (size_t i = 0; i < count; i++)
				check_payload(i % 2, i, stream.bytes, stream.size);
			metrics = &rig.feed->metrics;
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
				heads += rig.readers[i].size - stream.size;
			heads -= 2;            // the greeting of one of them, a ping
			heads += 32 * packets; // the framed rendition, which nobody reads
			assert_int_equal(put[many], heads);
			assert_true(put[many] > 40 * packets);
			feed_rig_close(&rig);
		}
	}
	feed_rig_free_stream(&stream);
}

static void text_is_utf8_whatever_is_published(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		open_lines(engine);
		(void)join(TEXT, NULL);
		(void)join(EVENTS, NULL);
		(void)join(BINARY, NULL);
		publish("a\xff\n");
		publish("\xc3\xa4\n");
		check_payload(TEXT, 0, "a\xef\xbf\xbd\n\xc3\xa4\n", 8);
		check_payload(EVENTS, 1, "a\xef\xbf\xbd\n\xc3\xa4\n", 8);
		check_payload(BINARY, 2, "a\xff\n\xc3\xa4\n", 6);
		feed_rig_close(&rig);
	}
}

static void a_gap_is_told_in_the_words_of_the_format(void **state)
{
	const struct subscriber_params params = {.on_slow = ON_SLOW_SKIP};
	struct rig_stream stream = text_lines(3000000, 3000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		static const size_t slow[] = {BINARY, EVENTS};
		unsigned gaps = 0;

		open_lines(engine);
		rig.feed->params.ring_bytes = 200000;
		for (size_t i = 0; i < 2; i++) {
			struct rendition *rendition = formats[slow[i]].rendition;

			rendition->ring.params.max_bytes = 200000;
			feed_rig_join_rendition(&rig, rendition, true, SMALL, &params);
			rig.readers[i].is_paused = true;
		}
		feed_rig_publish(&rig, stream.bytes, stream.size);
		rig.readers[0].is_paused = rig.readers[1].is_paused = false;
		feed_rig_settle(&rig);
		publish("the last\n");
		for (size_t i = 0; i < 2; i++) {
			struct format_wire wire = read_wire(slow[i], i);

			assert_int_equal(wire.torn_bytes, 0);
			assert_true(wire.gaps > 0);
			gaps += wire.gaps;
			assert_true(wire.size < stream.size);
			assert_memory_equal(wire.payload + wire.size - 9, "the last\n", 9);
			free(wire.payload);
		}
		/* Usually one each; what the kernel moved on late makes room for a second. */
		assert_int_equal(rig.feed->metrics.gaps, gaps);
		feed_rig_check_metrics(&rig);
		feed_rig_close(&rig);
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

		open_lines(engine);
		publish("1\n2\n");
		publish("3\n4\n");
		publish("5\n");
		rendition_range(formats[MESSAGES].rendition, &oldest, &next);
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
				size_t reader = join(format, &params);

				feed_rig_settle(&rig);
				check_payload(format, reader, text, strlen(text) - 2);
			}
			if (from % 4)
				continue;
			feed_rig_close(&rig);
			open_lines(engine);
			publish("1\n2\n");
			publish("3\n4\n");
			publish("5\n");
		}
		feed_rig_close(&rig);
	}
}

static void what_the_ring_has_given_up_is_refused(void **state)
{
	struct subscriber_params params = {.has_from = true, .on_slow = ON_SLOW_WAIT};
	struct rig_stream stream = text_lines(600000, 3000);
	uint64_t oldest, next;
	int fds[2];

	(void)state;
	open_lines(ENGINE_COPY);
	formats[CHUNKED].rendition->ring.params.max_bytes = 100000;
	feed_rig_publish(&rig, stream.bytes, stream.size);
	rendition_range(formats[CHUNKED].rendition, &oldest, &next);
	assert_true(oldest > 1 && oldest < next);
	assert_int_equal(next, stream.messages + 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	params.from_seq = oldest - 1;
	assert_int_equal(subscriber_join(formats[CHUNKED].rendition, fds[0], &params), -ERANGE);
	assert_int_equal(feed_subscriber_count(rig.feed), 0);
	assert_int_equal(write(fds[0], "x", 1), 1); // the socket is still ours, and open
	close(fds[0]);
	close(fds[1]);
	params.from_seq = oldest;
	const size_t reader = join(CHUNKED, &params);

	feed_rig_settle(&rig);
	assert_true(rig.readers[reader].size > 0);
	feed_rig_close(&rig);
	feed_rig_free_stream(&stream);
}

// --- ends

static void whoever_has_read_all_is_told_goodbye(void **state)
{
	struct rig_stream stream = text_lines(500000, 3000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		open_lines(engine);
		for (size_t i = 0; i < 2 * FORMATS; i++) {
			feed_rig_join_rendition(&rig, formats[i % FORMATS].rendition, true,
						i < FORMATS ? SMALL : 0, NULL);
			rig.readers[i].is_paused = i < FORMATS; // these block
		}
		feed_rig_publish(&rig, stream.bytes, stream.size);
		feed_drain(rig.feed);
		feed_rig_settle(&rig);
		for (size_t i = 0; i < FORMATS; i++)
			rig.readers[i].is_paused = false;
		for (int i = 0; i < 200 && feed_subscriber_count(rig.feed); i++)
			feed_rig_settle(&rig);
		feed_rig_settle(&rig);
		assert_int_equal(rig.feed->fanout.closed[CLOSE_DRAIN], 2 * FORMATS);
		for (size_t i = 0; i < 2 * FORMATS; i++) {
			struct format_wire wire = read_wire(i % FORMATS, i);

			assert_true(rig.readers[i].has_ended);
			assert_int_equal(rig.readers[i].end_errno, 0);
			assert_true(wire.has_ended || i % FORMATS == EVENTS);
			assert_int_equal(wire.code,
					 wire.has_ended && i % FORMATS != CHUNKED ? 1001 : 0);
			free(wire.payload);
			check_payload(i % FORMATS, i, stream.bytes, stream.size);
		}
		feed_rig_check_metrics(&rig);
		feed_rig_close(&rig);
	}
	feed_rig_free_stream(&stream);
}

static void whoever_is_cut_short_gets_no_clean_end(void **state)
{
	struct rig_stream stream = text_lines(4000000, 3000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		open_lines(engine);
		feed_rig_join_rendition(&rig, formats[CHUNKED].rendition, true, SMALL, NULL);
		rig.readers[0].is_paused = true;
		feed_rig_publish(&rig, stream.bytes, stream.size);
		subscriber_close(feed_rig_newest(formats[CHUNKED].rendition), CLOSE_REMOVED);
		rig.readers[0].is_paused = false;
		feed_rig_settle(&rig);
		struct format_wire wire = read_wire(CHUNKED, 0);

		assert_false(wire.has_ended);
		assert_int_equal(rig.readers[0].end_errno, ECONNRESET);
		free(wire.payload);
		feed_rig_close(&rig);
	}
	feed_rig_free_stream(&stream);
}

/* An end of the session that a relay above announces is not the end of the subscribers. */
static void a_new_session_does_not_end_the_stream(void **state)
{
	struct feed_params params = feed_rig_params(FRAMING_RELAY, ENGINE_COPY);
	uint8_t wire[2][PACKET_HEADER_BYTES + 2];

	(void)state;
	open_feed(&params);
	for (size_t i = 0; i < FORMATS; i++)
		(void)join(i, NULL);
	for (unsigned i = 0; i < 2; i++) {
		const struct packet_header header = {.count = 1,
						     .length = 2,
						     .session = 8 + i,
						     .sequence = 9 + 10 * i,
						     .time = 1};

		packet_header_encode(&header, wire[i]);
		memcpy(wire[i] + PACKET_HEADER_BYTES, i ? "b\n" : "a\n", 2);
		feed_rig_publish(&rig, wire[i], sizeof(wire[i]));
	}
	for (size_t i = 0; i < FORMATS; i++)
		check_payload(i, i, i == EVENTS ? "a\n\nb\n\n" : "a\nb\n", i == EVENTS ? 6 : 4);
	assert_int_equal(feed_subscriber_count(rig.feed), FORMATS);
	feed_rig_close(&rig);
}

// --- notes and input

struct listener {
	unsigned calls, frees;
	size_t bytes;
	enum close_reason answer;
	const char *note;
	bool is_full;
};

static enum close_reason on_bytes(void *owner, struct subscriber *subscriber, uint8_t *bytes,
				  size_t count)
{
	struct listener *listener = owner;

	listener->calls++;
	listener->bytes += count;
	memset(bytes, 0, count);
	if (listener->note)
		listener->is_full = !subscriber_send_note(
			subscriber, (const uint8_t *)listener->note, strlen(listener->note));
	return listener->answer;
}

static void on_free(void *owner)
{
	((struct listener *)owner)->frees++;
}

static const struct subscriber_input input = {.on_bytes = on_bytes, .free = on_free};

static void what_one_sends_is_answered_between_packets(void **state)
{
	static const char pong[] = "\x8a\x02hi";
	struct rig_stream stream = text_lines(3000000, 300000);

	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		struct listener listener = {.answer = CLOSE_REASON_COUNT, .note = pong};
		const struct subscriber_params params = {
			.on_slow = ON_SLOW_WAIT, .input = &input, .input_owner = &listener};
		const uint8_t *bytes;
		size_t at = 2;

		open_lines(engine);
		feed_rig_join_rendition(&rig, formats[BINARY].rendition, true, SMALL, &params);
		assert_int_equal(write(rig.readers[0].fd, "one", 3), 3);
		while (rig.readers[0].size < 2 + 4) // at once while it is idle
			(void)feed_rig_turn(&rig);
		assert_memory_equal(rig.readers[0].bytes + 2, pong, 4);
		rig.readers[0].is_paused = true;
		feed_rig_publish(&rig, stream.bytes, stream.size);
		assert_int_equal(write(rig.readers[0].fd, "two", 3), 3);
		while (listener.calls < 2)
			(void)feed_rig_turn(&rig);
		rig.readers[0].is_paused = false;
		feed_rig_settle(&rig);
		// the frames are whole: the pong stands between two, not at the end
		bytes = rig.readers[0].bytes;
		assert_int_equal(rig.readers[0].size - 2 - 4 - 4 > stream.size, true);
		for (unsigned pongs = 0; pongs < 2;) {
			uint64_t length = bytes[at + 1];
			size_t extra = length == 127 ? 8 : length == 126 ? 2 : 0;

			for (size_t i = 0; i < extra; i++)
				length = (i ? length << 8 : 0) | bytes[at + 2 + i];
			assert_true(bytes[at] == 0x82 || bytes[at] == 0x8a);
			if (bytes[at] == 0x8a) {
				assert_memory_equal(bytes + at, pong, 4);
				pongs++;
			}
			at += 2 + extra + length;
			assert_true(at <= rig.readers[0].size);
		}
		assert_true(at < rig.readers[0].size);
		assert_int_equal(listener.bytes, 6);
		assert_int_equal(listener.frees, 0);
		assert_int_equal(rig.feed->metrics.subscriber_input, 6);
		feed_rig_check_metrics(&rig);
		feed_rig_close(&rig);
		assert_int_equal(listener.frees, 1);
	}
	feed_rig_free_stream(&stream);
}

static void notes_that_wait_are_bounded_and_may_come_from_outside(void **state)
{
	uint8_t note[100] = {0x8a, 98};
	struct rig_stream stream = text_lines(3000000, 3000);
	struct subscriber *subscriber;
	unsigned added = 0;

	(void)state;
	open_lines(ENGINE_SPLICE);
	feed_rig_join_rendition(&rig, formats[BINARY].rendition, true, SMALL, NULL);
	subscriber = feed_rig_newest(formats[BINARY].rendition);
	assert_true(subscriber_send_note(subscriber, note, sizeof(note)));
	while (rig.readers[0].size < 102)
		(void)feed_rig_turn(&rig);
	assert_null(subscriber->notes.bytes); // no memory while none wait
	rig.readers[0].is_paused = true;
	feed_rig_publish(&rig, stream.bytes, stream.size);
	while (added < 1000 && subscriber_send_note(subscriber, note, sizeof(note)))
		added++;
	assert_int_equal(added, NOTES_MAX / sizeof(note));
	feed_rig_close(&rig);
	feed_rig_free_stream(&stream);
}

static bool has_ended(const struct feed_rig *some)
{
	return some->readers[0].has_ended;
}

static void who_reads_the_input_may_close_and_has_the_last_word(void **state)
{
	static const enum close_reason reasons[] = {CLOSE_PEER_CLOSED, CLOSE_INPUT};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		struct listener listener = {.answer = reasons[i], .note = "\x88\x02\x03\xea"};
		const struct subscriber_params params = {
			.on_slow = ON_SLOW_WAIT, .input = &input, .input_owner = &listener};
		struct format_wire wire;

		open_lines(ENGINE_COPY);
		(void)join(BINARY, &params);
		assert_int_equal(write(rig.readers[0].fd, "end", 3), 3);
		feed_rig_run_until(&rig, has_ended);
		assert_int_equal(rig.readers[0].end_errno, 0);
		wire = read_wire(BINARY, 0);
		assert_int_equal(wire.code, 1002);
		assert_int_equal(wire.torn_bytes, 0);
		free(wire.payload);
		assert_int_equal(rig.feed->fanout.closed[reasons[i]], 1);
		assert_int_equal(listener.calls, 1);
		(void)feed_rig_turn(&rig);
		assert_int_equal(listener.frees, 1);
		feed_rig_close(&rig);
		assert_int_equal(listener.frees, 1);
	}
}

// --- pipes and branches

static void an_end_takes_the_last_slot_or_one_more_pipe(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_SPLICE);
	struct chain chain = {.count = 0};
	unsigned slots;

	(void)state;
	open_feed(&params);
	assert_true(chain_put_header(&rig.feed->pipes, &chain, (const uint8_t *)"h", 1));
	slots = chain.pipes[0].slots;
	for (unsigned used = 1; used <= slots; used++) {
		assert_int_equal(chain.count, 1);
		assert_int_equal(chain.pipes[0].held_bytes, 2 * used - 1);
		assert_true(
			chain_put_trailer(&rig.feed->pipes, &chain, (const uint8_t *)"\r\n", 2));
	}
	assert_int_equal(chain.count, 2);
	assert_int_equal(chain.pipes[1].held_bytes, 2);
	chain_drop(&rig.feed->pipes, &chain);
	feed_rig_close(&rig);
}

/* A branch as another worker has it, here in the same loop. */
struct branch {
	struct feed *feed;
	struct inbox inbox;
	struct crossing *crossing;
	struct rendition *renditions[FORMATS];
};

static struct branch branch;

static void open_branch(struct feed_params params)
{
	const struct feed_events events = {.owner = NULL};

	params.is_branch = true;
	assert_int_equal(feed_new(rig.loop, &params, &events, &branch.feed), 0);
	inbox_open(&branch.inbox, rig.loop);
	assert_int_equal(crossing_new(&rig.feed->publish.crossings, &branch.inbox, branch.feed,
				      &branch.inbox, &branch.crossing),
			 0);
	crossing_attach_branch(branch.crossing);
	crossing_attach_home(branch.crossing);
	for (size_t i = 0; i < FORMATS; i++) {
		branch.renditions[i] = feed_open_rendition(branch.feed, formats[i].encoder);
		assert_non_null(branch.renditions[i]);
	}
}

static void close_branch(void)
{
	crossing_detach_home(branch.crossing);
	crossing_detach_branch(branch.crossing);
	feed_free(&branch.feed, CLOSE_REMOVED);
	inbox_close(&branch.inbox);
	crossing_free(&branch.crossing);
	feed_rig_close(&rig);
}

static bool is_awake(const struct feed_rig *some)
{
	(void)some;
	return branch.feed->publish.is_awake;
}

static size_t expected_bytes;

static bool have_all(const struct feed_rig *some)
{
	for (size_t i = 0; i < some->reader_count; i++) {
		struct format_wire wire = read_wire(i % FORMATS, i);

		free(wire.payload);
		if (wire.size < expected_bytes)
			return false;
	}
	return true;
}

static void a_branch_has_every_format(void **state)
{
	struct rig_stream stream = text_lines(600000, 3000);

	(void)state;
	expected_bytes = stream.size;
	FOR_EVERY_ENGINE(engine)
	{
		const struct feed_params params = feed_rig_params(FRAMING_LINE, engine);

		open_feed(&params);
		open_branch(params);
		for (size_t i = 0; i < 2 * FORMATS; i++)
			feed_rig_join_rendition(&rig, branch.renditions[i % FORMATS], true, 0,
						NULL);
		feed_rig_run_until(&rig, is_awake);
		rig.left = stream.bytes;
		rig.left_bytes = stream.size;
		feed_rig_run_until(&rig, have_all);
		for (size_t i = 0; i < 2 * FORMATS; i++)
			check_payload(i % FORMATS, i, stream.bytes, stream.size);
		assert_int_equal(branch.feed->metrics.engine_fallbacks, 0);
		assert_int_equal(rig.feed->metrics.crossing_losses, 0);
		close_branch();
	}
	feed_rig_free_stream(&stream);
}

/* What a branch slept through is told, or ends the subscriber; it is not passed over. */
static void a_branch_that_slept_says_what_is_missing(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);
	const struct subscriber_params past = {.has_from = true, .from_seq = 2};
	const struct subscriber_params present = {.has_from = true, .from_seq = 4};
	struct format_wire wire;

	(void)state;
	open_feed(&params);
	open_branch(params);
	publish("1\n2\n3\n");
	feed_rig_join_rendition(&rig, branch.renditions[BINARY], true, 0, &past);
	feed_rig_join_rendition(&rig, branch.renditions[CHUNKED], true, 0, &past);
	feed_rig_join_rendition(&rig, branch.renditions[MESSAGES], true, 0, &present);
	feed_rig_run_until(&rig, is_awake);
	feed_rig_settle(&rig);
	assert_int_equal(branch.feed->fanout.closed[CLOSE_LAG], 1);
	assert_int_equal(feed_subscriber_count(branch.feed), 2);
	wire = read_wire(BINARY, 0);
	assert_int_equal(wire.gaps, 1);
	assert_memory_equal(rig.readers[0].bytes + 2, "{\"gap\":{\"from\":2,\"to\":4}}", 25);
	free(wire.payload);
	wire = read_wire(MESSAGES, 2);
	assert_int_equal(wire.gaps, 0);
	assert_int_equal(wire.torn_bytes, 0);
	free(wire.payload);
	close_branch();
}

/* Publishes and takes in at home, before either loop has run. */
static void publish_at_home(const char *text)
{
	int err = 0;

	rig.left = (const uint8_t *)text;
	rig.left_bytes = strlen(text);
	assert_int_equal(write(rig.publisher_fd, rig.left, rig.left_bytes), rig.left_bytes);
	rig.left_bytes = 0;
	assert_int_equal(feed_take(rig.feed, &rig.source, &err), INTAKE_TOOK);
}

/* Home has not heard of it yet, and is already taking in: the bytes came after the question. */
static void a_branch_gets_what_comes_after_it_asked(void **state)
{
	(void)state;
	FOR_EVERY_ENGINE(engine)
	{
		const struct feed_params params = feed_rig_params(FRAMING_LINE, engine);
		struct format_wire wire;

		open_feed(&params);
		open_branch(params);
		feed_rig_settle(&rig);
		feed_rig_join_rendition(&rig, branch.renditions[CHUNKED], false, 0, NULL);
		publish_at_home("1\n2\n");
		expected_bytes = 4;
		feed_rig_run_until(&rig, have_all);
		wire = read_wire(CHUNKED, 0);
		assert_memory_equal(wire.payload, "1\n2\n", 4);
		free(wire.payload);
		close_branch();
	}
}

static bool has_heard_of_the_source(const struct feed_rig *some)
{
	struct format_wire wire = read_wire(EVENTS, 0);

	(void)some;
	free(wire.payload);
	return wire.sources == 2;
}

/* That there is no source, then that there is one. */
static void a_branch_hears_of_a_source_that_comes_after_it_asked(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);

	(void)state;
	open_feed(&params);
	open_branch(params);
	feed_rig_end_source(&rig);
	feed_rig_join_rendition(&rig, branch.renditions[EVENTS], false, 0, NULL);
	feed_source_up(rig.feed);
	feed_rig_run_until(&rig, has_heard_of_the_source);
	close_branch();
}

static void a_branch_can_be_made_to_catch_up(void **state)
{
	const struct feed_params params = feed_rig_params(FRAMING_LINE, ENGINE_COPY);
	uint64_t oldest, next;

	(void)state;
	open_feed(&params);
	open_branch(params);
	feed_rig_join_rendition(&rig, branch.renditions[CHUNKED], false, 0, NULL);
	feed_rig_run_until(&rig, is_awake);
	publish_at_home("1\n2\n");
	rendition_range(branch.renditions[CHUNKED], &oldest, &next);
	assert_int_equal(next, 1);
	feed_catch_up(branch.feed);
	rendition_range(branch.renditions[CHUNKED], &oldest, &next);
	assert_int_equal(next, 3);
	feed_catch_up(rig.feed); /* home is never behind itself */
	close_branch();
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
		TEST(what_one_sends_is_answered_between_packets),
		TEST(notes_that_wait_are_bounded_and_may_come_from_outside),
		TEST(who_reads_the_input_may_close_and_has_the_last_word),
		TEST(an_end_takes_the_last_slot_or_one_more_pipe),
		TEST(a_branch_has_every_format),
		TEST(a_branch_that_slept_says_what_is_missing),
		TEST(a_branch_gets_what_comes_after_it_asked),
		TEST(a_branch_hears_of_a_source_that_comes_after_it_asked),
		TEST(a_branch_can_be_made_to_catch_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
