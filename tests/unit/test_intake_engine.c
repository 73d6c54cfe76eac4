// SPDX-License-Identifier: MIT
/* engine = auto: what carries a packet is chosen when it has been cut, by how its bytes lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "pipe/pipe_io.h"
#include "tests/unit/intake_rig.h"

enum {
	CARD_BYTES = 1448, /* of one segment of a real network, on a page of its own */
};

/* Of all that is published, the byte at each place. */
static uint8_t byte_at(size_t place)
{
	return (uint8_t)(place * 31 + place / 251);
}

/* Publishes `bytes` bytes, in fragments of `piece` that each lie on a page of their own, and takes
 * them. */
static void publish_loosely(struct intake_rig *rig, size_t *place, size_t bytes, size_t piece)
{
	struct gift_arena arena;
	struct pipe pipe;
	int err = 0;

	assert_int_equal(gift_arena_init(&arena, 1 << 20), 0);
	assert_int_equal(pipe_open(&pipe, 16), 0);
	for (size_t done = 0; done < bytes;) {
		size_t length = size_min(piece, bytes - done), moved = 0;
		uint8_t *page = gift_arena_alloc(&arena, GIFT_ARENA_PAGE_BYTES);

		assert_non_null(page);
		for (size_t i = 0; i < length; i++)
			page[i] = byte_at(*place + i);
		assert_int_equal(pipe_gift(&pipe, page, length, &moved, &err), PIPE_IO_OK);
		assert_int_equal(pipe_splice_out(&pipe, rig->publisher_fd, length, &moved, &err),
				 PIPE_IO_OK);
		assert_int_equal(moved, length);
		done += length;
		*place += length;
	}
	pipe_close(&pipe);
	gift_arena_fini(&arena);
	while (intake_take(&rig->intake, &rig->source, &err) == INTAKE_TOOK)
		;
}

static void publish_densely(struct intake_rig *rig, size_t *place, size_t bytes)
{
	uint8_t *all = malloc(bytes);
	int err = 0;

	assert_non_null(all);
	for (size_t i = 0; i < bytes; i++)
		all[i] = byte_at(*place + i);
	assert_int_equal(write(rig->publisher_fd, all, bytes), bytes);
	*place += bytes;
	free(all);
	while (intake_take(&rig->intake, &rig->source, &err) == INTAKE_TOOK)
		;
}

static void check_bytes(const struct intake_rig *rig, size_t place)
{
	assert_int_equal(rig->length, place);
	for (size_t i = 0; i < place; i++)
		assert_int_equal(rig->bytes[i], byte_at(i));
}

static void large_and_dense_is_spliced(void **state)
{
	struct intake_rig *rig = intake_rig_open(FRAMING_NONE, ENGINE_COUNT);
	size_t place = 0;

	(void)state;
	rig->intake.choice.readers = INTAKE_RIG_COMPACT_READERS;
	for (int i = 0; i < 8; i++)
		publish_densely(rig, &place, 60000);
	assert_int_equal(rig->carried[ENGINE_SPLICE], rig->packets - 1); /* but the first */
	check_bytes(rig, place);
	intake_rig_close(rig);
}

static void large_and_dense_is_compacted_for_a_crowd(void **state)
{
	struct intake_rig *rig = intake_rig_open(FRAMING_NONE, ENGINE_COUNT);
	size_t place = 0;

	(void)state;
	rig->intake.choice.readers = (uint64_t)ENGINE_CROWD * INTAKE_RIG_COMPACT_READERS;
	for (int i = 0; i < 8; i++)
		publish_densely(rig, &place, 60000);
	assert_int_equal(rig->carried[ENGINE_COMPACT], rig->packets);
	check_bytes(rig, place);
	intake_rig_close(rig);
}

static void large_and_loose_is_compacted_for_many_and_copied_for_few(void **state)
{
	(void)state;
	for (int is_many = 0; is_many < 2; is_many++) {
		struct intake_rig *rig = intake_rig_open(FRAMING_NONE, ENGINE_COUNT);
		size_t place = 0;

		rig->intake.choice.readers =
			is_many ? INTAKE_RIG_COMPACT_READERS : INTAKE_RIG_COMPACT_READERS - 1;
		for (int i = 0; i < 20; i++)
			publish_loosely(rig, &place, 30000, CARD_BYTES);
		/* Whichever way they came in, none was handed on loosely. */
		assert_int_equal(rig->carried[ENGINE_SPLICE], 0);
		assert_true(rig->packets >= 20);
		assert_true(rig->carried[is_many ? ENGINE_COMPACT : ENGINE_COPY] >=
			    rig->packets - 1);
		assert_int_equal(rig->metrics.dense_bytes > 0, is_many);
		assert_in_range((size_t)rig->intake.choice.slot_bytes, 1000, 2000);
		check_bytes(rig, place);
		intake_rig_close(rig);
	}
}

/* The mean of late says that packets are large, and yet this one is small. */
static void a_small_packet_is_copied_whatever_was_expected(void **state)
{
	struct intake_rig *rig = intake_rig_open(FRAMING_NONE, ENGINE_COUNT);
	size_t place = 0;

	(void)state;
	rig->intake.choice.readers = INTAKE_RIG_COMPACT_READERS;
	for (int i = 0; i < 8; i++)
		publish_densely(rig, &place, 60000);
	assert_int_equal(rig->engine, ENGINE_SPLICE);
	publish_densely(rig, &place, INTAKE_RIG_COPY_BELOW - 1);
	assert_int_equal(rig->engine, ENGINE_COPY);
	publish_densely(rig, &place, INTAKE_RIG_COPY_BELOW);
	assert_int_equal(rig->engine, ENGINE_SPLICE);
	check_bytes(rig, place);
	intake_rig_close(rig);
}

static void another_source_is_looked_at_anew(void **state)
{
	struct intake_rig *rig = intake_rig_open(FRAMING_NONE, ENGINE_COUNT);
	size_t place = 0;

	(void)state;
	rig->intake.choice.readers = INTAKE_RIG_COMPACT_READERS;
	for (int i = 0; i < 8; i++)
		publish_loosely(rig, &place, 30000, CARD_BYTES);
	assert_int_equal(rig->engine, ENGINE_COMPACT);
	(void)intake_reset(&rig->intake);
	publish_densely(rig, &place, 60000);
	assert_int_equal(rig->engine, ENGINE_SPLICE);
	check_bytes(rig, place);
	intake_rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_and_dense_is_spliced),
		cmocka_unit_test(large_and_dense_is_compacted_for_a_crowd),
		cmocka_unit_test(large_and_loose_is_compacted_for_many_and_copied_for_few),
		cmocka_unit_test(a_small_packet_is_copied_whatever_was_expected),
		cmocka_unit_test(another_source_is_looked_at_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
