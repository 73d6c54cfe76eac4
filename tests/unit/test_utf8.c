// SPDX-License-Identifier: MIT
/*
 * base/utf8.c against the definition: every code point, and half of all sequences of three bytes
 * with a fourth at its bounds, judged by decoding it the long way round.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/utf8.h"

static size_t encode(uint32_t c, uint8_t out[4])
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

static void every_code_point_but_the_surrogates_is_valid(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x200000; c++) {
		bool expected = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
		uint8_t bytes[4];
		size_t count = encode(c, bytes);

		assert_int_equal(utf8_is_valid(bytes, count), expected);
		assert_int_equal(utf8_character_bytes(bytes, count), expected ? count : 0);
	}
}

// Is it the encoding of one code point, and the only one it has?
static bool is_one_character(const uint8_t *bytes, size_t count)
{
	static const uint8_t lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = bytes[0] & lead_bits[count];
	uint8_t again[4];

	for (size_t i = 1; i < count; i++)
		c = c << 6 | (bytes[i] & 0x3f);
	if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return false;
	return encode(c, again) == count && memcmp(bytes, again, count) == 0;
}

static void sequences_are_judged_by_their_code_point(void **state)
{
	static const uint8_t fourth[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};

	(void)state;
	for (uint32_t n = 0; n < 1 << 24; n += 1 + n % 3) {
		uint8_t bytes[4] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n,
				    fourth[n % sizeof(fourth)]};
		size_t expected = 0;

		for (size_t count = 1; count <= 4 && !expected; count++)
			expected = is_one_character(bytes, count) ? count : 0;
		if (utf8_character_bytes(bytes, sizeof(bytes)) != expected)
			fail_msg("%02x %02x %02x %02x: expected %zu", bytes[0], bytes[1], bytes[2],
				 bytes[3], expected);
	}
}

static void a_text_may_be_cut_anywhere(void **state)
{
	static const char text[] = "z\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80!";
	static const bool whole[] = {true, true,  false, true,  false, false,
				     true, false, false, false, true,  true};

	(void)state;
	for (size_t cut = 0; cut < sizeof(text); cut++) {
		struct utf8_check check = {0};

		assert_true(utf8_check(&check, text, cut));
		assert_int_equal(utf8_is_whole(&check), whole[cut]);
		assert_int_equal(utf8_is_valid(text, cut), whole[cut]);
		assert_true(utf8_check(&check, text + cut, sizeof(text) - 1 - cut));
		assert_true(utf8_is_whole(&check));
	}
	assert_true(utf8_is_valid("", 0));
	assert_int_equal(utf8_character_bytes("", 0), 0);
	assert_int_equal(utf8_character_bytes("\xe2\x82", 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_point_but_the_surrogates_is_valid),
		cmocka_unit_test(sequences_are_judged_by_their_code_point),
		cmocka_unit_test(a_text_may_be_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
