// SPDX-License-Identifier: MIT
/*
 * The choice of the engine: finds the cheapest by what it is told, comes back to the others now and
 * then, follows a change, and never uses what the kernel has refused.  No clock: costs are made up
 * here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "intake/engine.h"

enum {
	RING_BYTES = 8 << 20,
	PACKET_BYTES = 64 * 1024,
};

static const unsigned SIZE_CLASS = 16; /* log2 of PACKET_BYTES */

/* Runs `packets` packets, each of which costs what its engine costs; returns how many were carried
 * by each. */
static void run(struct engine_choice *choice, const uint64_t cost_ns[ENGINE_COUNT], int packets,
		int ret_carried[ENGINE_COUNT])
{
	for (int i = 0; i < ENGINE_COUNT; i++)
		ret_carried[i] = 0;
	for (int i = 0; i < packets; i++) {
		enum engine engine = engine_choose(choice, SIZE_CLASS);

		ret_carried[engine]++;
		engine_report(choice, SIZE_CLASS, engine, PACKET_BYTES, cost_ns[engine]);
	}
}

static void finds_the_cheapest(void **state)
{
	const uint64_t costs[][ENGINE_COUNT] = {
		{1000, 2000, 3000}, {2000, 1000, 3000}, {3000, 2000, 1000}};

	(void)state;
	for (int cheapest = 0; cheapest < ENGINE_COUNT; cheapest++) {
		struct engine_choice choice;
		int carried[ENGINE_COUNT];

		engine_choice_init(&choice, NULL, RING_BYTES);
		run(&choice, costs[cheapest], 1000, carried);
		assert_int_equal(choice.classes[SIZE_CLASS].best, cheapest);
		run(&choice, costs[cheapest], 20000, carried);
		assert_true(carried[cheapest] > 20000 * 97 / 100);
	}
}

static void tries_the_others_again_and_follows_a_change(void **state)
{
	const uint64_t before[ENGINE_COUNT] = {1000, 1100, 1200};
	const uint64_t after[ENGINE_COUNT] = {1000, 500, 1200};
	struct engine_choice choice;
	int carried[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, before, 20000, carried);
	assert_true(carried[ENGINE_COPY] > 18000);
	assert_true(carried[ENGINE_SPLICE] > 0 && carried[ENGINE_COMPACT] > 0);
	run(&choice, after, 20000, carried);
	assert_int_equal(choice.classes[SIZE_CLASS].best, ENGINE_SPLICE);
}

/* An engine that is dear until the ring holds nothing but its own, and cheap from then on. */
static void is_measured_warm(void **state)
{
	struct engine_choice choice;
	int carried[ENGINE_COUNT] = {0}, in_a_row = 0;
	enum engine before = ENGINE_COPY;

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	for (int i = 0; i < 4000; i++) {
		enum engine engine = engine_choose(&choice, SIZE_CLASS);
		uint64_t cost_ns = engine == ENGINE_COPY ? 100000 : 300000;

		in_a_row = engine == before ? in_a_row + 1 : 0;
		before = engine;
		if (engine == ENGINE_SPLICE && in_a_row > 60)
			cost_ns = 50000;
		carried[engine]++;
		engine_report(&choice, SIZE_CLASS, engine, PACKET_BYTES, cost_ns);
	}
	assert_int_equal(choice.classes[SIZE_CLASS].best, ENGINE_SPLICE);
	assert_true(carried[ENGINE_SPLICE] > 3000);
}

/* What is measured in the beginning, while everything is slow, is soon measured again. */
static void a_bad_beginning_is_forgotten(void **state)
{
	const uint64_t slow[ENGINE_COUNT] = {3000, 9000, 9000};
	const uint64_t usual[ENGINE_COUNT] = {1000, 500, 2000};
	struct engine_choice choice;
	int carried[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, slow, 400, carried);
	assert_int_equal(choice.classes[SIZE_CLASS].best, ENGINE_COPY);
	run(&choice, usual, 1500, carried);
	assert_int_equal(choice.classes[SIZE_CLASS].best, ENGINE_SPLICE);
}

static void what_is_much_dearer_is_tried_rarely(void **state)
{
	const uint64_t near[ENGINE_COUNT] = {1000, 1100, 1100};
	const uint64_t far[ENGINE_COUNT] = {1000, 9000, 9000};
	struct engine_choice choice;
	int carried_near[ENGINE_COUNT], carried_far[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, near, 200000, carried_near);
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, far, 200000, carried_far);
	assert_true(carried_far[ENGINE_SPLICE] * 3 < carried_near[ENGINE_SPLICE]);
	assert_true(carried_far[ENGINE_SPLICE] > 0);
}

static void one_packet_that_was_held_up_decides_nothing(void **state)
{
	struct engine_choice choice;
	const uint64_t costs[ENGINE_COUNT] = {1000, 2000, 3000};
	int carried[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, costs, 1000, carried);
	for (int i = 0; i < 1000; i++) {
		enum engine engine = engine_choose(&choice, SIZE_CLASS);

		engine_report(&choice, SIZE_CLASS, engine, PACKET_BYTES,
			      i % ENGINE_WINDOW ? costs[engine] : 10000000);
		assert_int_equal(choice.classes[SIZE_CLASS].best, ENGINE_COPY);
	}
}

static void a_fixed_engine_stays_until_it_is_refused(void **state)
{
	const enum engine fixed = ENGINE_SPLICE;
	const uint64_t costs[ENGINE_COUNT] = {1000, 9000, 1000};
	struct engine_choice choice;
	int carried[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, &fixed, RING_BYTES);
	run(&choice, costs, 1000, carried);
	assert_int_equal(carried[ENGINE_SPLICE], 1000);
	choice.can[ENGINE_SPLICE] = false;
	run(&choice, costs, 1000, carried);
	assert_int_equal(carried[ENGINE_COPY], 1000);
}

static void what_the_kernel_refuses_is_never_chosen(void **state)
{
	const uint64_t costs[ENGINE_COUNT] = {3000, 1000, 2000};
	struct engine_choice choice;
	int carried[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, costs, 2000, carried);
	assert_int_equal(choice.classes[SIZE_CLASS].best, ENGINE_SPLICE);
	choice.can[ENGINE_SPLICE] = false;
	choice.can[ENGINE_COMPACT] = false;
	run(&choice, costs, 10000, carried);
	assert_int_equal(carried[ENGINE_COPY], 10000);
}

static void many_subscribers_are_learned_in_few_packets(void **state)
{
	/* Each packet takes 20 ms: the windows are cut by time. */
	const uint64_t costs[ENGINE_COUNT] = {40000000, 20000000, 30000000};
	struct engine_choice choice;
	int carried[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, costs, 30, carried);
	assert_int_equal(choice.classes[SIZE_CLASS].best, ENGINE_SPLICE);
}

static void classes_are_apart(void **state)
{
	const uint64_t costs[ENGINE_COUNT] = {3000, 1000, 2000};
	struct engine_choice choice;
	int carried[ENGINE_COUNT];

	(void)state;
	engine_choice_init(&choice, NULL, RING_BYTES);
	run(&choice, costs, 2000, carried);
	assert_int_equal(engine_choose(&choice, 3), ENGINE_COPY);
	assert_int_equal(engine_class(0), 0);
	assert_int_equal(engine_class(1), 0);
	assert_int_equal(engine_class(65535), 15);
	assert_int_equal(engine_class(65536), 16);
	assert_int_equal(engine_class((size_t)1 << 40), ENGINE_CLASS_COUNT - 1);
	for (int i = 0; i < ENGINE_COUNT; i++)
		assert_non_null(engine_name((enum engine)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_cheapest),
		cmocka_unit_test(tries_the_others_again_and_follows_a_change),
		cmocka_unit_test(is_measured_warm),
		cmocka_unit_test(a_bad_beginning_is_forgotten),
		cmocka_unit_test(what_is_much_dearer_is_tried_rarely),
		cmocka_unit_test(one_packet_that_was_held_up_decides_nothing),
		cmocka_unit_test(a_fixed_engine_stays_until_it_is_refused),
		cmocka_unit_test(what_the_kernel_refuses_is_never_chosen),
		cmocka_unit_test(many_subscribers_are_learned_in_few_packets),
		cmocka_unit_test(classes_are_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
