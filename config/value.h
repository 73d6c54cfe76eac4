// SPDX-License-Identifier: MIT
/*
 * Values of options: from text, to text, and what may be written.
 *
 * Printing is exact: the parser reads the same value back, and two values are equal when they are
 * printed alike. What a value means beside others is left to check.c.
 */
#pragma once

#include "base/errmsg.h"
#include "config/config.h"

/* Room for every printed value. */
#define CONFIG_VALUE_BYTES (CONFIG_LINE_BYTES + 1)

/* Read `text` into the member at `value`. Returns 0; -EINVAL with what is wrong and what was
 * expected in *e; -ENOMEM. On failure *value has not changed; else it holds a value of its own, and
 * the one before is freed. */
int config_value_parse(const struct config_option *option, const char *text, void *value,
		       struct errmsg *e) must_check;

/* Returns buf. */
const char *config_value_print(const struct config_option *option, const void *value,
			       char buf[CONFIG_VALUE_BYTES]);

bool config_value_equals(const struct config_option *option, const void *a, const void *b);

/* Free what the member at `value` points to; all zero is fine, and all zero is what it is then. */
void config_value_free(const struct config_option *option, void *value);

/* "a size from 64k to 1m, such as 512k"; "one of none, line". Returns buf. */
const char *config_value_expected(const struct config_option *option, char *buf, size_t size);
