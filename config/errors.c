// SPDX-License-Identifier: MIT
/*
 * Collecting what is wrong with a configuration, in the order of the file: checks of the whole find
 * errors in earlier lines than the parser did, but a person reads from top to bottom.
 */
#include "config/errors.h"

#include <stdarg.h>
#include <stdlib.h>

/* Open a gap in the list behind the last error of this line or an earlier one. */
static struct config_error *insert(struct config_errors *errors, unsigned line)
{
	struct config_error *list;
	size_t i = errors->count;

	list = reallocarray(errors->list, errors->count + 1, sizeof(*list));
	if (!list)
		return NULL;
	errors->list = list;
	errors->count++;
	for (; i > 0 && list[i - 1].line > line; i--)
		list[i] = list[i - 1];
	return &list[i];
}

void config_errors_add(struct config_errors *errors, const char *where, unsigned line,
		       const char *fmt, ...)
{
	struct config_error *error;
	char *text, *whole;
	va_list args;
	int n;

	errors->total++;
	if (errors->count >= CONFIG_ERRORS_MAX)
		return;
	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	n = asprintf(&whole, "%s: error: %s", where, text);
	free(text);
	if (n < 0)
		return;
	error = insert(errors, line);
	if (error)
		*error = (struct config_error){.line = line, .text = whole};
	else
		free(whole);
}

void config_errors_print(FILE *to, const struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		fprintf(to, "%s\n", errors->list[i].text);
	if (errors->total > errors->count)
		fprintf(to, "and %zu more errors\n", errors->total - errors->count);
}

void config_errors_free(struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		free(errors->list[i].text);
	free(errors->list);
	*errors = (struct config_errors){0};
}
