// SPDX-License-Identifier: MIT
/*
 * What the fuzz targets share.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_expect(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "fuzz: does not hold: %s\n", what);
	abort();
}

uint32_t fuzz_hash(const uint8_t *bytes, size_t count)
{
	uint32_t hash = 2166136261;

	for (size_t i = 0; i < count; i++)
		hash = (hash ^ bytes[i]) * 16777619;
	return hash;
}

static void compare(enum parse_rig_kind kind, const uint8_t *bytes, size_t count,
		    struct parse_rig_cut cut, const char *whole)
{
	char out[PARSE_RIG_TEXT_BYTES];

	parse_rig_run(kind, bytes, count, cut, out);
	if (strcmp(whole, out) == 0)
		return;
	fprintf(stderr, "whole:\n  %s\nin pieces of %zu and then %zu:\n  %s\n", whole, cut.first,
		cut.step, out);
	abort();
}

void fuzz_every_way(enum parse_rig_kind kind, const uint8_t *bytes, size_t count)
{
	char whole[PARSE_RIG_TEXT_BYTES];
	uint32_t hash = fuzz_hash(bytes, count);

	parse_rig_run(kind, bytes, count, PARSE_RIG_WHOLE, whole);
	if (count < 2)
		return;
	compare(kind, bytes, count, PARSE_RIG_SPLIT(1 + hash % (count - 1)), whole);
	/* mostly large ones, for each costs an allocation */
	compare(kind, bytes, count,
		(struct parse_rig_cut){1 + hash % 7, 1 + hash / 7 % (hash % 8 ? 200 : 3)}, whole);
}
