// SPDX-License-Identifier: MIT
/*
 * An error stands at the line that brought the value, wherever that was: a file, an overlay, the
 * command line.
 */
#include "config/check/check_report.h"

#include <stdarg.h>
#include <string.h>

#include "config/errors.h"
#include "config/option.h"
#include "config/value.h"

void check_report(const struct check *check, const struct config_section *section, size_t option,
		  const char *fmt, ...)
{
	char place[CONFIG_LINE_BYTES];
	unsigned line = config_print_place(place, sizeof(place), check->config, section, option);
	struct errmsg text;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text.text, sizeof(text.text), fmt, args);
	va_end(args);
	config_errors_add(check->errors, place, line, "%s", text.text);
}

bool check_is_default(const struct config_section *section, size_t option)
{
	char text[CONFIG_VALUE_BYTES];
	size_t count;
	const struct config_option *row = &config_options_of(section->kind, &count)[option];

	config_value_print(row, config_option_value_const(section, row), text);
	return strcmp(text, row->default_text) == 0;
}

void check_socket_file(const struct check *check, const struct config_section *section,
		       const char *address)
{
	size_t count;
	const struct config_option *options = config_options_of(section->kind, &count);

	if (address && strncmp(address, "unix:", 5) == 0 && address[5] != '@')
		return;
	for (size_t i = 0; i < count; i++) {
		if (strncmp(options[i].key, "socket_", 7) == 0 && !check_is_default(section, i))
			check_report(
				check, section, i,
				"%s is for the file of unix:PATH only; expected it to be left out",
				options[i].key);
	}
}

void check_report_secret(const struct check *check, const struct config_section *section,
			 size_t option, const char *path)
{
	size_t count;

	if (strcmp(path, "credential:") == 0)
		check_report(check, section, option,
			     "%s = credential: names no credential; expected credential:NAME or a "
			     "path",
			     config_options_of(section->kind, &count)[option].key);
}
