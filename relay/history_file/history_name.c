// SPDX-License-Identifier: MIT
/* Numbers have leading zeros, so names are in the order of time. */
#include "history_file/history_name.h"

#include <stdio.h>
#include <string.h>

#include "base/num.h"

enum {
	NUMBER_DIGITS = 10,
};

static const char *const endings[] = {
	[HISTORY_PACKETS] = ".rly",
	[HISTORY_INDEX] = ".idx",
};

const char *history_name_print(char buf[HISTORY_NAME_BYTES], uint64_t number,
			       enum history_kind kind)
{
	(void)snprintf(buf, HISTORY_NAME_BYTES, "%0*llu%s", NUMBER_DIGITS,
		       (unsigned long long)number, endings[kind]);
	return buf;
}

bool history_name_parse(const char *name, enum history_kind kind, uint64_t *ret)
{
	char digits[NUMBER_DIGITS + 1];

	if (strlen(name) != NUMBER_DIGITS + strlen(endings[kind]) ||
	    strcmp(name + NUMBER_DIGITS, endings[kind]) != 0)
		return false;
	(void)snprintf(digits, sizeof(digits), "%s", name);
	return num_parse_count(digits, ret) == 0 && *ret;
}
