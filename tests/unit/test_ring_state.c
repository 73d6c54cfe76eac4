// SPDX-License-Identifier: MIT
/*
 * What of a ring's state holds together.  A small one that is right is made wrong in one place at a
 * time: the fault names that place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "ring/ring_state.h"

/* A segment that only a cursor holds, a pipe, then a growing block. */
struct sample {
	struct ring_state ring;
	struct segment_state segments[3];
	struct packet_mark marks[2], mark_of_pipe, mark_of_held;
	struct cursor_state inside, between; // in the first segment; at the edge
};

static void fill(struct sample *sample)
{
	*sample = (struct sample){
		.ring = {.start_pos = 100,
			 .end_pos = 142,
			 .next_index = 8,
			 .segments = sample->segments,
			 .segment_count = 3},
		.segments =
			{
				{.index = 3,
				 .start_pos = 40,
				 .length = 10,
				 .is_sealed = true,
				 .read_fd = -1,
				 .write_fd = -1,
				 .block_bytes = 10,
				 .marks = &sample->mark_of_held,
				 .mark_count = 1},
				{.index = 6,
				 .start_pos = 100,
				 .length = 30,
				 .is_sealed = true,
				 .is_retained = true,
				 .read_fd = 900,
				 .write_fd = 901,
				 .slots = 16,
				 .begin = {.first_seq = 18},
				 .marks = &sample->mark_of_pipe,
				 .mark_count = 1},
				{.index = 7,
				 .start_pos = 130,
				 .length = 12,
				 .is_retained = true,
				 .read_fd = -1,
				 .write_fd = -1,
				 .block_bytes = 65536,
				 .begin = {.first_seq = 19},
				 .marks = sample->marks,
				 .mark_count = 2},
			},
		.marks = {{.first_seq = 19}, {.offset = 5, .first_seq = 20}},
		.mark_of_pipe = {.first_seq = 18},
		.inside = {.is_inside = true, .index = 3, .offset = 4, .pos = 44, .next_index = 4},
		.between = {.pos = 142, .next_index = 8},
	};
}

static const char *find_fault(const struct sample *sample)
{
	const char *fault = ring_state_fault(&sample->ring);

	if (!fault)
		fault = cursor_state_fault(&sample->inside, &sample->ring);
	return fault ? fault : cursor_state_fault(&sample->between, &sample->ring);
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
	sample->ring.end_pos++;
}

static void newest_is_missing(struct sample *sample)
{
	sample->ring.next_index++;
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
	sample->segments[2].is_continuation = sample->segments[1].is_continued = true;
	sample->marks[0].offset = 6;
}

static void another_first_mark(struct sample *sample)
{
	sample->marks[0].messages_before++;
}

static void no_mark(struct sample *sample)
{
	sample->segments[0].mark_count = 0;
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
	sample->inside.index = 4;
}

static void cursor_behind_the_end(struct sample *sample)
{
	sample->inside.offset = 11;
}

static void cursor_at_another_position(struct sample *sample)
{
	sample->inside.pos = 45;
}

static void cursor_ahead(struct sample *sample)
{
	sample->between.pos = 143;
}

static void cursor_in_the_future(struct sample *sample)
{
	sample->between.next_index = 9;
}

static void cursor_at_no_edge(struct sample *sample)
{
	sample->between.pos = 141;
}

static void each_place_wrong(void **state)
{
	static const struct {
		void (*spoil)(struct sample *sample);
		const char *fault;
	} rows[] = {
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
		{another_first_mark, "first mark"},
		{no_mark, "first mark"},
		{block_too_small, "block size"},
		{block_too_large, "block size"},
		{cursor_nowhere, "cursor in a segment"},
		{cursor_behind_the_end, "cursor in a segment"},
		{cursor_at_another_position, "cursor in a segment"},
		{cursor_ahead, "cursor position"},
		{cursor_in_the_future, "cursor next index"},
		{cursor_at_no_edge, "cursor between segments"},
	};
	struct sample sample;

	(void)state;
	fill(&sample);
	assert_null(find_fault(&sample));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		fill(&sample);
		rows[i].spoil(&sample);
		assert_non_null(find_fault(&sample));
		assert_string_equal(find_fault(&sample), rows[i].fault);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_place_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
