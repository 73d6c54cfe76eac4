// SPDX-License-Identifier: MIT
/* Pages against a list of them that is searched page by page: the same ones are taken, always. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "continuity/page_room.h"
#include "tests/unit/ring_kept_rig.h"

enum {
	PAGES = 1000,
	PIECES = 60,
	ROUNDS = 200000,
};

struct piece {
	size_t first, count;
};

static size_t first_fit(const bool *taken, size_t count)
{
	size_t free_count = 0;

	for (size_t page = 0; page < PAGES; page++) {
		free_count = taken[page] ? 0 : free_count + 1;
		if (free_count == count)
			return page + 1 - count;
	}
	return PAGE_ROOM_NONE;
}

static void the_first_that_fit_are_taken(void **state)
{
	struct piece pieces[PIECES] = {0};
	bool taken[PAGES] = {0};
	struct page_room room;
	uint64_t random = 7, refused = 0;

	(void)state;
	assert_int_equal(page_room_init(&room, PAGES), 0);
	for (int i = 0; i < ROUNDS; i++) {
		struct piece *piece = &pieces[rig_random_below(&random, PIECES)];

		if (piece->count) {
			page_room_give(&room, piece->first, piece->count);
			memset(taken + piece->first, false, piece->count);
			piece->count = 0;
			continue;
		}
		piece->count =
			1 + rig_random_below(&random, rig_random_below(&random, 2) ? 4 : 140);
		piece->first = page_room_take(&room, piece->count);
		assert_int_equal(piece->first, first_fit(taken, piece->count));
		if (piece->first == PAGE_ROOM_NONE) {
			refused++;
			piece->count = 0;
			continue;
		}
		memset(taken + piece->first, true, piece->count);
	}
	assert_true(refused > 0);
	page_room_fini(&room);
	page_room_fini(&room);
}

static void all_of_it_can_be_taken(void **state)
{
	struct page_room room;

	(void)state;
	for (size_t pages = 1; pages < 200; pages++) {
		assert_int_equal(page_room_init(&room, pages), 0);
		assert_int_equal(page_room_take(&room, pages + 1), PAGE_ROOM_NONE);
		assert_int_equal(page_room_take(&room, SIZE_MAX), PAGE_ROOM_NONE);
		assert_int_equal(page_room_take(&room, pages), 0);
		assert_int_equal(page_room_take(&room, 1), PAGE_ROOM_NONE);
		page_room_give(&room, 0, pages);
		assert_int_equal(page_room_take(&room, pages), 0);
		page_room_fini(&room);
	}
}

static void what_is_free_can_be_taken_where_it_is(void **state)
{
	struct page_room room;

	(void)state;
	assert_int_equal(page_room_init(&room, PAGES), 0);
	assert_true(page_room_is_empty(&room));
	assert_true(page_room_take_at(&room, 70, 130));
	assert_false(page_room_is_empty(&room));
	assert_false(page_room_take_at(&room, 199, 2));
	assert_false(page_room_take_at(&room, 69, 2));
	assert_false(page_room_take_at(&room, PAGES - 1, 2));
	assert_false(page_room_take_at(&room, SIZE_MAX, 1));
	assert_false(page_room_take_at(&room, 1, SIZE_MAX));
	assert_true(page_room_take_at(&room, 200, 1)); // those that were refused have taken nothing
	assert_true(page_room_take_at(&room, 0, 1));
	assert_int_equal(page_room_take(&room, 69), 1);
	assert_int_equal(page_room_take(&room, 1), 201);
	page_room_give(&room, 0, 202);
	assert_true(page_room_is_empty(&room));
	page_room_fini(&room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_that_fit_are_taken),
		cmocka_unit_test(all_of_it_can_be_taken),
		cmocka_unit_test(what_is_free_can_be_taken_where_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
