// SPDX-License-Identifier: MIT
/* Messages that a stream has not acknowledged: kept in order, and no more of them than
 * there may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nats/unacked.h"

static int make(void **state)
{
	*state = calloc(1, sizeof(struct unacked));
	return *state ? 0 : -1;
}

static int drop(void **state)
{
	unacked_clear(*state);
	free(*state);
	return 0;
}

static void add(struct unacked *unacked, uint64_t sequence, const char *text)
{
	const struct forward_id id = {7, sequence};

	assert_int_equal(unacked_add(unacked, &id, (const uint8_t *)text, strlen(text)), 0);
}

static void what_is_settled_is_gone(void **state)
{
	struct unacked *unacked = *state;

	assert_true(unacked_is_empty(unacked));
	add(unacked, 10, "one");
	add(unacked, 11, "two");
	add(unacked, 12, "three");
	assert_int_equal(unacked->bytes, 11);
	assert_true(unacked_settle(unacked, 1));
	assert_false(unacked_settle(unacked, 1));
	assert_null(unacked_find(unacked, 1));
	assert_int_equal(unacked->first, 0);
	assert_true(unacked_settle(unacked, 0));
	assert_int_equal(unacked->first, 2);
	assert_int_equal(unacked_find(unacked, 2)->id.sequence, 12);
	assert_memory_equal(unacked_find(unacked, 2)->bytes, "three", 5);
	assert_int_equal(unacked->bytes, 5);
	assert_false(unacked_settle(unacked, 3));
	assert_false(unacked_settle(unacked, UINT64_MAX));
	unacked_clear(unacked);
	assert_true(unacked_is_empty(unacked));
	assert_int_equal(unacked->bytes, 0);
}

static void there_are_so_many_at_most(void **state)
{
	struct unacked *unacked = *state;

	for (uint64_t i = 0; i < UNACKED_MAX; i++) {
		assert_false(unacked_is_full(unacked));
		add(unacked, i, "x");
	}
	assert_true(unacked_is_full(unacked));
	assert_true(unacked_settle(unacked, 5));
	assert_true(
		unacked_is_full(unacked)); /* the oldest one holds the place of those behind it */
	assert_true(unacked_settle(unacked, 0));
	assert_false(unacked_is_full(unacked));
	add(unacked, UNACKED_MAX, "y");
	assert_memory_equal(unacked_find(unacked, UNACKED_MAX)->bytes, "y", 1);
	assert_int_equal(unacked_find(unacked, 1)->id.sequence, 1);
}

static void they_have_so_many_bytes_at_most(void **state)
{
	const struct forward_id id = {7, 1};
	struct unacked *unacked = *state;
	uint8_t *bytes = calloc(1, UNACKED_BYTES);

	assert_non_null(bytes);
	assert_int_equal(unacked_add(unacked, &id, bytes, UNACKED_BYTES - 1), 0);
	assert_false(unacked_is_full(unacked));
	assert_int_equal(unacked_add(unacked, &id, bytes, UNACKED_BYTES), 0);
	assert_true(unacked_is_full(unacked));
	assert_true(unacked_settle(unacked, 0));
	assert_true(unacked_is_full(unacked));
	assert_true(unacked_settle(unacked, 1));
	assert_false(unacked_is_full(unacked));
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_settled_is_gone, make, drop),
		cmocka_unit_test_setup_teardown(there_are_so_many_at_most, make, drop),
		cmocka_unit_test_setup_teardown(they_have_so_many_bytes_at_most, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
