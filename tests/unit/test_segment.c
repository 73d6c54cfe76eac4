// SPDX-License-Identifier: MIT
/*
 * Segments: what they take over and when they give it back, their marks, and turning to memory.
 *
 * Pipes are checked against the pool and the process's descriptors, memory by a sanitizer build.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pipe/pipe_io.h"
#include "ring/segment.h"
#include "tests/unit/pipe_rig.h"

// A pool, and a pipe out of it with `pieces` pieces of 100 bytes: 'a' ..., 'b' ...
static struct pipe filled_pipe(struct pipe_pool *pool, unsigned pieces)
{
	struct pipe p;

	assert_int_equal(pipe_pool_init(pool, 16, 8, 8), 0);
	assert_int_equal(pipe_pool_get(pool, &p), 0);
	pipe_rig_put_pieces(&p, pieces, 100);
	return p;
}

static void a_pipe_segment_owns_its_pipe_until_the_last_reference(void **state)
{
	struct pipe_pool pool;
	struct pipe p = filled_pipe(&pool, 3);
	struct segment *segment = segment_new_pipe(&p, &pool);

	(void)state;
	assert_non_null(segment);
	assert_false(pipe_is_open(&p));
	assert_int_equal(segment->kind, SEGMENT_PIPE);
	assert_int_equal(segment->length, 300);
	assert_true(segment->is_sealed);
	pipe_rig_check_held(&segment->pipe, 300);

	struct segment *second = segment;

	segment_ref(segment);
	segment_unref(&segment);
	assert_null(segment);
	pipe_rig_check_held(&second->pipe, 300);
	assert_int_equal(pool.idle_count, 0);
	segment_unref(&second);
	// back in the pool, and empty: what it held reaches nobody
	assert_int_equal(pool.idle_count, 1);
	assert_int_equal(pool.open_count, 1);
	assert_int_equal(pipe_pool_get(&pool, &p), 0);
	pipe_rig_check_held(&p, 0);
	pipe_pool_put_drained(&pool, &p);
	pipe_pool_fini(&pool);
}

static void a_block_segment_owns_its_block(void **state)
{
	uint8_t *block = malloc(64);
	struct segment *segment = segment_new_block(block, 64, 10);

	(void)state;
	assert_non_null(segment);
	assert_int_equal(segment->kind, SEGMENT_BLOCK);
	assert_int_equal(segment->length, 10);
	assert_int_equal(segment->block_bytes, 64);
	assert_false(segment->is_sealed); // still grows
	assert_false(pipe_is_open(&segment->pipe));
	segment_unref(&segment);
	segment_unref(&segment); // NULL inside is fine
}

// A long message is a long chain; giving it up must not eat the stack.
static void a_chain_is_held_by_its_head(void **state)
{
	struct segment *head = NULL;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct segment *segment = segment_new_block(NULL, 0, 0);

		assert_non_null(segment);
		segment->continued_by = head;
		head = segment;
	}
	struct segment *inside = head->continued_by;

	segment_ref(inside);
	segment_unref(&head);
	assert_non_null(inside->continued_by); // who stands inside keeps all that follows
	segment_unref(&inside);
}

static struct segment *marked_segment(void)
{
	static const uint32_t offsets[] = {0, 10, 10, 30, 60};
	struct segment *segment = segment_new_block(NULL, 0, 100);

	assert_non_null(segment);
	for (size_t i = 0; i < 5; i++) {
		const struct packet_mark mark = {.offset = offsets[i], .first_seq = 100 + i};

		assert_int_equal(segment_add_mark(segment, &mark), 0);
	}
	return segment;
}

static void the_mark_at_or_behind_an_offset_is_found(void **state)
{
	struct segment *segment = marked_segment();

	(void)state;
	for (size_t offset = 0; offset <= 100; offset++) {
		const struct packet_mark *mark = segment_mark_from(segment, offset);
		const struct packet_mark *expected = NULL;

		for (size_t i = 0; i < segment->mark_count && !expected; i++) {
			if (segment->marks[i].offset >= offset)
				expected = &segment->marks[i];
		}
		assert_ptr_equal(mark, expected);
	}
	segment_unref(&segment);
	segment = segment_new_block(NULL, 0, 100);
	assert_null(segment_mark_from(segment, 0));
	segment_unref(&segment);
}

static void the_rest_of_a_packet_reaches_to_the_next_one(void **state)
{
	struct segment *segment = marked_segment();

	(void)state;
	assert_int_equal(segment_packet_rest(segment, 0), 0);
	assert_int_equal(segment_packet_rest(segment, 1), 9);
	assert_int_equal(segment_packet_rest(segment, 9), 1);
	assert_int_equal(segment_packet_rest(segment, 10), 0);
	assert_int_equal(segment_packet_rest(segment, 11), 19);
	assert_int_equal(segment_packet_rest(segment, 61), 39); // to the end of the segment
	assert_int_equal(segment_packet_rest(segment, 100), 0);
	segment_unref(&segment);
}

static void many_marks_stay_in_order(void **state)
{
	struct segment *segment = segment_new_block(NULL, 0, 100000);

	(void)state;
	for (uint32_t i = 0; i < 10000; i++) {
		const struct packet_mark mark = {.offset = 10 * i, .first_seq = i, .arrived_ns = 7};

		assert_int_equal(segment_add_mark(segment, &mark), 0);
	}
	assert_int_equal(segment->mark_count, 10000);
	for (size_t i = 0; i < 10000; i++) {
		assert_int_equal(segment_mark_from(segment, 10 * i)->first_seq, i);
		assert_int_equal(segment_packet_rest(segment, 10 * i + 3), 7);
	}
	segment_unref(&segment);
}

static void a_pipe_becomes_a_block_with_the_same_bytes(void **state)
{
	struct pipe_pool pool;
	struct pipe p = filled_pipe(&pool, 5);
	struct segment *segment = segment_new_pipe(&p, &pool);

	(void)state;
	segment->index = 4;
	segment->start_pos = 1000;
	assert_int_equal(segment_make_block(segment), 0);
	assert_int_equal(segment->kind, SEGMENT_BLOCK);
	assert_int_equal(segment->length, 500);
	assert_int_equal(segment->index, 4);
	assert_int_equal(segment->start_pos, 1000);
	assert_true(segment->is_sealed); // nothing may be appended to it
	for (size_t i = 0; i < 500; i++)
		assert_int_equal(segment->block[i], 'a' + i / 100);
	assert_int_equal(pool.idle_count, 1); // the pipe is free again
	assert_int_equal(segment_make_block(segment), 0);
	segment_unref(&segment);
	assert_int_equal(pool.idle_count, 1);
	pipe_pool_fini(&pool);
}

// Bytes that are missing in the pipe are an error, not zeros; and again an error the second time.
static void a_pipe_that_lost_bytes_makes_no_block(void **state)
{
	struct pipe_pool pool;
	struct pipe p = filled_pipe(&pool, 3);
	struct segment *segment = segment_new_pipe(&p, &pool);
	uint8_t sink[100];

	(void)state;
	assert_int_equal(read(segment->pipe.read_fd, sink, sizeof(sink)), 100);
	assert_int_equal(segment_make_block(segment), -EIO);
	assert_int_equal(segment->kind, SEGMENT_PIPE);
	assert_int_equal(segment_make_block(segment), -EIO);
	segment_unref(&segment);
	assert_int_equal(pool.open_count, pool.idle_count);
	pipe_pool_fini(&pool);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pipe_rig_begin, pipe_rig_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pipe_segment_owns_its_pipe_until_the_last_reference),
		TEST(a_block_segment_owns_its_block),
		TEST(a_chain_is_held_by_its_head),
		TEST(the_mark_at_or_behind_an_offset_is_found),
		TEST(the_rest_of_a_packet_reaches_to_the_next_one),
		TEST(many_marks_stay_in_order),
		TEST(a_pipe_becomes_a_block_with_the_same_bytes),
		TEST(a_pipe_that_lost_bytes_makes_no_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
