// SPDX-License-Identifier: MIT
/*
 * The ring against a model: the bytes that were appended, at the positions that they must have.
 *
 * After every step the whole ring is checked: contiguous positions and indexes, bytes as appended,
 * marks where packets begin, and never fewer packets than the newest one.
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
#include "pipe/pipe_io.h"
#include "ring/ring.h"
#include "tests/unit/pipe_rig.h"

struct model {
	struct ring ring;
	struct pipe_pool pool;
	struct pipe scratch; // to look into pipes
	uint64_t next_seq;
	size_t last_packet_bytes;
	uint64_t last_packet_pos;
	uint32_t seed;
};

// The byte at a position of the stream, the same for whoever asks.
static uint8_t byte_at(uint64_t pos)
{
	return (uint8_t)(pos * 2654435761u >> 13);
}

static uint32_t random_below(struct model *model, uint32_t limit)
{
	model->seed = model->seed * 1664525 + 1013904223;
	return (model->seed >> 8) % limit;
}

static void open_model(struct model *model, size_t max_bytes, size_t max_pipes)
{
	const struct ring_params params = {.max_bytes = max_bytes, .max_pipes = max_pipes};

	*model = (struct model){.next_seq = 1, .seed = 1};
	ring_init(&model->ring, &params);
	assert_int_equal(pipe_pool_init(&model->pool, 16, 1000, 1000), 0);
	assert_int_equal(pipe_pool_get(&model->pool, &model->scratch), 0);
}

static void close_model(struct model *model)
{
	ring_clear(&model->ring);
	pipe_pool_put_drained(&model->pool, &model->scratch);
	assert_int_equal(model->pool.open_count, model->pool.idle_count);
	pipe_pool_fini(&model->pool);
}

static struct ring_packet next_packet(struct model *model, size_t bytes)
{
	const struct ring_packet packet = {
		.first_seq = model->next_seq,
		.next_seq = model->next_seq + 3,
		.count = 3,
		.arrived_ns = 1000 * model->next_seq,
	};

	model->next_seq += 3;
	model->last_packet_bytes = bytes;
	model->last_packet_pos = model->ring.end_pos;
	return packet;
}

static void append_copy(struct model *model, size_t head_bytes, size_t body_bytes, unsigned tag)
{
	uint8_t *bytes = malloc(head_bytes + body_bytes + 1);
	const uint64_t pos = model->ring.end_pos;
	const struct ring_packet packet = next_packet(model, head_bytes + body_bytes);

	for (size_t i = 0; i < head_bytes + body_bytes; i++)
		bytes[i] = byte_at(pos + i);
	const struct iovec parts[] = {{bytes, head_bytes}, {bytes + head_bytes, body_bytes}};

	assert_int_equal(ring_append_copy(&model->ring, parts, 2, &packet, tag), 0);
	free(bytes);
	assert_int_equal(model->ring.end_pos, pos + head_bytes + body_bytes);
}

static void append_pipes(struct model *model, size_t count, size_t bytes_each)
{
	struct pipe pipes[8];
	uint64_t pos = model->ring.end_pos;
	const struct ring_packet packet = next_packet(model, count * bytes_each);

	for (size_t i = 0; i < count; i++) {
		uint8_t bytes[4096];
		size_t n = 0;
		int err = 0;

		for (size_t k = 0; k < bytes_each; k++)
			bytes[k] = byte_at(pos++);
		assert_int_equal(pipe_pool_get(&model->pool, &pipes[i]), 0);
		assert_int_equal(pipe_write(&pipes[i], bytes, bytes_each, &n, &err), PIPE_IO_OK);
		assert_int_equal(n, bytes_each);
	}
	assert_int_equal(ring_append_pipes(&model->ring, pipes, count, &model->pool, &packet, 5),
			 0);
	for (size_t i = 0; i < count; i++)
		assert_false(pipe_is_open(&pipes[i]));
	assert_int_equal(model->ring.end_pos, pos);
}

static void check_bytes(struct model *model, struct segment *segment)
{
	uint8_t *bytes = segment->block;
	size_t n = 0;
	int err = 0;

	if (segment->kind == SEGMENT_PIPE && segment->length) {
		bytes = malloc(segment->length);
		pipe_rig_check_held(&segment->pipe, segment->length);
		assert_int_equal(
			pipe_tee(&segment->pipe, &model->scratch, segment->length, &n, &err),
			PIPE_IO_OK);
		assert_int_equal(n, segment->length);
		assert_int_equal(pipe_read(&model->scratch, bytes, n, &n, &err), PIPE_IO_OK);
		assert_int_equal(n, segment->length);
	}
	for (size_t i = 0; i < segment->length; i++)
		assert_int_equal(bytes[i], byte_at(segment->start_pos + i));
	if (segment->kind == SEGMENT_PIPE)
		free(bytes);
}

static void check(struct model *model)
{
	const struct ring *ring = &model->ring;
	uint64_t pos = ring->start_pos, index = ring_first_index(ring);
	size_t count = 0, pipes = 0;

	while (index < ring->next_index) {
		struct segment *segment = ring_find_segment(ring, index);
		bool is_last = segment == ring_newest(ring);

		assert_non_null(segment);
		assert_int_equal(segment->start_pos, pos);
		assert_int_equal(segment->index, index);
		assert_true(segment->is_sealed || is_last);
		assert_int_equal(is_last, index + 1 == ring->next_index);
		assert_int_equal(segment->mark_count == 0, segment->is_continuation);
		if (!segment->is_continuation)
			assert_int_equal(segment->marks[0].offset, 0);
		check_bytes(model, segment);
		pos += segment->length;
		index++;
		count++;
		pipes += segment->kind == SEGMENT_PIPE;
	}
	assert_int_equal(pos, ring->end_pos);
	assert_int_equal(index, ring->next_index);
	assert_int_equal(count, ring->segment_count);
	assert_int_equal(pipes, ring->pipe_count);
	assert_null(ring_find_segment(ring, index));
	if (ring_first_index(ring) > 0)
		assert_null(ring_find_segment(ring, ring_first_index(ring) - 1));
	assert_true(ring->start_pos <= model->last_packet_pos);
	assert_int_equal(ring->next_seq, count ? model->next_seq : 0);
	assert_int_equal(ring->message_count, model->next_seq - 1);
}

static void an_empty_ring_has_nothing(void **state)
{
	struct model model;

	(void)state;
	open_model(&model, 1000, 4);
	check(&model);
	assert_int_equal(ring_first_index(&model.ring), 0);
	assert_null(ring_find_segment(&model.ring, 0));
	assert_false(ring_is_over_full(&model.ring));
	ring_trim(&model.ring, UINT64_MAX);
	check(&model);
	close_model(&model);
}

static void small_packets_share_a_block(void **state)
{
	struct model model;

	(void)state;
	open_model(&model, 1 << 20, 4);
	for (int i = 0; i < 100; i++)
		append_copy(&model, 32, 100, 1);
	check(&model);
	assert_int_equal(model.ring.segment_count, 1);

	const struct segment *segment = ring_find_segment(&model.ring, 0);

	assert_int_equal(segment->mark_count, 100);
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(segment->marks[i].offset, 132 * i);
		assert_int_equal(segment->marks[i].first_seq, 1 + 3 * i);
		assert_int_equal(segment->marks[i].arrived_ns, 1000 * (1 + 3 * i));
	}
	append_copy(&model, 0, 10, 2); // another engine's: a block of its own
	assert_int_equal(model.ring.segment_count, 2);
	for (int i = 0; i < 1000; i++) // the block ends, the next one begins
		append_copy(&model, 32, 100, 2);
	check(&model);
	assert_in_range(model.ring.segment_count, 3, 5);
	close_model(&model);
}

static void a_long_packet_is_a_chain_of_blocks(void **state)
{
	struct model model;

	(void)state;
	open_model(&model, 1 << 20, 4);
	append_copy(&model, 0, 10, 1);
	append_copy(&model, 32, 3500000, 1);
	append_copy(&model, 0, 10, 1);
	check(&model);

	const struct segment *first = ring_find_segment(&model.ring, 1);

	assert_false(first->is_continuation);
	assert_ptr_equal(first->continued_by, ring_find_segment(&model.ring, 2));
	assert_true(ring_find_segment(&model.ring, 2)->is_continuation);
	// what comes behind it may share its last block, which does not begin in mid-packet for all
	assert_int_equal(ring_find_segment(&model.ring, 2)->next_seq, first->next_seq);
	close_model(&model);
}

static void a_packet_in_several_pipes_is_a_chain(void **state)
{
	struct model model;

	(void)state;
	open_model(&model, 1 << 20, 100);
	append_pipes(&model, 1, 500);
	append_pipes(&model, 3, 1000);
	append_pipes(&model, 2, 7);
	check(&model);
	assert_int_equal(model.ring.segment_count, 6);
	assert_null(ring_find_segment(&model.ring, 0)->continued_by);
	assert_ptr_equal(ring_find_segment(&model.ring, 1)->continued_by,
			 ring_find_segment(&model.ring, 2));
	assert_ptr_equal(ring_find_segment(&model.ring, 2)->continued_by,
			 ring_find_segment(&model.ring, 3));
	assert_null(ring_find_segment(&model.ring, 3)->continued_by);
	assert_int_equal(ring_find_segment(&model.ring, 3)->tag, 5);
	close_model(&model);
}

static void the_newest_packet_stays_however_long(void **state)
{
	struct model model;

	(void)state;
	open_model(&model, 100, 100);
	append_pipes(&model, 3, 1000);
	ring_trim(&model.ring, UINT64_MAX);
	check(&model);
	assert_int_equal(model.ring.segment_count, 3);
	assert_false(ring_is_over_full(&model.ring)); // nobody can be waited for
	append_copy(&model, 0, 5000000, 1);
	assert_true(ring_is_over_full(&model.ring));
	ring_trim(&model.ring, UINT64_MAX);
	check(&model);
	assert_int_equal(model.ring.end_pos - model.ring.start_pos, 5000000);
	assert_false(ring_is_over_full(&model.ring));
	append_copy(&model, 0, 1, 2);
	ring_trim(&model.ring, UINT64_MAX);
	check(&model);
	assert_int_equal(model.ring.end_pos - model.ring.start_pos, 1);
	close_model(&model);
}

static void a_trim_goes_packet_by_packet_and_spares_what_is_needed(void **state)
{
	struct model model;

	(void)state;
	open_model(&model, 2500, 100);
	append_pipes(&model, 2, 1000); // 0 1
	append_pipes(&model, 1, 1000); // 2
	append_pipes(&model, 1, 1000); // 3
	ring_trim(&model.ring, 0);
	assert_int_equal(ring_first_index(&model.ring), 0);
	assert_true(ring_is_over_full(&model.ring));
	ring_trim(&model.ring, 1); // it stands in the middle of the first packet
	assert_int_equal(ring_first_index(&model.ring), 0);
	ring_trim(&model.ring, 2);
	assert_int_equal(ring_first_index(&model.ring), 2);
	assert_false(ring_is_over_full(&model.ring));
	ring_trim(&model.ring, UINT64_MAX);
	assert_int_equal(ring_first_index(&model.ring), 2);
	check(&model);
	close_model(&model);
}

static void old_pipes_become_blocks_and_nothing_else_changes(void **state)
{
	struct model model;

	(void)state;
	open_model(&model, 1 << 20, 4);
	for (int i = 0; i < 20; i++) {
		append_pipes(&model, 1 + (size_t)i % 3, 300);
		if (i % 4 == 0)
			append_copy(&model, 3, 40, 1);
		ring_trim(&model.ring, UINT64_MAX);
		check(&model);
		assert_in_range(model.ring.pipe_count, 1, 4);
	}
	// the newest are the ones that are still pipes
	assert_int_equal(ring_find_segment(&model.ring, model.ring.next_index - 1)->kind,
			 SEGMENT_PIPE);
	assert_int_equal(ring_find_segment(&model.ring, 0)->kind, SEGMENT_BLOCK);
	model.ring.params.max_pipes = 0;
	ring_trim(&model.ring, UINT64_MAX);
	assert_int_equal(model.ring.pipe_count, 0);
	check(&model);
	close_model(&model);
}

// A converted block is sealed: its room is used up, and a reader may have gone past its end.
static void nothing_is_appended_to_a_converted_block(void **state)
{
	struct model model;

	(void)state;
	open_model(&model, 1 << 20, 0);
	append_pipes(&model, 1, 300);
	ring_trim(&model.ring, UINT64_MAX);
	append_copy(&model, 0, 10, 5);
	assert_int_equal(model.ring.segment_count, 2);
	check(&model);
	close_model(&model);
}

// Also one that the ring has dropped, which it does not count any more.
static void a_pipe_may_become_a_block_out_of_turn(void **state)
{
	struct model model;
	struct segment *held;

	(void)state;
	open_model(&model, 1500, 100);
	append_pipes(&model, 1, 1000);
	held = ring_find_segment(&model.ring, 0);
	segment_ref(held);
	append_pipes(&model, 2, 1000);
	ring_trim(&model.ring, UINT64_MAX);
	assert_int_equal(ring_first_index(&model.ring), 1);
	assert_int_equal(ring_make_block(&model.ring, held), 0);
	assert_int_equal(held->kind, SEGMENT_BLOCK);
	check_bytes(&model, held);
	check(&model);
	assert_int_equal(model.ring.pipe_count, 2);
	assert_int_equal(ring_make_block(&model.ring, ring_find_segment(&model.ring, 2)), 0);
	assert_int_equal(model.ring.pipe_count, 1);
	check(&model);
	model.ring.params.max_pipes = 0;
	ring_trim(&model.ring, UINT64_MAX);
	check(&model);
	segment_unref(&held);
	close_model(&model);
}

static void news_without_bytes_take_no_room(void **state)
{
	struct model model;

	(void)state;
	open_model(&model, 1000, 4);
	append_copy(&model, 0, 0, 1);
	append_copy(&model, 32, 0, 1);
	append_copy(&model, 0, 0, 1);
	append_copy(&model, 32, 10, 1);
	check(&model);
	assert_int_equal(model.ring.end_pos, 74);
	close_model(&model);
}

static void whoever_holds_a_segment_keeps_it_after_the_ring(void **state)
{
	struct model model;
	struct segment *held;

	(void)state;
	open_model(&model, 1500, 100);
	append_pipes(&model, 3, 1000);
	held = ring_find_segment(&model.ring, 0);
	segment_ref(held);
	append_pipes(&model, 1, 1000);
	ring_trim(&model.ring, UINT64_MAX);
	check(&model);
	assert_int_equal(model.ring.segment_count, 1);
	for (struct segment *segment = held; segment; segment = segment->continued_by)
		check_bytes(&model, segment);
	assert_true(held->continued_by && held->continued_by->continued_by);
	ring_clear(&model.ring);
	segment_unref(&held);
	close_model(&model);
}

static void any_mix_of_packets_and_trims(void **state)
{
	struct model model;

	(void)state;
	for (uint32_t seed = 1; seed <= 20; seed++) {
		open_model(&model, 20000, 6);
		model.seed = seed;
		for (int i = 0; i < 150; i++) {
			switch (random_below(&model, 4)) {
			case 0:
				append_pipes(&model, 1 + random_below(&model, 6),
					     1 + random_below(&model, 4000));
				break;
			case 1:
				append_copy(&model, random_below(&model, 64),
					    random_below(&model, 70000), 1);
				break;
			default:
				append_copy(&model, random_below(&model, 64),
					    random_below(&model, 300), random_below(&model, 2));
				break;
			}
			if (random_below(&model, 3))
				ring_trim(&model.ring, random_below(&model, 4)
							       ? UINT64_MAX
							       : random_below(&model, 100));
			if (i % 5 == 0)
				check(&model);
		}
		ring_trim(&model.ring, UINT64_MAX);
		check(&model);
		assert_false(ring_is_over_full(&model.ring));
		assert_true(model.ring.pipe_count <= 6);
		close_model(&model);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pipe_rig_begin, pipe_rig_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_ring_has_nothing),
		TEST(small_packets_share_a_block),
		TEST(a_long_packet_is_a_chain_of_blocks),
		TEST(a_packet_in_several_pipes_is_a_chain),
		TEST(the_newest_packet_stays_however_long),
		TEST(a_trim_goes_packet_by_packet_and_spares_what_is_needed),
		TEST(old_pipes_become_blocks_and_nothing_else_changes),
		TEST(nothing_is_appended_to_a_converted_block),
		TEST(a_pipe_may_become_a_block_out_of_turn),
		TEST(news_without_bytes_take_no_room),
		TEST(whoever_holds_a_segment_keeps_it_after_the_ring),
		TEST(any_mix_of_packets_and_trims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
