// SPDX-License-Identifier: MIT
/* What listeners with format = http hand over; see listeners_kept.h. */
#include "serve/listeners_kept.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "serve/served_listener.h"
#include "serve/service.h"

static const char *refusal_at(size_t index)
{
	return http_refusal_name((enum http_refusal)index);
}

static const struct kept_names counters = {http_counter_name,
					   sizeof(struct http_server_counters) / sizeof(uint64_t)};
static const struct kept_names refusals = {refusal_at, HTTP_REFUSAL_COUNT};

#define KEPT_TABLE http_kept_table
#define KEPT_OF    struct handed_http
#define KEPT_DEF   "serve/http_kept.def"
#include "continuity/kept_table.def"

void handover_http_take(const struct served_listener *served, struct handed_http *ret)
{
	*ret = (struct handed_http){.counters = served->http->server.counters};
	(void)snprintf(ret->listener, sizeof(ret->listener), "%s", served->name);
	memcpy(ret->refused, served->http->refused, sizeof(ret->refused));
}

void handover_http_transfer(struct state_stream *stream, struct handed_http *handed)
{
	kept_transfer(stream, &http_kept_table, handed);
	kept_transfer_counts(stream, (uint64_t *)&handed->counters, &counters);
	kept_transfer_counts(stream, handed->refused, &refusals);
}

/* NULL: there is none any more, or it has another format now. */
static struct http_listener *find_http(const struct service *service, const char *name)
{
	const struct served_listener *served = served_listener_find(&service->listeners, name);

	return served ? served->http : NULL;
}

void handover_http_resume(const struct service *service, const struct handed_http *handed)
{
	struct http_listener *http = find_http(service, handed->listener);

	if (!http)
		return;
	http->server.counters = handed->counters;
	memcpy(http->refused, handed->refused, sizeof(http->refused));
}
