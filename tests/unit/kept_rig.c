// SPDX-License-Identifier: MIT
/* Any values, row by row. */
#include "tests/unit/kept_rig.h"

#include <string.h>

static void fill_text(char *text, size_t bytes, uint64_t *random)
{
	size_t length = 1 + rig_random_below(random, bytes - 1);

	memset(text, 0, bytes);
	for (size_t i = 0; i < length; i++)
		text[i] = (char)('a' + rig_random_below(random, 26));
}

static void fill_row(const struct kept_row *row, uint8_t *member, uint64_t *random)
{
	uint64_t limit = row->names ? row->names->count : row->most + 1;
	uint64_t value = limit ? rig_random_below(random, limit) : rig_random(random);

	if (row->kind == KEPT_KIND_TEXT) {
		fill_text((char *)member, row->bytes, random);
	} else if (row->kind == KEPT_KIND_BYTES) {
		for (size_t i = 0; i < row->bytes; i++)
			member[i] = (uint8_t)rig_random(random);
	} else if (row->kind != KEPT_KIND_FD) {
		memcpy(member, &value, row->bytes);
	}
}

void kept_rig_fill(const struct kept_table *table, void *object, uint64_t *random)
{
	for (size_t i = 0; i < table->count; i++)
		fill_row(&table->rows[i], (uint8_t *)object + table->rows[i].offset, random);
}

const char *kept_rig_difference(const struct kept_table *table, const void *left, const void *right)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct kept_row *row = &table->rows[i];
		const uint8_t *a = (const uint8_t *)left + row->offset;
		const uint8_t *b = (const uint8_t *)right + row->offset;

		if (row->kind == KEPT_KIND_TEXT ? strcmp((const char *)a, (const char *)b) != 0
						: memcmp(a, b, row->bytes) != 0)
			return row->what;
	}
	return NULL;
}
