// SPDX-License-Identifier: MIT
/* What a listener counts.  counter.def is the only list: the structs, the names and the printing
 * come from it.  All values only grow. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of every listener. */
struct listener_counters {
#define LISTENER_COUNTER(field, ...) uint64_t field;
#include "table/counter.def"
};

/* Of a listener with format = http, and of each socket of the admin server. */
struct http_server_counters {
#define HTTP_COUNTER(field, ...) uint64_t field;
#include "table/counter.def"
};

struct counter_row {
	const char *name;
	const char *help;
	bool is_admin_only; /* ADMIN_ONLY */
	size_t offset;      /* of the field in its struct */
};

/* All rows of struct listener_counters or http_server_counters, in order, and their number. */
const struct counter_row *listener_counter_rows(size_t *ret_count);
const struct counter_row *http_counter_rows(size_t *ret_count);

/* The value that `row` names; counters: the struct that it is a row of. */
uint64_t counter_value(const void *counters, const struct counter_row *row);

/* The name of the row at this index. */
const char *listener_counter_name(size_t index);
const char *http_counter_name(size_t index);
