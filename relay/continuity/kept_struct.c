// SPDX-License-Identifier: MIT
/* Tables walked row by row. */
#include "continuity/kept_struct.h"

#include <stdio.h>
#include <string.h>

enum {
	NAME_BYTES = 65,
};

static void *member_of(void *object, const struct kept_row *row)
{
	return (uint8_t *)object + row->offset;
}

/* ---- names ---- */

/* names->count: no such name here. */
static size_t find_name(const struct kept_names *names, const char *name)
{
	size_t index = 0;

	while (index < names->count && strcmp(names->name_at(index), name) != 0)
		index++;
	return index;
}

static void transfer_name(struct state_stream *stream, unsigned *index,
			  const struct kept_names *names, const char *what)
{
	char name[NAME_BYTES] = "";

	if (!stream->is_reading && *index < names->count)
		(void)snprintf(name, sizeof(name), "%s", names->name_at(*index));
	state_text(stream, name, sizeof(name), what);
	if (!stream->is_reading || stream->fault)
		return;
	*index = (unsigned)find_name(names, name);
	if (*index == names->count)
		state_fail(stream, what);
}

void kept_transfer_counts(struct state_stream *stream, uint64_t *counts,
			  const struct kept_names *names)
{
	size_t there = names->count;

	state_size(stream, &there, UINT16_MAX, "number of counters");
	for (size_t i = 0; i < there && !stream->fault; i++) {
		char name[NAME_BYTES] = "";
		uint64_t value = stream->is_reading ? 0 : counts[i];
		size_t index = i;

		if (!stream->is_reading)
			(void)snprintf(name, sizeof(name), "%s", names->name_at(i));
		state_text(stream, name, sizeof(name), "name of a counter");
		state_u64(stream, &value, UINT64_MAX, "counter");
		if (stream->is_reading && !stream->fault)
			index = find_name(names, name);
		if (stream->is_reading && index < names->count)
			counts[index] = value;
	}
}

/* ---- tables ---- */

static void transfer_bytes(struct state_stream *stream, uint8_t *member, const struct kept_row *row)
{
	uint8_t *bytes = member;

	state_bytes(stream, &bytes, row->bytes, row->what);
	if (stream->is_reading && bytes)
		memcpy(member, bytes, row->bytes);
}

static void transfer_row(struct state_stream *stream, void *member, const struct kept_row *row)
{
	switch (row->kind) {
	case KEPT_KIND_BOOL:
		state_bool(stream, member, row->what);
		break;
	case KEPT_KIND_U32:
	case KEPT_KIND_UNSIGNED:
		state_unsigned(stream, member, (unsigned)row->most, row->what);
		break;
	case KEPT_KIND_U64:
		state_u64(stream, member, row->most, row->what);
		break;
	case KEPT_KIND_SIZE:
		state_size(stream, member, row->most, row->what);
		break;
	case KEPT_KIND_TEXT:
		state_text(stream, member, row->bytes, row->what);
		break;
	case KEPT_KIND_BYTES:
		transfer_bytes(stream, member, row);
		break;
	case KEPT_KIND_NAME:
		transfer_name(stream, member, row->names, row->what);
		break;
	case KEPT_KIND_FD:
		state_fd(stream, member, row->what);
		break;
	case KEPT_KIND_U8:
	case KEPT_KIND_I32:
	case KEPT_KIND_A32:
	case KEPT_KIND_A64:
		state_fail(stream, row->what);
		break;
	}
}

void kept_transfer(struct state_stream *stream, const struct kept_table *table, void *object)
{
	for (size_t i = 0; i < table->count; i++)
		transfer_row(stream, member_of(object, &table->rows[i]), &table->rows[i]);
}

static uint64_t load(const void *member, size_t bytes)
{
	uint64_t value = 0;

	memcpy(&value, member, bytes); /* little-endian, as all that relay runs on */
	return value;
}

static bool is_good(const struct kept_row *row, const void *member)
{
	switch (row->kind) {
	case KEPT_KIND_FD:
	case KEPT_KIND_I32:
	case KEPT_KIND_BYTES:
		return true;
	case KEPT_KIND_TEXT:
		return memchr(member, '\0', row->bytes);
	case KEPT_KIND_NAME:
		return load(member, row->bytes) < row->names->count;
	case KEPT_KIND_BOOL:
	case KEPT_KIND_U8:
	case KEPT_KIND_U32:
	case KEPT_KIND_U64:
	case KEPT_KIND_UNSIGNED:
	case KEPT_KIND_SIZE:
	case KEPT_KIND_A32:
	case KEPT_KIND_A64:
		break;
	}
	return load(member, row->bytes) <= row->most;
}

const char *kept_fault(const struct kept_table *table, const void *object)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct kept_row *row = &table->rows[i];

		if (!is_good(row, (const uint8_t *)object + row->offset))
			return row->what;
	}
	return NULL;
}

/* ---- the schema ---- */

/* FNV-1a (draft-eastlake-fnv-17). */
#define FNV_BASIS 2166136261u
#define FNV_PRIME 16777619u

static uint32_t add(uint32_t hash, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < count; i++)
		hash = (hash ^ at[i]) * FNV_PRIME;
	return hash;
}

static uint32_t add_text(uint32_t hash, const char *text)
{
	return add(hash, text, strlen(text) + 1);
}

static uint32_t add_number(uint32_t hash, uint64_t number)
{
	return add(hash, &number, sizeof(number));
}

static uint32_t add_row(uint32_t hash, const struct kept_row *row)
{
	return add_number(add_number(add_text(hash, row->what), row->kind), row->most);
}

uint32_t kept_schema(const struct kept_table *const *tables, size_t count)
{
	uint32_t hash = FNV_BASIS;

	for (size_t i = 0; i < count; i++) {
		hash = add_text(hash, tables[i]->name);
		for (size_t k = 0; k < tables[i]->count; k++)
			hash = add_row(hash, &tables[i]->rows[k]);
	}
	return hash;
}

uint32_t kept_layout_add_names(uint32_t layout, const struct kept_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		layout = add_text(layout, names->name_at(i));
	return layout;
}

uint32_t kept_layout(const struct kept_table *const *tables, size_t count)
{
	uint32_t hash = kept_schema(tables, count);

	for (size_t i = 0; i < count; i++) {
		hash = add_number(hash, tables[i]->bytes);
		for (size_t k = 0; k < tables[i]->count; k++) {
			const struct kept_row *row = &tables[i]->rows[k];

			hash = add_number(add_number(hash, row->offset), row->bytes);
			if (row->names)
				hash = kept_layout_add_names(hash, row->names);
		}
	}
	return hash;
}
