// SPDX-License-Identifier: MIT
/*
 * Collecting what is wrong with a configuration, in the order of the file.
 */
#pragma once

#include <limits.h>

#include "config/config.h"

/* Where an error is, when it is not in a line of the file. */
#define CONFIG_LINE_NONE     0
#define CONFIG_LINE_OVERRIDE UINT_MAX

/* Errors kept; more are counted in errors->total only. */
#define CONFIG_ERRORS_MAX 1000

/* Add "WHERE: error: fmt". where: "relay.ini:12", "-o relay.drain"; line is for the order. Lack of
 * memory loses the text, not the count. */
void config_errors_add(struct config_errors *errors, const char *where, unsigned line,
		       const char *fmt, ...) printf_like(4, 5);
