// SPDX-License-Identifier: MIT
/*
 * Is it UTF-8: RFC 3629, section 4, as a table of first bytes and what may follow each.
 *
 * Only the second byte of a character has bounds of its own (they keep out overlong forms,
 * surrogates and what lies above U+10FFFF); the bounds of the others are always 80 to BF.
 */
#include "base/utf8.h"

#include <string.h>

#include "base/compiler.h"

struct utf8_lead {
	uint8_t first, last; /* leading bytes */
	uint8_t following;
	uint8_t low, high; /* of the second byte */
};

static const struct utf8_lead leads[] = {
	{0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf}, {0xe1, 0xec, 2, 0x80, 0xbf},
	{0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf}, {0xf0, 0xf0, 3, 0x90, 0xbf},
	{0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f},
};

static bool begin_character(struct utf8_check *check, uint8_t byte)
{
	for (size_t i = 0; i < ARRAY_LEN(leads); i++) {
		if (byte < leads[i].first || byte > leads[i].last)
			continue;
		check->missing = leads[i].following;
		check->low = leads[i].low;
		check->high = leads[i].high;
		return true;
	}
	return false;
}

/* How many bytes of ASCII there are in front.  Most text is that: eight at a time. */
static size_t count_ascii(const uint8_t *bytes, size_t count)
{
	size_t ascii = 0;
	uint64_t eight;

	for (; ascii + sizeof(eight) <= count; ascii += sizeof(eight)) {
		memcpy(&eight, bytes + ascii, sizeof(eight));
		if (eight & 0x8080808080808080)
			break;
	}
	while (ascii < count && bytes[ascii] < 0x80)
		ascii++;
	return ascii;
}

bool utf8_check(struct utf8_check *check, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	for (const uint8_t *end = at + count; at < end; at++) {
		if (check->missing > 0) {
			if (*at < check->low || *at > check->high)
				return false;
			check->missing--;
			check->low = 0x80;
			check->high = 0xbf;
		} else if (*at < 0x80) {
			at += count_ascii(at, (size_t)(end - at)) - 1;
		} else if (!begin_character(check, *at)) {
			return false;
		}
	}
	return true;
}

bool utf8_is_valid(const void *bytes, size_t count)
{
	struct utf8_check check = {0};

	return utf8_check(&check, bytes, count) && utf8_is_whole(&check);
}

size_t utf8_character_bytes(const void *bytes, size_t count)
{
	struct utf8_check check = {0};
	const uint8_t *at = bytes;

	for (size_t i = 0; i < count && utf8_check(&check, at + i, 1); i++) {
		if (utf8_is_whole(&check))
			return i + 1;
	}
	return 0;
}

size_t utf8_replace(const void *bytes, size_t count, uint8_t *out)
{
	static const uint8_t replacement[] = {0xef, 0xbf, 0xbd}; /* U+FFFD */
	const uint8_t *at = bytes;
	size_t written = 0;

	for (size_t i = 0; i < count;) {
		size_t ascii = count_ascii(at + i, count - i);
		size_t whole = ascii ? ascii : utf8_character_bytes(at + i, count - i);
		const uint8_t *from = whole ? at + i : replacement;
		size_t length = whole ? whole : sizeof(replacement);

		if (out)
			memcpy(out + written, from, length);
		written += length;
		i += whole ? whole : 1;
	}
	return written;
}
