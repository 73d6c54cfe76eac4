// SPDX-License-Identifier: MIT
/* What a process has written that is stopped at each of its instructions. */
#include "tests/unit/kill_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <string.h>

void killed_note(struct killed *killed, const void *before, const void *now)
{
	const struct kept_table *table = killed->table;

	for (size_t i = 0; i < table->count; i++) {
		const struct kept_row *row = &table->rows[i];

		if (memcmp((const uint8_t *)before + row->offset,
			   (const uint8_t *)now + row->offset, row->bytes) != 0)
			killed->changes[i]++;
	}
}

const char *killed_missing(const struct killed *killed)
{
	assert_true(killed->table->count <= KILLED_ROWS_MAX);
	for (size_t i = 0; i < killed->table->count; i++) {
		if (!killed->changes[i])
			return killed->table->rows[i].what;
	}
	return NULL;
}
