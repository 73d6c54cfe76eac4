// SPDX-License-Identifier: MIT
/* Values of command-line options, with the words for what is wrong with them.
 *
 * All parsers return 0, or -EINVAL with `error` naming the option, the value and what was
 * expected; the output is set on 0 only. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"

#include <stdint.h>

/* A decimal number of at least `min`. */
must_check int arguments_parse_count(const char *option, const char *value, uint64_t min,
				     uint64_t *ret_count, struct errmsg *error);

/* A size such as 64k, from min to max. */
must_check int arguments_parse_bytes(const char *option, const char *value, uint64_t min,
				     uint64_t max, uint64_t *ret_bytes, struct errmsg *error);

/* A duration such as 500ms, at most ten years, so that it can be added to any clock. */
must_check int arguments_parse_duration(const char *option, const char *value, uint64_t *ret_ms,
					struct errmsg *error);

/* A time such as 2026-11-28T09:30:00Z, or a duration before now such as -15m; *ret_ns
 * is wall clock. */
must_check int arguments_parse_time(const char *option, const char *value, uint64_t *ret_ns,
				    struct errmsg *error);

/* Words for getopt_long(3)'s '?' and ':', right after it returned them.  Returns -EINVAL. */
must_check int arguments_refuse(int option, char *const *argv, struct errmsg *error);
