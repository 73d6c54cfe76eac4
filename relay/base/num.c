// SPDX-License-Identifier: MIT
/*
 * Sizes, durations and counts as people write them, and back.
 *
 * Each kind is a table of units, from which both directions are made; the rest of a text after its
 * digits has to be one of them exactly.
 */
#include "base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Greatest first, for printing; an empty suffix is a bare number. */
static const struct unit byte_units[] = {
	{"g", UINT64_C(1) << 30},
	{"m", UINT64_C(1) << 20},
	{"k", UINT64_C(1) << 10},
	{"", 1},
};

static const struct unit duration_units[] = {
	{"d", 24 * 60 * 60 * 1000}, {"h", 60 * 60 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1},
};

static const struct unit count_units[] = {
	{"", 1},
};

/* The digits at the start of text; *ret_rest is what follows them. */
static int parse_digits(const char *text, uint64_t *ret, const char **ret_rest)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	}
	if (p == text)
		return -EINVAL;
	*ret = value;
	*ret_rest = p;
	return 0;
}

static int parse(const char *text, const struct unit *units, size_t n, uint64_t *ret)
{
	const char *suffix;
	uint64_t value;
	int r;

	r = parse_digits(text, &value, &suffix);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (strcasecmp(suffix, units[i].suffix) != 0)
			continue;
		if (__builtin_mul_overflow(value, units[i].factor, &value))
			return -ERANGE;
		*ret = value;
		return 0;
	}
	return -EINVAL;
}

static void print(char *buf, size_t size, const struct unit *units, uint64_t value)
{
	while (value % units->factor != 0)
		units++;
	snprintf(buf, size, "%" PRIu64 "%s", value / units->factor, units->suffix);
}

int num_parse_bytes(const char *text, uint64_t *ret_bytes)
{
	return parse(text, byte_units, ARRAY_LEN(byte_units), ret_bytes);
}

int num_parse_duration_ms(const char *text, uint64_t *ret_ms)
{
	uint64_t zero;

	if (num_parse_count(text, &zero) == 0 && zero == 0) {
		*ret_ms = 0;
		return 0;
	}
	return parse(text, duration_units, ARRAY_LEN(duration_units), ret_ms);
}

int num_parse_bytes_or_duration(const char *text, uint64_t *ret_bytes, uint64_t *ret_ms)
{
	size_t length = strlen(text);
	uint64_t bytes = 0, ms = 0;
	int r;

	if (length > 1 && (text[length - 1] == 'm' || text[length - 1] == 'M'))
		return -EINVAL;
	r = num_parse_bytes(text, &bytes);
	if (r == -EINVAL)
		r = num_parse_duration_ms(text, &ms);
	if (r < 0)
		return r;
	*ret_bytes = bytes;
	*ret_ms = ms;
	return 0;
}

int num_parse_count(const char *text, uint64_t *ret_count)
{
	return parse(text, count_units, ARRAY_LEN(count_units), ret_count);
}

const char *num_print_bytes(char *buf, size_t size, uint64_t bytes)
{
	if (bytes == 0)
		snprintf(buf, size, "0");
	else
		print(buf, size, byte_units, bytes);
	return buf;
}

const char *num_print_duration_ms(char *buf, size_t size, uint64_t ms)
{
	if (ms == 0)
		snprintf(buf, size, "0");
	else
		print(buf, size, duration_units, ms);
	return buf;
}

const char *num_print_rate(char *buf, size_t size, uint64_t bytes_per_s)
{
	static const char *const units[] = {"B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s", "EB/s"};
	double value = (double)bytes_per_s;
	size_t u = 0;

	/* 999.5 would be printed as 1000 */
	while (value >= 999.5 && u + 1 < ARRAY_LEN(units)) {
		value /= 1000;
		u++;
	}
	snprintf(buf, size, "%.*f %s",
		 u == 0 || value >= 99.95 ? 0
		 : value >= 9.995         ? 1
					  : 2,
		 value, units[u]);
	return buf;
}
