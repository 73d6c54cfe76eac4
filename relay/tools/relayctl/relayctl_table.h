// SPDX-License-Identifier: MIT
/* A table of text with aligned columns, filled row by row and then printed.
 *
 * What is put into a cell is copied and escaped (text_escape()), so every column is as wide as it
 * looks.  When memory was short for a cell, table_print() fails. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum table_style {
	TABLE_PLAIN,
	TABLE_HEADING,
	TABLE_DIM,
	TABLE_GOOD,
	TABLE_WARN,
	TABLE_BAD,
};

struct table_column {
	const char *heading;
	bool is_right;   // numbers
	bool may_shrink; // where the table is too wide: texts that are known by their beginning
};

struct table_cell {
	char *text;
	enum table_style style;
};

struct table {
	const struct table_column *columns; // the caller's
	size_t column_count;
	size_t max_width;         // the caller's: to be kept if columns may shrink; 0: any
	struct table_cell *cells; // private
	size_t count, size;
	bool is_short_of_memory;
};

void table_init(struct table *table, const struct table_column *columns, size_t column_count);
void table_fini(struct table *table);

/* The next cell, from left to right, row after row. */
void table_add(struct table *table, enum table_style style, const char *fmt, ...) printf_like(3, 4);

/* Headings and rows, the columns two blanks apart and no blank at the end of a line.  Text that is
 * cut ends in "..".  0, or
 * -ENOMEM with nothing printed. */
must_check int table_print(const struct table *table, FILE *out, bool has_colours);

/* What switches the terminal to a style and back (ECMA-48 SGR); "" without colours. */
const char *table_style_on(enum table_style style, bool has_colours);
const char *table_style_off(enum table_style style, bool has_colours);
