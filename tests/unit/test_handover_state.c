// SPDX-License-Identifier: MIT
/*
 * The state of a hand-over: what is written is read as it was, and nothing else is read.
 *
 * A small state that is right is made wrong in one place at a time, and must be refused for the
 * reason that belongs to that place; cut anywhere, it must be refused too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "continuity/kept_fds.h"
#include "serve/handover.h"
#include "serve/worker.h"
#include "tests/unit/handover_sample.h"

static void write_sample(struct sample *sample, struct state_stream *stream)
{
	state_stream_write(stream);
	handover_transfer(stream, &sample->handover);
	assert_null(stream->fault);
}

/* NULL: it was read. */
static const char *read_stream(const struct state_stream *from, size_t length, struct handover *ret)
{
	struct state_stream stream;
	const char *fault;

	*ret = (struct handover){.config.fd = -1};
	state_stream_read(&stream, from->bytes, length, NULL);
	handover_transfer(&stream, ret);
	fault = stream.fault;
	state_stream_free(&stream);
	return fault;
}

static void test_comes_back_as_it_was(void **state)
{
	struct state_stream one, other;
	struct sample sample;
	struct handover back;

	(void)state;
	sample_fill(&sample);
	write_sample(&sample, &one);
	assert_null(read_stream(&one, one.length, &back));
	assert_int_equal(back.config.fd, FIRST_FD + 2);
	assert_int_equal(back.config.fallbacks, 5);
	assert_int_equal(back.feeds[0].parts[0].counts.metrics.in_bytes, 4711);
	assert_int_equal(back.feeds[0].parts[0].counts.closed[CLOSE_LAG], 3);
	assert_int_equal(back.feeds[0].parts[0].renditions[0].subscribers[1].fd, FIRST_FD + 4);
	assert_true(back.feeds[0].parts[0].renditions[0].subscribers[0].has_farewell);
	assert_true(back.feeds[0].parts[0].renditions[0].subscribers[0].ends_with_fin);
	assert_int_equal(back.feeds[0].parts[0].renditions[0].subscribers[0].until_ns, 77000000000);
	assert_int_equal(back.feeds[0].parts[0].renditions[0].subscribers[0].input_max_bytes, 4096);
	assert_true(back.feeds[0].parts[0].renditions[0].subscribers[2].is_replaying);
	assert_memory_equal(&back.feeds[0].parts[0].renditions[0].subscribers[2].from_files,
			    &sample.subscribers[2].from_files, sizeof(struct kept_replay));
	assert_int_equal(back.http_listeners[0].refused[HTTP_REFUSED_TOKEN], 8);
	assert_int_equal(back.http_listeners[0].counters.requests, 42);
	assert_int_equal(back.farewells.list[0].fd, FIRST_FD + 6);
	assert_memory_equal(back.farewells.list[0].bytes, "bye", 3);
	assert_int_equal(one.fd_count, FDS);
	state_stream_write(&other);
	handover_transfer(&other, &back);
	assert_int_equal(one.length, other.length);
	assert_memory_equal(one.bytes, other.bytes, one.length);
	assert_int_equal(one.fd_count, other.fd_count);
	assert_memory_equal(one.fds, other.fds, one.fd_count * sizeof(*one.fds));
	handover_free(&back);
	state_stream_free(&one);
	state_stream_free(&other);
}

static void test_cut_anywhere(void **state)
{
	struct state_stream stream;
	struct sample sample;
	struct handover back;

	(void)state;
	sample_fill(&sample);
	write_sample(&sample, &stream);
	for (size_t length = 0; length < stream.length; length++) {
		assert_non_null(read_stream(&stream, length, &back));
		handover_free(&back);
	}
	state_stream_free(&stream);
}

/* One of them did not come along. */
static void test_a_descriptor_is_missing(void **state)
{
	struct state_stream from, stream;
	struct sample sample;
	struct handover back;

	(void)state;
	sample_fill(&sample);
	write_sample(&sample, &from);
	for (size_t missing = 0; missing <= FDS; missing++) {
		int32_t numbers[FDS];
		int fds[FDS];
		struct kept_fds kept = {.numbers = numbers, .fds = fds};

		for (int i = 0; i < FDS; i++) {
			if ((size_t)i == missing)
				continue;
			numbers[kept.count] = FIRST_FD + i;
			fds[kept.count++] = FIRST_FD + 100 + i;
		}
		back = (struct handover){.config.fd = -1};
		state_stream_read(&stream, from.bytes, from.length, &kept);
		handover_transfer(&stream, &back);
		assert_true((stream.fault == NULL) == (missing == FDS));
		if (!stream.fault)
			assert_int_equal(back.sockets[0].fd, FIRST_FD + 100);
		for (size_t i = 0; !stream.fault && i < kept.count; i++)
			assert_int_equal(fds[i], -1);
		state_stream_free(&stream);
		handover_free(&back);
	}
	state_stream_free(&from);
}

/* Any byte may be anything: read or refused, and nothing worse. */
static void test_every_byte_wrong(void **state)
{
	struct state_stream stream;
	struct sample sample;
	struct handover back;

	(void)state;
	sample_fill(&sample);
	write_sample(&sample, &stream);
	for (size_t i = 0; i < stream.length; i++) {
		uint8_t before = stream.bytes[i];

		stream.bytes[i] = (uint8_t)~before;
		(void)read_stream(&stream, stream.length, &back);
		handover_free(&back);
		stream.bytes[i] = before;
	}
	state_stream_free(&stream);
}

static void no_workers(struct sample *sample)
{
	sample->handover.workers = 0;
}

static void many_workers(struct sample *sample)
{
	sample->handover.workers = WORKERS_MAX + 1;
}

static void home_nowhere(struct sample *sample)
{
	sample->feeds[0].home = 1;
}

static void no_parts(struct sample *sample)
{
	sample->feeds[0].part_count = 0;
}

static void no_listening_socket(struct sample *sample)
{
	sample->sockets[0].fd = -1;
}

static void no_subscriber_socket(struct sample *sample)
{
	sample->subscribers[0].fd = -1;
}

static void no_socket_to_say_goodbye(struct sample *sample)
{
	sample->farewells[0].fd = -1;
}

static void long_goodbye(struct sample *sample)
{
	sample->farewells[0].byte_count = FAREWELL_BYTES_MAX + 1;
}

static void unknown_policy(struct sample *sample)
{
	sample->subscribers[1].on_slow = ON_SLOW_REPLAY + 1;
}

static void long_note(struct sample *sample)
{
	sample->subscribers[0].note_bytes = NOTES_OWN_MAX + 1;
}

static void fast_input(struct sample *sample)
{
	sample->subscribers[0].input_bucket.per_second = UINT64_MAX;
}

static void unknown_framing(struct sample *sample)
{
	sample->parts[0].intake.framing = 99;
}

static void bad_header(struct sample *sample)
{
	sample->parts[0].intake.head_bytes = PACKET_HEADER_BYTES;
}

static void test_each_place_wrong(void **state)
{
	static const struct {
		void (*spoil)(struct sample *sample);
		const char *fault;
	} rows[] = {
		{no_workers, "workers"},
		{many_workers, "workers"},
		{home_nowhere, "home"},
		{no_parts, "parts of a feed"},
		{no_listening_socket, "listening socket"},
		{no_subscriber_socket, "socket of a subscriber"},
		{no_socket_to_say_goodbye, "socket of a farewell"},
		{long_goodbye, "length of a farewell"},
		{unknown_policy, "on_slow"},
		{long_note, "length of notes"},
		{fast_input, "rate of input"},
		{unknown_framing, "framing"},
		{bad_header, "packet header"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct state_stream stream;
		struct sample sample;
		struct handover back;

		sample_fill(&sample);
		rows[i].spoil(&sample);
		state_stream_write(&stream);
		handover_transfer(&stream, &sample.handover);
		/* The writer may notice it too; the reader has to. */
		if (!read_stream(&stream, stream.length, &back))
			fail_msg("row %zu (%s) was read", i, rows[i].fault);
		handover_free(&back);
		assert_string_equal(read_stream(&stream, stream.length, &back), rows[i].fault);
		handover_free(&back);
		state_stream_free(&stream);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_back_as_it_was),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_a_descriptor_is_missing),
		cmocka_unit_test(test_every_byte_wrong),
		cmocka_unit_test(test_each_place_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
