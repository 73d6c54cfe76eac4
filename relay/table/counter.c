// SPDX-License-Identifier: MIT
/* The tables of a listener's counters, made from counter.def. */
#include "table/counter.h"

#include "base/compiler.h"

#define EVERYWHERE false
#define ADMIN_ONLY true

static const struct counter_row listener_rows[] = {
#define LISTENER_COUNTER(field, help)                                                              \
	{#field, help, EVERYWHERE, offsetof(struct listener_counters, field)},
#include "table/counter.def"
};

static const struct counter_row http_rows[] = {
#define HTTP_COUNTER(field, where, help)                                                           \
	{#field, help, where, offsetof(struct http_server_counters, field)},
#include "table/counter.def"
};

const struct counter_row *listener_counter_rows(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(listener_rows);
	return listener_rows;
}

const struct counter_row *http_counter_rows(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(http_rows);
	return http_rows;
}

uint64_t counter_value(const void *counters, const struct counter_row *row)
{
	return *(const uint64_t *)(const void *)((const char *)counters + row->offset);
}

const char *listener_counter_name(size_t index)
{
	return listener_rows[index].name;
}

const char *http_counter_name(size_t index)
{
	return http_rows[index].name;
}
