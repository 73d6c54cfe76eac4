// SPDX-License-Identifier: MIT
/*
 * A feed while the kernel refuses, fails, interrupts or does less than asked.
 *
 * For every call of the data path, every errno that matters and every place in the stream: each
 * subscriber gets the same bytes, or it is closed with a reason and what it got is a true
 * beginning.  Nobody is ever given a wrong byte, and nothing is left open.
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
#include <sys/resource.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "tests/fault/wrap.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/leave_out.h"

enum {
	READERS = 4
};

static struct feed_rig rig;
static char what[160]; // is being done, for the message of a failure

static const int errnos[] = {EAGAIN, EINTR, EINVAL, ENOMEM,     EMFILE,
			     ENFILE, EPIPE, ENOSYS, ECONNRESET, EPERM};

static const struct {
	enum wrap_call call;
	const char *name;
} calls[] = {
	{WRAP_SPLICE_IN, "splice_in"}, {WRAP_SPLICE_OUT, "splice_out"},
	{WRAP_SPLICE_ELSE, "discard"}, {WRAP_TEE, "tee"},
	{WRAP_VMSPLICE, "vmsplice"},   {WRAP_PIPE2, "pipe2"},
	{WRAP_RECV, "recv"},           {WRAP_SOCKETPAIR, "socketpair"},
	{WRAP_SEND_PAIR, "send_pair"}, {WRAP_SPLICE_PAIR, "splice_pair"},
};

static int setup(void **state)
{
	wrap_reset();
	return feed_rig_setup(state);
}

static void open_feed(enum framing_kind kind, enum engine engine)
{
	struct feed_params params = feed_rig_params(kind, engine);

	params.segment_bytes = 32768;
	params.ring_bytes = 200000;
	params.framing.fixed_bytes = 700;
	feed_rig_open(&rig, &params, false);
	for (int i = 0; i < READERS; i++)
		feed_rig_join(&rig, i % 2, i / 2, 0, NULL);
}

static void check(bool holds, const char *claim)
{
	if (!holds)
		fail_msg("%s: not so: %s", what, claim);
}

static uint64_t closed_count(void)
{
	uint64_t closed = 0;

	for (int i = 0; i < CLOSE_REASON_COUNT; i++)
		closed += rig.feed->fanout.closed[i];
	return closed;
}

// Everything, or a true beginning and an end that is known by its reason.
static void check_readers(const struct rig_stream *stream, bool source_has_ended)
{
	uint64_t ended = 0;

	for (size_t i = 0; i < READERS; i++) {
		const struct rig_reader *reader = &rig.readers[i];
		struct rig_wire wire = {.payload = reader->bytes, .size = reader->size};

		if (reader->is_framed)
			wire = feed_rig_parse(reader);
		ended += reader->has_ended;
		check(wire.gaps == 0, "nobody is skipped");
		check(wire.size <= stream->payload_size, "no byte too many");
		check(wire.size == 0 || memcmp(wire.payload, stream->payload, wire.size) == 0,
		      "the bytes are the publisher's");
		if (!reader->has_ended) {
			check(wire.torn_bytes == 0, "packets are whole");
			check(wire.size == stream->payload_size || source_has_ended,
			      "who stays gets everything");
		} else {
			check(reader->end_errno == ECONNRESET || wire.torn_bytes == 0 || !(i / 2),
			      "a torn end is a reset");
		}
		if (reader->is_framed)
			free(wire.payload);
	}
	check(ended == closed_count(), "every end has its reason");
}

static void run_stream(const struct rig_stream *stream)
{
	feed_rig_publish(&rig, stream->bytes, stream->size);
	check_readers(stream, rig.source.fd < 0);
	feed_rig_check_metrics(&rig);
	check(rig.feed->metrics.in_bytes == stream->payload_size || rig.source.fd < 0,
	      "all was taken in");
	wrap_reset();
	feed_rig_close(&rig);
}

// A run without faults: how often is each call made?
static void count_calls(enum framing_kind kind, enum engine engine, const struct rig_stream *stream,
			unsigned *ret_counts)
{
	wrap_reset();
	open_feed(kind, engine);
	feed_rig_publish(&rig, stream->bytes, stream->size);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		ret_counts[i] = wrap_count(calls[i].call);
	wrap_reset();
	feed_rig_close(&rig);
}

static struct rig_stream stream_for(enum framing_kind kind, size_t size)
{
	const struct framing_params framing = {.kind = kind, .fixed_bytes = 700};

	return feed_rig_make_stream(&framing, size, 3000, 11);
}

static const enum framing_kind kinds[] = {FRAMING_NONE, FRAMING_FIXED, FRAMING_U32BE,
					  FRAMING_RELAY};

// The nth of each call fails, once or from there on.
static void fail_everywhere(enum engine engine, bool for_ever)
{
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct rig_stream stream = stream_for(kinds[k], 120000);
		unsigned counts[ARRAY_LEN(calls)];

		count_calls(kinds[k], engine, &stream, counts);
		for (size_t c = 0; c < ARRAY_LEN(calls); c++) {
			const unsigned step = 1 + counts[c] / 5;

			for (unsigned nth = 1; nth <= counts[c]; nth += step) {
				for (size_t e = 0; e < ARRAY_LEN(errnos); e++) {
					if (for_ever && (errnos[e] == EINTR || errnos[e] == EAGAIN))
						continue;
					(void)snprintf(what, sizeof(what),
						       "%s framing %d, %s no. %u %s: %s",
						       engine_name(engine), kinds[k], calls[c].name,
						       nth, for_ever ? "and on" : "once",
						       strerror(errnos[e]));
					open_feed(kinds[k], engine);
					(for_ever ? wrap_fail_from
						  : wrap_fail_once)(calls[c].call, nth, errnos[e]);
					run_stream(&stream);
				}
			}
		}
		feed_rig_free_stream(&stream);
	}
}

static void one_failed_call_with_splice(void **state)
{
	(void)state;
	fail_everywhere(ENGINE_SPLICE, false);
}

static void one_failed_call_with_compact(void **state)
{
	(void)state;
	fail_everywhere(ENGINE_COMPACT, false);
}

static void calls_that_fail_from_some_time_on_with_splice(void **state)
{
	(void)state;
	fail_everywhere(ENGINE_SPLICE, true);
}

static void calls_that_fail_from_some_time_on_with_compact(void **state)
{
	(void)state;
	fail_everywhere(ENGINE_COMPACT, true);
}

static void short_calls(void **state)
{
	static const size_t caps[] = {1, 7, 1000, 4096, 5000};

	(void)state;
	for (enum engine engine = ENGINE_SPLICE; engine <= ENGINE_COMPACT;
	     engine = (enum engine)(engine + 1)) {
		for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
			for (size_t c = 0; c < ARRAY_LEN(calls); c++) {
				if (calls[c].call == WRAP_PIPE2 || calls[c].call == WRAP_SOCKETPAIR)
					continue;
				for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
					struct rig_stream stream =
						stream_for(kinds[k], caps[i] < 10 ? 3000 : 60000);

					(void)snprintf(what, sizeof(what),
						       "%s framing %d, %s of at most %zu",
						       engine_name(engine), kinds[k], calls[c].name,
						       caps[i]);
					open_feed(kinds[k], engine);
					wrap_cap(calls[c].call, caps[i]);
					run_stream(&stream);
					feed_rig_free_stream(&stream);
				}
			}
		}
	}
}

// --- fallbacks are counted

static void a_refused_call_means_copying_for_everybody(void **state)
{
	static const int refusals[] = {EINVAL, EPERM, ENOSYS, EOPNOTSUPP};
	static const enum wrap_call refused[] = {WRAP_SPLICE_IN, WRAP_SPLICE_OUT, WRAP_TEE};
	struct rig_stream stream = stream_for(FRAMING_U32BE, 300000);

	(void)state;
	for (size_t e = 0; e < ARRAY_LEN(refusals); e++) {
		for (size_t c = 0; c < ARRAY_LEN(refused); c++) {
			open_feed(FRAMING_U32BE, ENGINE_SPLICE);
			wrap_fail_from(refused[c], 1, refusals[e]);
			feed_rig_publish(&rig, stream.bytes, stream.size);
			for (size_t i = 0; i < READERS; i++)
				feed_rig_check_payload(&rig, i, stream.bytes, stream.size);
			assert_true(rig.feed->metrics.refused_calls > 0);
			assert_int_equal(rig.feed->metrics.spliced_bytes, 0);
			assert_int_equal(rig.feed->metrics.copied_bytes +
						 rig.feed->metrics.noted_bytes,
					 rig.feed->metrics.delivered_bytes);
			// it is not asked again and again
			assert_true(rig.feed->metrics.refused_calls < 20);
			feed_rig_check_metrics(&rig);
			wrap_reset();
			feed_rig_close(&rig);
		}
	}
	feed_rig_free_stream(&stream);
}

/* Every reader gets everything, and by compact: `written` says whether it had to be written. */
static void run_compact(const struct rig_stream *stream, bool is_written)
{
	struct metrics *metrics = &rig.feed->metrics;

	feed_rig_publish(&rig, stream->bytes, stream->size);
	for (size_t i = 0; i < READERS; i++)
		feed_rig_check_payload(&rig, i, stream->bytes, stream->size);
	assert_int_equal(metrics->compacted_bytes + metrics->noted_bytes, metrics->delivered_bytes);
	assert_int_equal(metrics->engine_fallbacks, 0);
	if (is_written)
		assert_int_equal(metrics->dense_bytes, 0);
	else
		assert_int_equal(metrics->dense_bytes, stream->payload_size);
	assert_int_equal(metrics->written_bytes >= stream->payload_size, is_written);
	feed_rig_check_metrics(&rig);
	wrap_reset();
	feed_rig_close(&rig);
}

static void without_a_socket_pair_compact_writes(void **state)
{
	static const enum wrap_call refused[] = {WRAP_SOCKETPAIR, WRAP_SEND_PAIR, WRAP_SPLICE_PAIR};
	static const int refusals[] = {EPERM, ENOSYS};
	struct rig_stream stream = stream_for(FRAMING_U32BE, 300000);

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(refused); c++) {
		for (size_t e = 0; e < ARRAY_LEN(refusals); e++) {
			open_feed(FRAMING_U32BE, ENGINE_COMPACT);
			wrap_fail_from(refused[c], 1, refusals[e]);
			run_compact(&stream, true);
		}
	}
	open_feed(FRAMING_U32BE, ENGINE_COMPACT);
	run_compact(&stream, false);
	feed_rig_free_stream(&stream);
}

/* What had been sent into the pair before it failed never comes out again: packets are exact, and
 * once nothing fails any more they go by a new pair. */
static void a_pair_that_failed_leaves_nothing_behind(void **state)
{
	static const enum wrap_call failing[] = {WRAP_SEND_PAIR, WRAP_SPLICE_PAIR};
	struct rig_stream stream = stream_for(FRAMING_U32BE, 300000);
	const size_t half = stream.size / 2;

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(failing); c++) {
		open_feed(FRAMING_U32BE, ENGINE_COMPACT);
		wrap_cap(WRAP_SEND_PAIR, 1000); // many calls for one packet
		wrap_fail_from(failing[c], 3, EIO);
		feed_rig_publish(&rig, stream.bytes, half);
		assert_true(wrap_count(WRAP_SOCKETPAIR) > 1);
		wrap_reset();
		feed_rig_publish(&rig, stream.bytes + half, stream.size - half);
		for (size_t i = 0; i < READERS; i++)
			feed_rig_check_payload(&rig, i, stream.bytes, stream.size);
		assert_int_equal(rig.feed->metrics.refused_calls, 0);
		assert_true(rig.feed->metrics.dense_bytes > 0);
		assert_true(rig.feed->metrics.dense_bytes < stream.payload_size);
		assert_int_equal(rig.feed->pipes.pair.held_bytes, 0);
		wrap_reset();
		feed_rig_close(&rig);
	}
	feed_rig_free_stream(&stream);
}

static void without_vmsplice_headers_are_written(void **state)
{
	struct rig_stream stream = stream_for(FRAMING_U32BE, 300000);

	(void)state;
	for (enum engine engine = ENGINE_SPLICE; engine <= ENGINE_COMPACT;
	     engine = (enum engine)(engine + 1)) {
		open_feed(FRAMING_U32BE, engine);
		wrap_fail_from(WRAP_VMSPLICE, 1, EPERM);
		feed_rig_publish(&rig, stream.bytes, stream.size);
		for (size_t i = 0; i < READERS; i++)
			feed_rig_check_payload(&rig, i, stream.bytes, stream.size);
		assert_int_equal(rig.feed->metrics.gifted_bytes, 0);
		assert_true(rig.feed->metrics.written_bytes + rig.feed->metrics.engine_fallbacks >
			    0);
		assert_true(rig.feed->metrics.refused_calls < 20);
		wrap_reset();
		feed_rig_close(&rig);
	}
	feed_rig_free_stream(&stream);
}

static void without_pipes_a_feed_copies(void **state)
{
	static const int none[] = {EMFILE, ENFILE};
	struct rig_stream stream = stream_for(FRAMING_U32BE, 300000);

	(void)state;
	for (size_t e = 0; e < ARRAY_LEN(none); e++) {
		wrap_fail_from(WRAP_PIPE2, 1, none[e]);
		open_feed(FRAMING_U32BE, ENGINE_SPLICE);
		assert_false(rig.feed->pipes.has_pipes);
		feed_rig_publish(&rig, stream.bytes, stream.size);
		for (size_t i = 0; i < READERS; i++)
			feed_rig_check_payload(&rig, i, stream.bytes, stream.size);
		assert_int_equal(rig.feed->metrics.spliced_bytes, 0);
		wrap_reset();
		feed_rig_close(&rig);

		// and when they end while it runs, the packets that had to be copied are counted
		open_feed(FRAMING_U32BE, ENGINE_SPLICE);
		wrap_fail_from(WRAP_PIPE2, 1, none[e]);
		feed_rig_publish(&rig, stream.bytes, stream.size);
		for (size_t i = 0; i < READERS; i++)
			feed_rig_check_payload(&rig, i, stream.bytes, stream.size);
		assert_true(rig.feed->metrics.engine_fallbacks > 0);
		wrap_reset();
		feed_rig_close(&rig);
	}
	feed_rig_free_stream(&stream);
}

/* One stands in a segment that the ring has dropped when tee begins to be refused: that segment
 * becomes a block, and the ring's count of pipes is none of its business. */
static void a_dropped_segment_may_turn_to_memory(void **state)
{
	const struct subscriber_params params = {.on_slow = ON_SLOW_SKIP};
	struct rig_stream stream = stream_for(FRAMING_U32BE, 1500000);
	struct rig_wire wire;

	(void)state;
	open_feed(FRAMING_U32BE, ENGINE_SPLICE);
	const size_t slow = feed_rig_join(&rig, true, true, 65536, &params);

	rig.readers[slow].is_paused = true;
	feed_rig_publish(&rig, stream.bytes, stream.size);
	assert_int_equal(rig.left_bytes, 0);
	wrap_fail_from(WRAP_TEE, 1, EPERM);
	rig.readers[slow].is_paused = false;
	feed_rig_settle(&rig);
	assert_true(rig.framed->ring.pipe_count <= rig.framed->ring.segment_count);
	feed_rig_publish(&rig, stream.bytes, stream.size); // trims again
	wire = feed_rig_parse(&rig.readers[slow]);
	assert_int_equal(wire.torn_bytes, 0);
	assert_true(wire.gaps > 0);
	assert_int_equal(wire.messages + wire.missed, 2 * stream.messages);
	free(wire.payload);
	feed_rig_check_metrics(&rig);
	wrap_reset();
	feed_rig_close(&rig);
	feed_rig_free_stream(&stream);
}

// --- no memory

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum {
	CAN_LIMIT_MEMORY = 0
}; // a sanitizer ends the process where malloc(3) returns NULL
#else
enum {
	CAN_LIMIT_MEMORY = 1
};
#endif

static rlim_t mapped_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu", &pages), 1);
	(void)fclose(file);
	return (rlim_t)pages * 4096;
}

/* The payload of one packet can be neither teed nor copied.  Its readers are closed with the
 * reason; it must not come back to light in front of the next packet. */
static void a_packet_lost_for_want_of_memory_stays_lost(void **state)
{
	struct feed_params params = feed_rig_params(FRAMING_U32BE, ENGINE_SPLICE);
	struct rlimit before, tight;
	uint8_t *message;

	(void)state;
	if (!CAN_LIMIT_MEMORY)
		leave_out("no error when memory runs out: a sanitizer ends the process");
	message = calloc(1, 4 + 900000);
	memcpy(message, (const uint8_t[]){0, 0x0d, 0xbb, 0xa0}, 4); // 900000
	params.segment_bytes = 1 << 20;
	feed_rig_open(&rig, &params, false);
	feed_rig_join(&rig, true, false, 0, NULL);
	feed_rig_join(&rig, false, false, 0, NULL);
	rig.left = message;
	rig.left_bytes = 4 + 900000;
	while (rig.feed->metrics.in_packets == 0 && rig.left_bytes > 30000)
		(void)feed_rig_turn(&rig);
	assert_int_equal(rig.feed->metrics.in_packets, 0);
	wrap_fail_from(WRAP_TEE, 1, ENOMEM);
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	tight = (struct rlimit){.rlim_cur = mapped_bytes(), .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
	for (int i = 0; i < 200 && rig.feed->metrics.in_packets == 0; i++)
		(void)feed_rig_turn(&rig);
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	wrap_reset();
	assert_int_equal(rig.feed->metrics.in_packets, 1);
	assert_true(rig.feed->fanout.closed[CLOSE_NO_MEMORY] > 0);
	// Each format has said so, once a second at most; lines held back are told as a sum.
	assert_true(rig.raw->losses_log.last_ns > 0 && rig.framed->losses_log.last_ns > 0);
	rig.raw->losses_log.suppressed = 3;
	feed_tick(rig.feed, rig.raw->losses_log.last_ns / NS_PER_MS + 2000);
	assert_int_equal(rig.raw->losses_log.suppressed, 0);
	const size_t late = feed_rig_join(&rig, true, false, 0, NULL);

	rig.left_bytes = 0;
	feed_rig_publish(&rig, (const uint8_t[]){0, 0, 0, 2, 'o', 'k'}, 6);
	feed_rig_check_payload(&rig, late, (const uint8_t[]){0, 0, 0, 2, 'o', 'k'}, 6);
	feed_rig_close(&rig);
	free(message);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_refused_call_means_copying_for_everybody),
		TEST(without_a_socket_pair_compact_writes),
		TEST(a_pair_that_failed_leaves_nothing_behind),
		TEST(without_vmsplice_headers_are_written),
		TEST(without_pipes_a_feed_copies),
		TEST(a_dropped_segment_may_turn_to_memory),
		TEST(a_packet_lost_for_want_of_memory_stays_lost),
		TEST(short_calls),
		TEST(one_failed_call_with_splice),
		TEST(one_failed_call_with_compact),
		TEST(calls_that_fail_from_some_time_on_with_splice),
		TEST(calls_that_fail_from_some_time_on_with_compact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
