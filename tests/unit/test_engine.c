// SPDX-License-Identifier: MIT
/*
 * The rule that chooses an engine, at and around each of its thresholds; and that what it goes by
 * follows the stream.  No clock and no call: what is seen is made up here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "intake/engine.h"
#include "intake/engine_measure.h"

enum {
	COPY_BELOW = 16384,
	COMPACT_READERS = 4,
	LARGE = 200000,
};

static struct engine_choice new_auto(void)
{
	const struct engine_thresholds thresholds = {COPY_BELOW, COMPACT_READERS};
	struct engine_choice choice;

	engine_choice_init(&choice, NULL, &thresholds);
	return choice;
}

/* As if looked at until it is known for sure. */
static void settle(struct engine_choice *choice, size_t slot_bytes)
{
	for (int i = 0; i < 40; i++)
		engine_note_slots(choice, slot_bytes);
}

static void goes_by_bytes_density_and_readers(void **state)
{
	static const struct {
		size_t bytes, slot_bytes;
		uint64_t readers;
		enum engine engine;
	} rows[] = {
		{COPY_BELOW - 1, 32768, 1000, ENGINE_COPY},
		{COPY_BELOW, 32768, ENGINE_CROWD * COMPACT_READERS - 1, ENGINE_SPLICE},
		{COPY_BELOW, 32768, ENGINE_CROWD * COMPACT_READERS, ENGINE_COMPACT},
		{LARGE, ENGINE_DENSE_BYTES, 0, ENGINE_SPLICE},
		{LARGE, ENGINE_DENSE_BYTES - 1, COMPACT_READERS, ENGINE_COMPACT},
		{LARGE, 1448, COMPACT_READERS - 1, ENGINE_COPY},
		{LARGE, 1448, 0, ENGINE_COPY},
		{COPY_BELOW - 1, 1448, 1000, ENGINE_COPY},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct engine_choice choice = new_auto();

		settle(&choice, rows[i].slot_bytes);
		choice.readers = rows[i].readers;
		assert_int_equal(engine_choose(&choice, rows[i].bytes, true), rows[i].engine);
		assert_int_equal(engine_expect(&choice, rows[i].bytes), rows[i].engine);
	}
}

/* What is in memory already is not spliced. */
static void in_memory_it_compacts_for_many_readers(void **state)
{
	struct engine_choice choice = new_auto();

	(void)state;
	settle(&choice, 32768);
	choice.readers = COMPACT_READERS;
	assert_int_equal(engine_choose(&choice, LARGE, false), ENGINE_COMPACT);
	choice.readers--;
	assert_int_equal(engine_choose(&choice, LARGE, false), ENGINE_COPY);
}

/* Lets packets be taken as they are expected, of which each look finds slot_bytes; returns how many
 * went each way in. */
static void run(struct engine_choice *choice, size_t slot_bytes, int packets,
		int ret_taken[ENGINE_COUNT])
{
	for (int i = 0; i < ENGINE_COUNT; i++)
		ret_taken[i] = 0;
	for (int i = 0; i < packets; i++) {
		enum engine engine = engine_expect(choice, (size_t)choice->mean_bytes);

		ret_taken[engine]++;
		if (engine == ENGINE_SPLICE && engine_wants_look(choice, LARGE))
			engine_note_slots(choice, slot_bytes);
		engine_note_packet(choice, LARGE);
	}
}

static void follows_how_the_bytes_lie(void **state)
{
	struct engine_choice choice = new_auto();
	int taken[ENGINE_COUNT];

	(void)state;
	choice.readers = COMPACT_READERS;
	run(&choice, 1448, 1000, taken);
	assert_int_equal(taken[ENGINE_COPY], 1); /* the first one, of which nothing was known */
	assert_in_range(taken[ENGINE_SPLICE], 2, 1000 / 50);
	run(&choice, 32768, 1000, taken);
	assert_true(taken[ENGINE_SPLICE] > 900);
	run(&choice, 1448, 1000, taken);
	assert_true(taken[ENGINE_COMPACT] > 900);
	engine_forget_source(&choice);
	assert_int_equal(engine_expect(&choice, LARGE), ENGINE_SPLICE);
}

static void packets_become_small_and_large_again(void **state)
{
	struct engine_choice choice = new_auto();

	(void)state;
	settle(&choice, 32768);
	engine_note_packet(&choice, 300);
	assert_int_equal(engine_expect(&choice, (size_t)choice.mean_bytes), ENGINE_COPY);
	for (int i = 0; i < 10; i++)
		engine_note_packet(&choice, LARGE);
	assert_int_equal(engine_expect(&choice, (size_t)choice.mean_bytes), ENGINE_SPLICE);
	for (int i = 0; i < 50; i++)
		engine_note_packet(&choice, 300);
	assert_int_equal(engine_expect(&choice, (size_t)choice.mean_bytes), ENGINE_COPY);
}

static void a_fixed_engine_is_always_taken(void **state)
{
	static const struct engine_thresholds thresholds = {COPY_BELOW, COMPACT_READERS};

	(void)state;
	for (enum engine engine = 0; engine < ENGINE_COUNT; engine++) {
		struct engine_choice choice;

		engine_choice_init(&choice, &engine, &thresholds);
		assert_int_equal(engine_expect(&choice, 1), engine);
		assert_int_equal(engine_expect(&choice, LARGE), engine);
		assert_int_equal(engine_choose(&choice, 1, true), engine);
		assert_int_equal(engine_choose(&choice, LARGE, false),
				 engine == ENGINE_SPLICE ? ENGINE_COPY : engine);
		assert_false(engine_wants_look(&choice, LARGE));
	}
}

static void without_pipes_all_is_copied(void **state)
{
	struct engine_choice choice = new_auto();

	(void)state;
	choice.readers = 100;
	choice.is_copy_only = true;
	assert_int_equal(engine_expect(&choice, LARGE), ENGINE_COPY);
	assert_int_equal(engine_choose(&choice, LARGE, true), ENGINE_COPY);
}

static void the_cost_is_of_late(void **state)
{
	struct engine_choice choice = new_auto();

	(void)state;
	assert_int_equal(engine_cost_ps(&choice, ENGINE_COPY), 0);
	engine_note_cost(&choice, ENGINE_COPY, 1000, 200);
	engine_note_cost(&choice, ENGINE_COPY, 0, 77); /* nobody was there */
	assert_int_equal(engine_cost_ps(&choice, ENGINE_COPY), 200);
	assert_int_equal(engine_cost_ps(&choice, ENGINE_SPLICE), 0);
	for (int i = 0; i < 100; i++)
		engine_note_cost(&choice, ENGINE_COPY, 100 << 20, 5 << 20);
	assert_in_range(engine_cost_ps(&choice, ENGINE_COPY), 49, 51);
	for (int i = 0; i < 100; i++)
		engine_note_cost(&choice, ENGINE_COPY, 100 << 20, 9 << 20);
	assert_in_range(engine_cost_ps(&choice, ENGINE_COPY), 89, 91);
}

static void what_is_measured_is_within_bounds(void **state)
{
	struct engine_thresholds thresholds = {0};

	(void)state;
	assert_true(engine_measure(&thresholds));
	assert_in_range(thresholds.copy_below, COPY_BELOW_MIN, COPY_BELOW_MAX);
	assert_in_range(thresholds.compact_readers, COMPACT_READERS_MIN, COMPACT_READERS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_by_bytes_density_and_readers),
		cmocka_unit_test(in_memory_it_compacts_for_many_readers),
		cmocka_unit_test(follows_how_the_bytes_lie),
		cmocka_unit_test(packets_become_small_and_large_again),
		cmocka_unit_test(a_fixed_engine_is_always_taken),
		cmocka_unit_test(without_pipes_all_is_copied),
		cmocka_unit_test(the_cost_is_of_late),
		cmocka_unit_test(what_is_measured_is_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
