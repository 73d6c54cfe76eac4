// SPDX-License-Identifier: MIT
/* base/num with words.  getopt's own messages are off (a leading ':' in the short options), since
 * they would not look like the others.  */
#include "tools/shared/arguments.h"

#include "base/clock.h"
#include "base/num.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>

static const uint64_t max_duration_ms = UINT64_C(10) * 365 * 24 * 3600 * 1000;

int arguments_parse_count(const char *option, const char *value, uint64_t min, uint64_t *ret_count,
			  struct errmsg *error)
{
	uint64_t count;

	if (num_parse_count(value, &count) < 0 || count < min) {
		errmsg_set(error, "%s: \"%s\" is not a number of at least %" PRIu64, option, value,
			   min);
		return -EINVAL;
	}
	*ret_count = count;
	return 0;
}

int arguments_parse_bytes(const char *option, const char *value, uint64_t min, uint64_t max,
			  uint64_t *ret_bytes, struct errmsg *error)
{
	char min_text[NUM_PRINT_BYTES];
	char max_text[NUM_PRINT_BYTES];
	uint64_t bytes;

	if (num_parse_bytes(value, &bytes) == 0 && bytes >= min && bytes <= max) {
		*ret_bytes = bytes;
		return 0;
	}
	num_print_bytes(min_text, sizeof min_text, min);
	num_print_bytes(max_text, sizeof max_text, max);
	if (max == UINT64_MAX)
		errmsg_set(error, "%s: \"%s\" is not a size of at least %s, such as 64k", option,
			   value, min_text);
	else
		errmsg_set(error, "%s: \"%s\" is not a size from %s to %s, such as 64k", option,
			   value, min_text, max_text);
	return -EINVAL;
}

int arguments_parse_duration(const char *option, const char *value, uint64_t *ret_ms,
			     struct errmsg *error)
{
	uint64_t ms;

	if (num_parse_duration_ms(value, &ms) < 0 || ms > max_duration_ms) {
		errmsg_set(error, "%s: \"%s\" is not a duration such as 500ms, 10s or 5m", option,
			   value);
		return -EINVAL;
	}
	*ret_ms = ms;
	return 0;
}

int arguments_parse_time(const char *option, const char *value, uint64_t *ret_ns,
			 struct errmsg *error)
{
	uint64_t now_ns = clock_wall_ns(), ago_ms;

	if (*value == '-' && num_parse_duration_ms(value + 1, &ago_ms) == 0 &&
	    ago_ms < now_ns / NS_PER_MS) {
		*ret_ns = now_ns - ago_ms * NS_PER_MS;
		return 0;
	}
	if (clock_parse_utc(value, ret_ns) == 0)
		return 0;
	errmsg_set(error,
		   "%s: \"%s\" is neither a time such as 2026-11-28T09:30:00Z nor a duration "
		   "before now such as -15m",
		   option, value);
	return -EINVAL;
}

int arguments_refuse(int option, char *const *argv, struct errmsg *error)
{
	const char *text = argv[optind - 1];

	if (option == ':')
		errmsg_set(error, "%s: expected a value after it (see --help)", text);
	else if (optopt > 0 && optopt < 256 && text[1] != '-')
		errmsg_set(error, "unknown option -%c (see --help)", optopt);
	else
		errmsg_set(error, "%s: not an option, or not with a value (see --help)", text);
	return -EINVAL;
}
