// SPDX-License-Identifier: MIT
/*
 * The choice of the engine against a made-up world in which each engine has a fixed cost.
 *
 * What is tested is what the header promises: the cheapest is found and kept, the others are tried
 * in a bounded share of the packets, what cannot serve is never chosen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/compiler.h"
#include "feed/engine.h"

#define PACKET_BYTES 65536
#define RING_BYTES   (8 << 20)
#define SETTLE       300 /* packets after which the first trials are over */

// Packets of each engine, out of `packets`, when the engines cost so many ns a packet.
static void run(struct engine_choice *choice, unsigned size_class, const uint64_t *costs,
		unsigned packets, unsigned *ret_used)
{
	for (int i = 0; i < ENGINE_COUNT; i++)
		ret_used[i] = 0;
	while (packets--) {
		enum engine engine = engine_choose(choice, size_class);

		assert_true(engine < ENGINE_COUNT);
		assert_true(choice->can[engine] || engine == ENGINE_COPY);
		ret_used[engine]++;
		engine_report(choice, size_class, engine, PACKET_BYTES, costs[engine]);
	}
}

static void a_class_is_the_logarithm(void **state)
{
	(void)state;
	assert_int_equal(engine_class(0), 0);
	assert_int_equal(engine_class(1), 0);
	for (unsigned log2 = 1; log2 < 26; log2++) {
		assert_int_equal(engine_class((size_t)1 << log2), log2);
		assert_int_equal(engine_class(((size_t)1 << log2) - 1), log2 - 1);
	}
	assert_int_equal(engine_class((size_t)64 << 20), ENGINE_CLASS_COUNT - 1);
	assert_int_equal(engine_class(SIZE_MAX), ENGINE_CLASS_COUNT - 1);
}

static void every_engine_has_its_own_name(void **state)
{
	(void)state;
	assert_string_equal(engine_name(ENGINE_COPY), "copy");
	assert_string_equal(engine_name(ENGINE_SPLICE), "splice");
	assert_string_equal(engine_name(ENGINE_COMPACT), "compact");
}

static void a_fixed_engine_is_not_left_while_it_can_serve(void **state)
{
	const uint64_t costs[ENGINE_COUNT] = {1, 1000000, 1};
	const enum engine fixed = ENGINE_SPLICE;
	struct engine_choice choice;
	unsigned used[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, &fixed, RING_BYTES);
	run(&choice, 16, costs, 1000, used);
	assert_int_equal(used[ENGINE_SPLICE], 1000);
	choice.can[ENGINE_SPLICE] = false;
	run(&choice, 16, costs, 1000, used);
	assert_int_equal(used[ENGINE_COPY], 1000);
}

static void the_cheapest_is_found_and_kept(void **state)
{
	(void)state;
	for (int cheap = 0; cheap < ENGINE_COUNT; cheap++) {
		uint64_t costs[ENGINE_COUNT] = {30000, 30000, 30000};
		struct engine_choice choice;
		unsigned used[ENGINE_COUNT];

		costs[cheap] = 10000;
		engine_choice_init(&choice, NULL, RING_BYTES);
		run(&choice, 16, costs, SETTLE, used);
		assert_int_equal(choice.classes[16].best, cheap);
		run(&choice, 16, costs, 10000, used);
		assert_int_equal(choice.classes[16].best, cheap);
		assert_true(used[cheap] > 9000);
	}
}

// Engines that are as good as the best are tried the most often, and that is still not often.
static void trials_are_a_bounded_share(void **state)
{
	static const uint64_t worlds[][ENGINE_COUNT] = {
		{10000, 10000, 10000},
		{10000, 10100, 9990},
		{10000, 12000, 12000},
		{10000, 50000, 900000},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(worlds); i++) {
		struct engine_choice choice;
		unsigned used[ENGINE_COUNT];

		engine_choice_init(&choice, NULL, RING_BYTES);
		run(&choice, 16, worlds[i], SETTLE, used);
		const enum engine best = choice.classes[16].best;

		run(&choice, 16, worlds[i], 40000, used);
		assert_true(40000 - used[best] <= 40000 * 5 / 100);
	}
}

static void the_worse_an_engine_proved_the_rarer_it_is_tried(void **state)
{
	const uint64_t costs[ENGINE_COUNT] = {10000, 11000, 200000};
	struct engine_choice choice;
	unsigned used[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, 16, costs, 100000, used);
	assert_true(used[ENGINE_COMPACT] > 0);
	assert_true(used[ENGINE_COMPACT] * 4 < used[ENGINE_SPLICE]);
}

static void equals_do_not_flap(void **state)
{
	struct engine_choice choice;
	unsigned changes = 0;
	enum engine best;

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	best = choice.classes[16].best;
	for (unsigned i = 0; i < 20000; i++) {
		enum engine engine = engine_choose(&choice, 16);

		engine_report(&choice, 16, engine, PACKET_BYTES, 10000 + i % 7);
		changes += choice.classes[16].best != best;
		best = choice.classes[16].best;
	}
	assert_true(changes <= 2);
}

static void a_changed_world_is_noticed(void **state)
{
	uint64_t costs[ENGINE_COUNT] = {10000, 20000, 20000};
	struct engine_choice choice;
	unsigned used[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, 16, costs, 5000, used);
	assert_int_equal(choice.classes[16].best, ENGINE_COPY);
	costs[ENGINE_SPLICE] = 2000; // the best itself has not changed
	run(&choice, 16, costs, 60000, used);
	assert_int_equal(choice.classes[16].best, ENGINE_SPLICE);
	costs[ENGINE_SPLICE] = 80000; // the best has become bad
	run(&choice, 16, costs, 2000, used);
	assert_int_equal(choice.classes[16].best, ENGINE_COPY);
}

// One pass in a hundred is disturbed by something else.
static void a_single_outlier_changes_nothing(void **state)
{
	struct engine_choice choice;

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	for (unsigned i = 0; i < 20000; i++) {
		enum engine engine = engine_choose(&choice, 16);
		uint64_t ns = engine == ENGINE_SPLICE ? 10000 : 25000;

		engine_report(&choice, 16, engine, PACKET_BYTES, i % 100 == 99 ? ns * 10000 : ns);
		if (i > SETTLE)
			assert_int_equal(choice.classes[16].best, ENGINE_SPLICE);
	}
}

static void classes_do_not_learn_from_one_another(void **state)
{
	const uint64_t small[ENGINE_COUNT] = {1000, 5000, 5000};
	const uint64_t large[ENGINE_COUNT] = {50000, 10000, 30000};
	struct engine_choice choice;
	unsigned used[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	for (int i = 0; i < 20; i++) {
		run(&choice, 8, small, 100, used);
		run(&choice, 19, large, 100, used);
	}
	assert_int_equal(choice.classes[8].best, ENGINE_COPY);
	assert_int_equal(choice.classes[19].best, ENGINE_SPLICE);
	for (unsigned i = 0; i < ENGINE_CLASS_COUNT; i++) {
		if (i != 8 && i != 19)
			assert_int_equal(choice.classes[i].engines[ENGINE_COPY].windows, 0);
	}
}

static void what_is_refused_is_never_chosen_again(void **state)
{
	const uint64_t costs[ENGINE_COUNT] = {50000, 10000, 20000};
	struct engine_choice choice;
	unsigned used[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, 16, costs, SETTLE, used);
	assert_int_equal(choice.classes[16].best, ENGINE_SPLICE);
	choice.can[ENGINE_SPLICE] = false; // in mid-use
	run(&choice, 16, costs, 5000, used);
	assert_int_equal(used[ENGINE_SPLICE], 0);
	assert_int_equal(choice.classes[16].best, ENGINE_COMPACT);
	choice.can[ENGINE_COMPACT] = false;
	run(&choice, 16, costs, 5000, used);
	assert_int_equal(used[ENGINE_COPY], 5000);

	// and in the middle of a trial
	engine_choice_init(&choice, NULL, RING_BYTES);
	while (engine_choose(&choice, 16) == ENGINE_COPY)
		engine_report(&choice, 16, ENGINE_COPY, PACKET_BYTES, 50000);
	choice.can[ENGINE_SPLICE] = choice.can[ENGINE_COMPACT] = false;
	run(&choice, 16, costs, 5000, used);
	assert_int_equal(used[ENGINE_COPY], 5000);
}

// A feed without subscribers delivers nothing: that says nothing about cost, and must not stick.
static void passes_without_bytes_teach_nothing(void **state)
{
	const uint64_t costs[ENGINE_COUNT] = {50000, 10000, 20000};
	struct engine_choice choice;
	unsigned used[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	for (unsigned i = 0; i < 5000; i++)
		engine_report(&choice, 16, engine_choose(&choice, 16), 0, 1000);
	for (int i = 0; i < ENGINE_COUNT; i++)
		assert_int_equal(choice.classes[16].engines[i].windows, 0);
	run(&choice, 16, costs, SETTLE, used);
	assert_int_equal(choice.classes[16].best, ENGINE_SPLICE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_class_is_the_logarithm),
		cmocka_unit_test(every_engine_has_its_own_name),
		cmocka_unit_test(a_fixed_engine_is_not_left_while_it_can_serve),
		cmocka_unit_test(the_cheapest_is_found_and_kept),
		cmocka_unit_test(trials_are_a_bounded_share),
		cmocka_unit_test(the_worse_an_engine_proved_the_rarer_it_is_tried),
		cmocka_unit_test(equals_do_not_flap),
		cmocka_unit_test(a_changed_world_is_noticed),
		cmocka_unit_test(a_single_outlier_changes_nothing),
		cmocka_unit_test(classes_do_not_learn_from_one_another),
		cmocka_unit_test(what_is_refused_is_never_chosen_again),
		cmocka_unit_test(passes_without_bytes_teach_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
