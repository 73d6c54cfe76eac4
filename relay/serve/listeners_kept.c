// SPDX-License-Identifier: MIT
/* What listeners with format = http hand over; see listeners_kept.h. */
#include "serve/listeners_kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/peer_socket.h"
#include "serve/served_listener.h"
#include "serve/service.h"

enum {
	NUMBER_BYTES = 8, /* in a stream */
};

static const char *refusal_at(size_t index)
{
	return http_refusal_name((enum http_refusal)index);
}

/* ---- taking ---- */

int handover_http_take(const struct served_listener *served, struct handed_http *ret)
{
	const struct http_listener *http = served->http;

	*ret = (struct handed_http){
		.counters = http->server.counters,
		.clients = calloc(http->server.count + 1, sizeof(*ret->clients)),
	};
	if (!ret->clients)
		return -ENOMEM;
	(void)snprintf(ret->listener, sizeof(ret->listener), "%s", served->name);
	memcpy(ret->refused, http->refused, sizeof(ret->refused));
	ret->client_count = http_server_capture(&http->server, ret->clients);
	return 0;
}

/* ---- the stream ---- */

void handover_http_transfer(struct state_stream *stream, struct handed_http *handed)
{
	size_t counters = sizeof(handed->counters) / sizeof(uint64_t);
	void *clients = handed->clients;
	bool has_clients;

	state_text(stream, handed->listener, sizeof(handed->listener), "name of a listener");
	feed_state_transfer_counts(stream, (uint64_t *)&handed->counters, counters,
				   http_counter_name);
	feed_state_transfer_counts(stream, handed->refused, HTTP_REFUSAL_COUNT, refusal_at);
	has_clients = state_array(stream, &clients, &handed->client_count, sizeof(*handed->clients),
				  (size_t)4 * NUMBER_BYTES, "clients at their requests");
	if (stream->is_reading)
		handed->clients = clients;
	for (size_t i = 0; has_clients && i < handed->client_count; i++)
		http_connection_state_transfer(stream, &handed->clients[i]);
}

/* ---- going on ---- */

/* NULL: there is none any more, or it has another format now. */
static struct http_listener *find_http(const struct service *service, const char *name)
{
	const struct served_listener *served = served_listener_find(&service->listeners, name);

	return served ? served->http : NULL;
}

void handover_http_resume(const struct service *service, struct handed_http *handed)
{
	struct http_listener *http = find_http(service, handed->listener);

	if (!http)
		return;
	http->server.counters = handed->counters;
	memcpy(http->refused, handed->refused, sizeof(http->refused));
	for (size_t i = 0; i < handed->client_count; i++)
		http_server_restore(&http->server, &handed->clients[i]);
}

/* ---- the end ---- */

void handover_http_close(struct handed_http *handed)
{
	for (size_t i = 0; i < handed->client_count; i++)
		peer_socket_close(&handed->clients[i].fd);
}

void handover_http_free(struct handed_http *handed)
{
	free(handed->clients);
	*handed = (struct handed_http){.client_count = 0};
}
