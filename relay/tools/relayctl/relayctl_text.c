// SPDX-License-Identifier: MIT
/* For eyes only: what a program wants to read is in --json. */
#include "tools/relayctl/relayctl_text.h"

#include "base/compiler.h"
#include "base/num.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *text_escape(char *buf, size_t size, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0, fits = 0; // fits: where "..." can still begin

	for (; *text; text++) {
		unsigned byte = (unsigned char)*text;
		char piece[5] = {(char)byte};

		if (byte == '\\')
			memcpy(piece, "\\\\", 3);
		else if (byte < ' ' || byte > '~')
			memcpy(piece, (char[]){'\\', 'x', hex[byte >> 4], hex[byte & 15], '\0'}, 5);
		if (at + strlen(piece) >= size) {
			(void)snprintf(buf + fits, size - fits, "...");
			return buf;
		}
		memcpy(buf + at, piece, strlen(piece));
		at += strlen(piece);
		if (at + 4 <= size)
			fits = at;
	}
	buf[at] = '\0';
	return buf;
}

const char *text_count(char *buf, size_t size, uint64_t count)
{
	char digits[NUM_PRINT_BYTES];
	size_t length = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, count);
	size_t at = 0;

	for (size_t i = 0; i < length && at + 2 < size; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			buf[at++] = ',';
		buf[at++] = digits[i];
	}
	buf[at] = '\0';
	return buf;
}

/* 1.23, 12.3, 123 of the unit. */
static const char *three_digits(char *buf, size_t size, uint64_t value, uint64_t unit,
				const char *name)
{
	double number = (double)value / (double)unit;
	int decimals = number >= 99.95 ? 0 : number >= 9.995 ? 1 : 2;

	(void)snprintf(buf, size, "%.*f %s", decimals, number, name);
	return buf;
}

const char *text_duration_us(char *buf, size_t size, uint64_t us)
{
	static const struct {
		uint64_t seconds, part;
		char unit, part_unit;
	} units[] = {
		{86400, 3600, 'd', 'h'},
		{3600, 60, 'h', 'm'},
		{60, 1, 'm', 's'},
	};
	uint64_t s = us / 1000000;

	if (us < 1000) {
		(void)snprintf(buf, size, "%" PRIu64 " us", us);
		return buf;
	}
	// 999.5 ms would be printed as 1000 ms
	if (us < 999500)
		return three_digits(buf, size, us, 1000, "ms");
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (s < units[i].seconds)
			continue;
		(void)snprintf(buf, size, "%" PRIu64 "%c %02" PRIu64 "%c", s / units[i].seconds,
			       units[i].unit, s % units[i].seconds / units[i].part,
			       units[i].part_unit);
		return buf;
	}
	return three_digits(buf, size, us, 1000000, "s");
}
