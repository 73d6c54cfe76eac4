// SPDX-License-Identifier: MIT
/* What listeners with format = http hand over; see listeners_kept.h. */
#include "serve/listeners_kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/peer_socket.h"
#include "serve/served_listener.h"
#include "serve/service.h"

enum {
	NUMBER_BYTES = 8, /* in a stream */
};

static struct http_path *path_of(struct list_node *node)
{
	return list_entry(node, struct http_path, node);
}

static const char *refusal_at(size_t index)
{
	return http_refusal_name((enum http_refusal)index);
}

/* ---- taking ---- */

static void take_formats(const struct http_path *path, struct handed_http *ret)
{
	for (size_t i = 0; i < FORMAT_COUNT; i++) {
		const struct served_format *format = &path->formats[i];
		struct handed_format *handed = &ret->formats[ret->format_count];

		if (!format->feed)
			continue;
		ret->format_count++;
		(void)snprintf(handed->feed, sizeof(handed->feed), "%s", path->feed->name);
		(void)snprintf(handed->format, sizeof(handed->format), "%s",
			       encoder_name(format->encoder));
	}
}

int handover_http_take_formats(const struct served_listener *served, struct handed_http *ret)
{
	const struct http_listener *http = served->http;
	struct list_node *node;

	*ret = (struct handed_http){
		.formats =
			calloc(list_length(&http->paths) * FORMAT_COUNT + 1, sizeof(*ret->formats)),
	};
	if (!ret->formats)
		return -ENOMEM;
	(void)snprintf(ret->listener, sizeof(ret->listener), "%s", served->name);
	list_for_each (&http->paths, node)
		take_formats(path_of(node), ret);
	return 0;
}

int handover_http_take(const struct served_listener *served, struct handed_http *ret)
{
	const struct http_listener *http = served->http;
	int r = handover_http_take_formats(served, ret);

	if (r < 0)
		return r;
	ret->clients = calloc(http->server.count + 1, sizeof(*ret->clients));
	if (!ret->clients) {
		handover_http_free(ret);
		return -ENOMEM;
	}
	ret->counters = http->server.counters;
	memcpy(ret->refused, http->refused, sizeof(ret->refused));
	ret->client_count = http_server_capture(&http->server, ret->clients);
	return 0;
}

/* ---- the stream ---- */

static void transfer_formats(struct state_stream *stream, struct handed_http *handed)
{
	void *formats = handed->formats;
	bool has_formats;

	has_formats = state_array(stream, &formats, &handed->format_count, sizeof(*handed->formats),
				  (size_t)2 * NUMBER_BYTES, "open formats");
	if (stream->is_reading)
		handed->formats = formats;
	for (size_t i = 0; has_formats && i < handed->format_count; i++) {
		struct handed_format *format = &handed->formats[i];

		state_text(stream, format->feed, sizeof(format->feed), "feed of a format");
		state_text(stream, format->format, sizeof(format->format), "open format");
	}
}

void handover_http_transfer_formats(struct state_stream *stream, struct handed_http *handed)
{
	state_text(stream, handed->listener, sizeof(handed->listener), "name of a listener");
	transfer_formats(stream, handed);
}

void handover_http_transfer(struct state_stream *stream, struct handed_http *handed)
{
	size_t counters = sizeof(handed->counters) / sizeof(uint64_t);
	void *clients = handed->clients;
	bool has_clients;

	state_text(stream, handed->listener, sizeof(handed->listener), "name of a listener");
	feed_state_transfer_counts(stream, (uint64_t *)&handed->counters, counters,
				   http_counter_name);
	feed_state_transfer_counts(stream, handed->refused, HTTP_REFUSAL_COUNT, refusal_at);
	transfer_formats(stream, handed);
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

void handover_http_reopen(const struct service *service, const struct handed_http *handed)
{
	struct http_listener *http = find_http(service, handed->listener);

	for (size_t i = 0; http && i < handed->format_count; i++) {
		const struct handed_format *format = &handed->formats[i];

		if (http_listener_reopen(http, format->feed, format->format) < 0)
			log_error("out of memory listener=%s feed=%s format=%s, it is not served",
				  handed->listener, format->feed, format->format);
	}
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
	free(handed->formats);
	free(handed->clients);
	*handed = (struct handed_http){.client_count = 0};
}
