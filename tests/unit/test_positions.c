// SPDX-License-Identifier: MIT
/*
 * The position-coded stream: what is made is proved, and nothing else is.
 *
 * The tools are programs, not part of the library, so the file under test is included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/tools/shared/positions.c"

enum {
	STREAM_BYTES = 20000,
	SEED = 77,
};

static const uint64_t starts[] = {0, (1ULL << 32) - 10000, (1ULL << 63) - 10000};

static unsigned check_in_pieces(struct positions_check *check, const uint8_t *bytes, size_t size,
				size_t piece_bytes)
{
	struct errmsg error;
	unsigned errors = 0;

	for (size_t at = 0; at < size; at += piece_bytes)
		errors += positions_check_add(check, bytes + at, size_min(piece_bytes, size - at),
					      &error);
	return errors + positions_check_finish(check, &error);
}

static void blocks_are_offset_and_splitmix(void **state)
{
	uint8_t block[16];
	uint64_t words[2];

	(void)state;
	positions_fill(1234567, 0, block, sizeof block);
	memcpy(words, block, sizeof words);
	assert_true(words[0] == htole64(0));
	// The first output of the published generator with this seed.
	assert_true(words[1] == htole64(6457827717110365317U));
}

static void any_piece_is_the_same_stream(void **state)
{
	uint8_t whole[256];
	uint8_t piece[256];

	(void)state;
	positions_fill(SEED, 0, whole, sizeof whole);
	for (size_t at = 0; at < 40; at++) {
		for (size_t size = 0; at + size <= sizeof whole; size += 7) {
			positions_fill(SEED, at, piece, size);
			assert_memory_equal(piece, whole + at, size);
		}
	}
}

static void joins_anywhere_in_any_pieces(void **state)
{
	static uint8_t bytes[STREAM_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		for (size_t piece = 1; piece < 5000; piece = piece * 3 + 1) {
			for (size_t skip = 0; skip < 34; skip++) {
				struct positions_check check;

				positions_fill(SEED, starts[i] + skip, bytes, sizeof bytes);
				positions_check_init(&check, SEED);
				assert_int_equal(
					check_in_pieces(&check, bytes, sizeof bytes, piece), 0);
				assert_true(check.verified == sizeof bytes);
			}
		}
	}
}

static void each_flipped_bit_is_one_error(void **state)
{
	uint8_t bytes[512];

	(void)state;
	for (size_t at = 64; at < sizeof bytes; at += 5) {
		struct positions_check check;

		positions_fill(SEED, 1600, bytes, sizeof bytes);
		bytes[at] ^= (uint8_t)(1 << at % 8);
		positions_check_init(&check, SEED);
		assert_int_equal(check_in_pieces(&check, bytes, sizeof bytes, 100), 1);
	}
}

static void jump_is_named(void **state)
{
	uint8_t bytes[400];
	struct positions_check check;
	struct errmsg error;

	(void)state;
	positions_fill(SEED, 1600, bytes, 200);
	positions_fill(SEED, 5000, bytes + 200, 200);
	positions_check_init(&check, SEED);
	assert_int_equal(positions_check_add(&check, bytes, sizeof bytes, &error), 1);
	assert_string_equal(error.text,
			    "stream jumps from offset 1800 to 5000: 3200 bytes missing");
	positions_fill(SEED, 4000, bytes, 200);
	assert_int_equal(positions_check_add(&check, bytes, 200, &error), 1);
	assert_string_equal(error.text,
			    "stream jumps from offset 5200 to 4000: 1200 bytes repeated");
}

static void announced_jump_is_none(void **state)
{
	uint8_t bytes[200];
	struct positions_check check;
	struct errmsg error;

	(void)state;
	positions_check_init(&check, SEED);
	positions_fill(SEED, 3, bytes, sizeof bytes);
	assert_int_equal(positions_check_add(&check, bytes, sizeof bytes, &error), 0);
	positions_check_rejoin(&check);
	positions_fill(SEED, 100001, bytes, sizeof bytes);
	assert_int_equal(positions_check_add(&check, bytes, sizeof bytes, &error), 0);
	assert_int_equal(positions_check_finish(&check, &error), 0);
}

static void other_stream_is_foreign(void **state)
{
	uint8_t bytes[400];
	struct positions_check check;
	struct errmsg error;

	(void)state;
	positions_fill(SEED + 1, 0, bytes, sizeof bytes);
	positions_check_init(&check, SEED);
	assert_int_equal(positions_check_add(&check, bytes, sizeof bytes, &error), 1);
	assert_string_equal(error.text, "bytes are not of this stream (is the seed right?)");
	assert_true(check.verified == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_offset_and_splitmix),
		cmocka_unit_test(any_piece_is_the_same_stream),
		cmocka_unit_test(joins_anywhere_in_any_pieces),
		cmocka_unit_test(each_flipped_bit_is_one_error),
		cmocka_unit_test(jump_is_named),
		cmocka_unit_test(announced_jump_is_none),
		cmocka_unit_test(other_stream_is_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
