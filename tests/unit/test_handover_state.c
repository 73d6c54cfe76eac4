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
	assert_int_equal(state_stream_read(&stream, from->bytes, length, from->fds, from->fd_count),
			 0);
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
	assert_int_equal(back.feeds[0].parts[0].renditions[0].subscribers[1].fd, FIRST_FD + 6);
	assert_true(back.feeds[0].parts[0].renditions[0].subscribers[0].has_farewell);
	assert_true(back.feeds[0].parts[0].renditions[0].subscribers[0].ends_with_fin);
	assert_int_equal(back.feeds[0].parts[0].renditions[0].subscribers[0].until_ns, 77000000000);
	assert_int_equal(back.feeds[0].parts[0].renditions[0].subscribers[0].input_max_bytes, 4096);
	assert_true(back.feeds[0].parts[0].renditions[0].subscribers[2].is_replaying);
	assert_memory_equal(&back.feeds[0].parts[0].renditions[0].subscribers[2].from_files,
			    &sample.subscribers[2].from_files, sizeof(struct kept_replay));
	assert_int_equal(back.http_listeners[0].refused[HTTP_REFUSED_TOKEN], 8);
	assert_int_equal(back.http_listeners[0].counters.requests, 42);
	assert_int_equal(back.farewells.list[0].fd, FIRST_FD + 8);
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
	stream.fd_count--;
	assert_non_null(read_stream(&stream, stream.length, &back));
	handover_free(&back);
	state_stream_free(&stream);
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

static void half_a_pipe(struct sample *sample)
{
	sample->segments[1].write_fd = -1;
}

static void growing_pipe(struct sample *sample)
{
	sample->segments[1].is_sealed = false;
}

static void growing_in_the_middle(struct sample *sample)
{
	sample->segments[0].is_sealed = false;
}

static void empty_pipe(struct sample *sample)
{
	sample->segments[1].length = 0;
}

static void same_index(struct sample *sample)
{
	sample->segments[1].index = 3;
}

static void hole_in_the_ring(struct sample *sample)
{
	sample->segments[2].index = 8;
}

static void wrong_position(struct sample *sample)
{
	sample->segments[2].start_pos++;
}

static void beyond_the_edge(struct sample *sample)
{
	sample->renditions[0].ring.end_pos++;
}

static void newest_is_missing(struct sample *sample)
{
	sample->renditions[0].ring.next_index++;
}

static void continued_by_nothing(struct sample *sample)
{
	sample->segments[0].is_continued = true;
}

static void continues_nothing(struct sample *sample)
{
	sample->segments[2].is_continuation = true;
}

static void mark_behind_the_end(struct sample *sample)
{
	sample->marks[1].offset = 13;
}

static void marks_out_of_order(struct sample *sample)
{
	sample->marks[0].offset = 6;
}

static void block_too_small(struct sample *sample)
{
	sample->segments[2].block_bytes = 11;
}

static void block_too_large(struct sample *sample)
{
	sample->segments[2].block_bytes = 65537;
}

static void cursor_nowhere(struct sample *sample)
{
	sample->subscribers[0].cursor.index = 4;
}

static void cursor_behind_the_end(struct sample *sample)
{
	sample->subscribers[0].cursor.offset = 11;
}

static void cursor_at_another_position(struct sample *sample)
{
	sample->subscribers[0].cursor.pos = 45;
}

static void cursor_ahead(struct sample *sample)
{
	sample->subscribers[1].cursor.pos = 143;
}

static void cursor_in_the_future(struct sample *sample)
{
	sample->subscribers[1].cursor.next_index = 9;
}

static void end_in_the_future(struct sample *sample)
{
	sample->subscribers[1].end_pos = 143;
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
		{half_a_pipe, "pipe segment"},
		{growing_pipe, "pipe segment"},
		{growing_in_the_middle, "growing segment"},
		{empty_pipe, "pipe segment"},
		{same_index, "order of segments"},
		{hole_in_the_ring, "order of segments"},
		{wrong_position, "segment position"},
		{beyond_the_edge, "end of the ring"},
		{newest_is_missing, "newest segment"},
		{continued_by_nothing, "continued segment"},
		{continues_nothing, "continued segment"},
		{mark_behind_the_end, "mark offset"},
		{marks_out_of_order, "mark offset"},
		{block_too_small, "block size"},
		{block_too_large, "block size"},
		{cursor_nowhere, "cursor in a segment"},
		{cursor_behind_the_end, "cursor in a segment"},
		{cursor_at_another_position, "cursor in a segment"},
		{cursor_ahead, "cursor position"},
		{cursor_in_the_future, "cursor next index"},
		{end_in_the_future, "end of a subscriber"},
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
		cmocka_unit_test(test_every_byte_wrong),
		cmocka_unit_test(test_each_place_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
