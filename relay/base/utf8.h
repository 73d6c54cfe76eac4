// SPDX-License-Identifier: MIT
/*
 * Is it UTF-8 (RFC 3629): no overlong form, no surrogate, nothing above U+10FFFF.
 *
 * A check takes the text in pieces that may end anywhere, and knows at the first byte that cannot
 * be part of any UTF-8 text.  Which characters are welcome is left to others.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* All zero is the start of a text. */
struct utf8_check {
	uint8_t missing;   /* private: bytes that the character begun still needs */
	uint8_t low, high; /* private: between which the next one of them must be */
};

/* False when these bytes cannot go on the text so far; the check is then of no further use. */
bool utf8_check(struct utf8_check *check, const void *bytes, size_t count) must_check;

/* May the text end here, between two characters? */
static inline bool utf8_is_whole(const struct utf8_check *check)
{
	return check->missing == 0;
}

/* A whole text at once. */
bool utf8_is_valid(const void *bytes, size_t count) must_check;

/* Bytes of the character at the start of the text, 1 to 4; 0 when there is no whole one. */
size_t utf8_character_bytes(const void *bytes, size_t count) must_check;

/* The text with U+FFFD in place of every byte that is not part of a whole character: written to
 * `out`, which has room for 3 * count bytes, or only measured when that is NULL.  Returns its
 * bytes. */
size_t utf8_replace(const void *bytes, size_t count, uint8_t *out);
