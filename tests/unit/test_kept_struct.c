// SPDX-License-Identifier: MIT
/*
 * Every table of what is kept: each member comes back as it was, each that is out of its bounds is
 * refused by its name, and each says something of the schema.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "ring/ring_kept_layout.h"
#include "serve/handover.h"

enum {
	TABLES_MAX = 32,
	FIRST_FD = 900, // not open
	FDS = 8,
};

static const struct kept_table *const in_memory[] = {&subscriber_record_table, &part_record_table,
						     &rendition_record_table, &slot_record_table,
						     &commit_record_table};

static size_t all_tables(const struct kept_table *ret[TABLES_MAX])
{
	size_t count;
	const struct kept_table *const *tables = handover_tables(&count);

	assert_true(count + ARRAY_LEN(in_memory) <= TABLES_MAX);
	memcpy(ret, tables, count * sizeof(*tables));
	memcpy(ret + count, in_memory, sizeof(in_memory));
	return count + ARRAY_LEN(in_memory);
}

static bool is_in_memory_only(const struct kept_row *row)
{
	return row->kind == KEPT_KIND_U8 || row->kind == KEPT_KIND_I32 ||
	       row->kind == KEPT_KIND_A32 || row->kind == KEPT_KIND_A64;
}

static bool can_travel(const struct kept_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		if (is_in_memory_only(&table->rows[i]))
			return false;
	}
	return table->count > 0;
}

static void put(uint8_t *object, const struct kept_row *row, uint64_t value)
{
	memcpy(object + row->offset, &value, row->bytes);
}

// In each member a value that it may have, and no other member has.
static uint8_t *fill(const struct kept_table *table)
{
	uint8_t *object = calloc(1, table->bytes + 1);
	unsigned fds = 0;

	assert_non_null(object);
	for (size_t i = 0; i < table->count; i++) {
		const struct kept_row *row = &table->rows[i];

		if (row->kind == KEPT_KIND_TEXT)
			(void)snprintf((char *)object + row->offset, row->bytes, "text %zu", i);
		else if (row->kind == KEPT_KIND_BYTES)
			memset(object + row->offset, (int)i + 1, row->bytes);
		else if (row->kind == KEPT_KIND_NAME)
			put(object, row, 1 + i % (row->names->count - 1));
		else if (row->kind == KEPT_KIND_FD)
			put(object, row, FIRST_FD + fds++);
		else
			put(object, row, u64_min(i + 1, row->most));
	}
	return object;
}

static void write_object(const struct kept_table *table, uint8_t *object, struct state_stream *ret)
{
	state_stream_write(ret);
	kept_transfer(ret, table, object);
}

// NULL: all is well.
static const char *read_object(const struct kept_table *table, const struct state_stream *from,
			       size_t length, uint8_t *ret)
{
	struct state_stream stream;
	const char *fault;

	state_stream_read(&stream, from->bytes, length, NULL);
	kept_transfer(&stream, table, ret);
	state_end(&stream);
	fault = stream.fault;
	state_stream_free(&stream);
	return fault;
}

static void each_comes_back_as_it_was(void **state)
{
	const struct kept_table *tables[TABLES_MAX];
	size_t count = all_tables(tables), travelled = 0;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		uint8_t *object = fill(tables[i]), *back = calloc(1, tables[i]->bytes + 1);
		struct state_stream stream;

		assert_null(kept_fault(tables[i], object));
		if (can_travel(tables[i])) {
			write_object(tables[i], object, &stream);
			assert_null(stream.fault);
			assert_null(read_object(tables[i], &stream, stream.length, back));
			assert_memory_equal(back, object, tables[i]->bytes + 1);
			for (size_t length = 0; length < stream.length; length++)
				assert_non_null(read_object(tables[i], &stream, length, back));
			state_stream_free(&stream);
			travelled++;
		}
		free(object);
		free(back);
	}
	assert_true(travelled >= 10);
}

static bool has_bound(const struct kept_row *row)
{
	uint64_t most = row->bytes == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * row->bytes) - 1;

	return row->kind != KEPT_KIND_TEXT && row->kind != KEPT_KIND_BYTES &&
	       row->kind != KEPT_KIND_FD && row->kind != KEPT_KIND_I32 && row->most < most;
}

// The stream writes a bool and a name by what they mean, so only memory can have wrong ones.
static void each_bound_holds(void **state)
{
	const struct kept_table *tables[TABLES_MAX];
	size_t count = all_tables(tables), bounds = 0;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < tables[i]->count; k++) {
			const struct kept_row *row = &tables[i]->rows[k];
			uint8_t *object = fill(tables[i]);
			struct state_stream stream;

			if (row->kind == KEPT_KIND_TEXT)
				memset(object + row->offset, 'x', row->bytes);
			else if (row->kind == KEPT_KIND_NAME)
				put(object, row, row->names->count);
			else if (has_bound(row))
				put(object, row, row->most + 1);
			else
				row = NULL;
			if (row) {
				assert_string_equal(kept_fault(tables[i], object), row->what);
				bounds++;
			}
			if (row && can_travel(tables[i]) && row->kind != KEPT_KIND_BOOL &&
			    row->kind != KEPT_KIND_NAME && row->kind != KEPT_KIND_TEXT) {
				write_object(tables[i], object, &stream);
				assert_string_equal(
					read_object(tables[i], &stream, stream.length, object),
					row->what);
				state_stream_free(&stream);
			}
			free(object);
		}
	}
	assert_true(bounds >= 60);
}

static void expect(const struct kept_table *const *tables, size_t count, const uint32_t before[2],
		   bool schema_stays, bool layout_stays)
{
	assert_int_equal(kept_schema(tables, count) == before[0], schema_stays);
	assert_int_equal(kept_layout(tables, count) == before[1], layout_stays);
}

// A change of any row is another schema; a change of a place or a size only another layout.
static void each_row_counts(void **state)
{
	const struct kept_table *tables[TABLES_MAX];
	size_t count = all_tables(tables);
	const uint32_t before[] = {kept_schema(tables, count), kept_layout(tables, count)};

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct kept_table *was = tables[i];
		struct kept_row *rows = calloc(was->count + 1, sizeof(*rows));
		struct kept_table changed = {was->name, rows, was->count, was->bytes + 8};

		memcpy(rows, was->rows, was->count * sizeof(*rows));
		tables[i] = &changed;
		expect(tables, count, before, true, false);
		changed.bytes = was->bytes;
		expect(tables, count, before, true, true);
		for (size_t k = 0; k < was->count; k++) {
			rows[k].offset++;
			expect(tables, count, before, true, false);
			rows[k] = was->rows[k];
			rows[k].most++;
			expect(tables, count, before, false, false);
			rows[k] = was->rows[k];
			rows[k].what = "something else";
			expect(tables, count, before, false, false);
			rows[k] = was->rows[k];
		}
		changed.count++;
		rows[was->count].what = "one more";
		expect(tables, count, before, false, false);
		tables[i] = was;
		free(rows);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_comes_back_as_it_was),
		cmocka_unit_test(each_bound_holds),
		cmocka_unit_test(each_row_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
