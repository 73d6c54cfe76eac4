// SPDX-License-Identifier: MIT
/* Cells in one array; widths are counted when the table is printed. */
#include "tools/relayctl/relayctl_table.h"

#include "tools/relayctl/relayctl_text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
	COLUMNS_MAX = 16,
	SHRUNK_MIN = 6,
};

static const char cut_mark[] = "..";

static const char *const style_on[] = {
	[TABLE_PLAIN] = "",        [TABLE_HEADING] = "\033[1m", [TABLE_DIM] = "\033[2m",
	[TABLE_GOOD] = "\033[32m", [TABLE_WARN] = "\033[33m",   [TABLE_BAD] = "\033[31m",
};

const char *table_style_on(enum table_style style, bool has_colours)
{
	return has_colours ? style_on[style] : "";
}

const char *table_style_off(enum table_style style, bool has_colours)
{
	return has_colours && style != TABLE_PLAIN ? "\033[0m" : "";
}

void table_init(struct table *table, const struct table_column *columns, size_t column_count)
{
	*table = (struct table){
		.columns = columns,
		.column_count = size_min(column_count, COLUMNS_MAX),
	};
}

void table_fini(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	*table = (struct table){0};
}

static bool has_room(struct table *table)
{
	size_t size = table->size ? 2 * table->size : 64;
	struct table_cell *cells;

	if (table->count < table->size)
		return true;
	cells = realloc(table->cells, size * sizeof *cells);
	if (!cells)
		return false;
	table->cells = cells;
	table->size = size;
	return true;
}

void table_add(struct table *table, enum table_style style, const char *fmt, ...)
{
	char text[1024], safe[1024];
	struct table_cell cell = {.style = style};
	va_list arguments;

	va_start(arguments, fmt);
	(void)vsnprintf(text, sizeof text, fmt, arguments);
	va_end(arguments);
	cell.text = strdup(text_escape(safe, sizeof safe, text));
	if (!cell.text || !has_room(table)) {
		free(cell.text);
		table->is_short_of_memory = true;
		return;
	}
	table->cells[table->count++] = cell;
}

static void put_line(const struct table *table, const struct table_cell *cells,
		     const size_t *widths, FILE *out, bool has_colours)
{
	size_t pending = 0; // blanks before the next text; those at the end are never written

	for (size_t i = 0; i < table->column_count; i++) {
		enum table_style style = cells ? cells[i].style : TABLE_HEADING;
		const char *text = cells ? cells[i].text : table->columns[i].heading;
		size_t length = size_min(strlen(text), widths[i]);
		bool is_cut = text[length] != '\0';
		size_t blanks = widths[i] - length;
		bool is_right = table->columns[i].is_right;

		if (*text)
			(void)fprintf(out, "%*s%s%.*s%s%s",
				      (int)(pending + (is_right ? blanks : 0)), "",
				      table_style_on(style, has_colours),
				      (int)(is_cut ? length - strlen(cut_mark) : length), text,
				      is_cut ? cut_mark : "", table_style_off(style, has_colours));
		pending = (*text ? 0 : pending + widths[i]) + 2 + (*text && !is_right ? blanks : 0);
	}
	(void)fputc('\n', out);
}

/* Takes from the widest that may shrink, until all is within max_width or none can give more. */
static void shrink(const struct table *table, size_t *widths)
{
	size_t sum = 2 * (table->column_count - 1), widest;

	for (size_t i = 0; i < table->column_count; i++)
		sum += widths[i];
	for (; table->max_width && sum > table->max_width; sum--, widths[widest]--) {
		widest = table->column_count;
		for (size_t i = 0; i < table->column_count; i++) {
			if (table->columns[i].may_shrink &&
			    widths[i] > strlen(table->columns[i].heading) &&
			    widths[i] > SHRUNK_MIN &&
			    (widest == table->column_count || widths[i] > widths[widest]))
				widest = i;
		}
		if (widest == table->column_count)
			return;
	}
}

int table_print(const struct table *table, FILE *out, bool has_colours)
{
	size_t widths[COLUMNS_MAX] = {0};
	size_t rows = table->column_count ? table->count / table->column_count : 0;

	if (table->is_short_of_memory)
		return -ENOMEM;
	for (size_t i = 0; i < table->column_count; i++)
		widths[i] = strlen(table->columns[i].heading);
	for (size_t i = 0; i < rows * table->column_count; i++) {
		size_t *width = &widths[i % table->column_count];

		*width = size_max(*width, strlen(table->cells[i].text));
	}
	shrink(table, widths);
	put_line(table, NULL, widths, out, has_colours);
	for (size_t i = 0; i < rows; i++)
		put_line(table, table->cells + i * table->column_count, widths, out, has_colours);
	return 0;
}
