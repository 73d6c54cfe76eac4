// SPDX-License-Identifier: MIT
/*
 * The gift arena: no byte is handed out twice, no piece crosses a page, and what was gifted
 * outlives the mapping it came from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "pipe/gift_arena.h"
#include "pipe/pipe.h"
#include "pipe/pipe_io.h"

#define PAGE ((size_t)GIFT_ARENA_PAGE_BYTES)

static struct gift_arena new_arena(size_t mapping_bytes)
{
	struct gift_arena arena;

	assert_int_equal(gift_arena_init(&arena, mapping_bytes), 0);
	assert_non_null(arena.mapping);
	assert_int_equal(arena.mappings_made, 1);
	return arena;
}

static void pieces_rise_and_stay_within_a_page(void **state)
{
	(void)state;
	struct gift_arena arena = new_arena(8 * PAGE);
	const uint8_t *behind = arena.mapping;

	for (size_t len = 1; arena.mappings_made == 1; len = len * 7 % 4099) {
		if (len > PAGE)
			continue;
		const uint8_t *piece = gift_arena_alloc(&arena, len);

		assert_non_null(piece);
		if (arena.mappings_made > 1)
			break; // another mapping, another order
		assert_true(piece >= behind);
		assert_int_equal((uintptr_t)piece / PAGE, ((uintptr_t)piece + len - 1) / PAGE);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(piece[i], 0); // never written before
		memset((uint8_t *)(uintptr_t)piece, 0xee, len);
		behind = piece + len;
	}
	gift_arena_fini(&arena);
	gift_arena_fini(&arena);
}

static void a_page_is_filled_to_its_end(void **state)
{
	(void)state;
	struct gift_arena arena = new_arena(PAGE);

	for (size_t i = 0; i < PAGE / 32; i++)
		assert_ptr_equal(gift_arena_alloc(&arena, 32), arena.mapping + i * 32);
	assert_int_equal(arena.mappings_made, 1);
	assert_non_null(gift_arena_alloc(&arena, 1));
	assert_int_equal(arena.mappings_made, 2);
	assert_ptr_equal(gift_arena_alloc(&arena, PAGE - 1), arena.mapping + 1);
	assert_non_null(gift_arena_alloc(&arena, PAGE)); // the longest piece, a page of its own
	assert_int_equal(arena.mappings_made, 3);
	gift_arena_fini(&arena);
}

/* Gifts wait in a pipe, as they would in the socket of a subscriber that does not acknowledge,
 * while the arena goes through many mappings and is unmapped in the end. */
static void gifts_outlive_their_mapping(void **state)
{
	(void)state;
	enum {
		GIFTS = 256
	};
	struct gift_arena arena = new_arena(2 * PAGE);
	struct pipe p;
	uint64_t header[4];
	size_t n;
	int err;

	assert_int_equal(pipe_open(&p, GIFTS), 0);
	for (uint64_t i = 0; i < GIFTS; i++) {
		for (int j = 0; j < 50; j++) { // pieces that nobody gifts
			uint8_t *piece = gift_arena_alloc(&arena, 100);
			assert_non_null(piece);
			memset(piece, 0xff, 100);
		}
		uint64_t *place = gift_arena_alloc(&arena, sizeof(header));
		assert_non_null(place);
		memcpy(place, (uint64_t[]){i, ~i, i * i, 7}, sizeof(header));
		assert_int_equal(pipe_gift(&p, place, sizeof(header), &n, &err), PIPE_IO_OK);
		assert_int_equal(n, sizeof(header));
	}
	assert_true(arena.mappings_made > 100);
	gift_arena_fini(&arena);

	for (uint64_t i = 0; i < GIFTS; i++) {
		assert_int_equal(pipe_read(&p, header, sizeof(header), &n, &err), PIPE_IO_OK);
		assert_int_equal(n, sizeof(header));
		assert_memory_equal(header, ((uint64_t[]){i, ~i, i * i, 7}), sizeof(header));
	}
	pipe_close(&p);
}

// Whether the mapping carries a flag of /proc/PID/smaps.
static bool mapping_has_flag(const struct gift_arena *arena, const char *flag)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char line[512];
	uintptr_t from, to;
	bool inside = false, found = false;

	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			inside =
				from <= (uintptr_t)arena->mapping && (uintptr_t)arena->mapping < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(smaps);
	return found;
}

static void the_mapping_is_neither_dumped_nor_inherited(void **state)
{
	(void)state;
	struct gift_arena arena = new_arena(4 * PAGE);

	assert_true(mapping_has_flag(&arena, " dd"));
	assert_true(mapping_has_flag(&arena, " dc"));
	gift_arena_fini(&arena);
}

/* Without memory for a new mapping the old one stays, and what was in it. */
static void no_memory_is_survived(void **state)
{
	(void)state;
	struct gift_arena arena = new_arena(PAGE);
	struct rlimit old, none;

	uint8_t *piece = gift_arena_alloc(&arena, 4000);
	assert_non_null(piece);
	memset(piece, 0x5a, 4000);
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	const void *no_piece = gift_arena_alloc(&arena, 100);
	struct gift_arena unborn;
	const int r = gift_arena_init(&unborn, PAGE);
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);

	assert_null(no_piece);
	assert_int_equal(r, -ENOMEM);
	gift_arena_fini(&unborn);
	assert_int_equal(arena.mappings_made, 1);
	assert_int_equal(piece[3999], 0x5a);
	assert_ptr_equal(gift_arena_alloc(&arena, 96), piece + 4000);
	assert_non_null(gift_arena_alloc(&arena, 100));
	assert_int_equal(arena.mappings_made, 2);
	gift_arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_rise_and_stay_within_a_page),
		cmocka_unit_test(a_page_is_filled_to_its_end),
		cmocka_unit_test(gifts_outlive_their_mapping),
		cmocka_unit_test(the_mapping_is_neither_dumped_nor_inherited),
		cmocka_unit_test(no_memory_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
