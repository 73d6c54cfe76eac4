// SPDX-License-Identifier: MIT
/* The lines of a reload. */
#include "admin/admin_actions.h"

#include <stdlib.h>
#include <string.h>

void reload_report_add(struct reload_report *report, const char *text)
{
	char **lines;

	if (!report)
		return;
	lines = reallocarray(report->lines, report->count + 1, sizeof(*lines));
	if (!lines)
		return;
	report->lines = lines;
	lines[report->count] = strdup(text);
	if (lines[report->count])
		report->count++;
}

void reload_report_free(struct reload_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		free(report->lines[i]);
	free(report->lines);
	*report = (struct reload_report){0};
}
