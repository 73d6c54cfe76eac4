// SPDX-License-Identifier: MIT
/* The whole relay as state: taken, written, read, freed.  Making it go on is resume.c. */
#include "daemon/handover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "daemon/relay.h"
#include "serve/quota.h"

enum {
	NUMBER_BYTES = 8, /* in a stream */
};

/* ---- taking ---- */

static struct served_feed *feed_at(struct list_node *node)
{
	return list_entry(node, struct served_feed, node);
}

static struct served_listener *listener_at(struct list_node *node)
{
	return list_entry(node, struct served_listener, node);
}

struct socket_list {
	struct handed_socket *list;
	size_t count;
};

static struct handed_socket *add_socket(struct socket_list *sockets, enum handed_kind kind,
					const char *name, const char *address, int fd)
{
	struct handed_socket *socket = &sockets->list[sockets->count];

	if (fd < 0)
		return NULL;
	sockets->count++;
	socket->kind = kind;
	socket->fd = fd;
	(void)snprintf(socket->name, sizeof(socket->name), "%s", name);
	(void)snprintf(socket->address, sizeof(socket->address), "%s", address);
	return socket;
}

static void take_listener(const struct relay *relay, const struct served_listener *served,
			  struct socket_list *ret)
{
	const struct config_listener *config = config_find_listener(relay->config, served->name);
	struct handed_socket *socket = config ? add_socket(ret, HANDED_LISTENER, served->name,
							   config->listen, served->listener.fd)
					      : NULL;

	if (socket)
		socket->counters = served->listener.counters;
}

int handover_take_sockets(const struct relay *relay, struct handed_socket **ret, size_t *ret_count)
{
	size_t room =
		list_length(&relay->feeds) + list_length(&relay->listeners) + relay->passed.count;
	struct socket_list sockets = {.list = calloc(room + 1, sizeof(**ret))};
	struct list_node *node;

	*ret = sockets.list;
	*ret_count = 0;
	if (!sockets.list)
		return -ENOMEM;
	list_for_each (&relay->feeds, node) {
		const struct served_feed *served = feed_at(node);
		const struct config_feed *config = config_find_feed(relay->config, served->name);

		if (config && served->ingest.params.kind == INGEST_LISTEN)
			(void)add_socket(&sockets, HANDED_FEED, served->name, config->ingest.text,
					 served->ingest.listener.fd);
	}
	list_for_each (&relay->listeners, node)
		take_listener(relay, listener_at(node), &sockets);
	for (size_t i = 0; i < relay->passed.count; i++)
		(void)add_socket(&sockets, HANDED_PASSED, relay->passed.list[i].name, "",
				 relay->passed.list[i].fd);
	*ret_count = sockets.count;
	return 0;
}

/* Which listener counts its address. */
static void name_place(struct relay *relay, struct subscriber_snapshot *subscriber)
{
	const struct peer_count *peers = place_peers(&subscriber->place);
	struct list_node *node;

	if (!peers)
		return;
	subscriber->peer_key = place_key(&subscriber->place);
	list_for_each (&relay->listeners, node) {
		if (listener_at(node)->peers == peers)
			(void)snprintf(subscriber->listener, sizeof(subscriber->listener), "%s",
				       listener_at(node)->name);
	}
}

static int take_part(struct relay *relay, struct feed *feed, struct feed_state *ret)
{
	int r = feed_capture(feed, ret);

	for (size_t i = 0; r == 0 && i < ret->rendition_count; i++) {
		struct rendition_state *rendition = &ret->renditions[i];

		for (size_t j = 0; j < rendition->subscriber_count; j++)
			name_place(relay, &rendition->subscribers[j]);
	}
	return r;
}

static int take_feed(struct relay *relay, struct served_feed *served, struct handed_feed *ret)
{
	const struct config_feed *config = config_find_feed(relay->config, served->name);
	int r = 0;

	(void)snprintf(ret->name, sizeof(ret->name), "%s", served->name);
	(void)snprintf(ret->ingest_text, sizeof(ret->ingest_text), "%s",
		       config ? config->ingest.text : "");
	ret->home = served->home->index;
	ret->placed = served->placed;
	memcpy(ret->refused, served->refused, sizeof(ret->refused));
	crossing_settle(served->seats[ret->home].feed);
	ret->parts = calloc(served->workers->count, sizeof(*ret->parts));
	if (!ret->parts)
		return -ENOMEM;
	for (unsigned i = 0; r == 0 && i < served->workers->count; i++)
		r = take_part(relay, served->seats[i].feed, &ret->parts[ret->part_count++]);
	ingest_capture(&served->ingest, &ret->ingest);
	return r;
}

static int take_http(struct relay *relay, struct handover *ret)
{
	struct list_node *node;
	int r = 0;

	ret->http_listeners =
		calloc(list_length(&relay->listeners) + 1, sizeof(*ret->http_listeners));
	if (!ret->http_listeners)
		return -ENOMEM;
	list_for_each (&relay->listeners, node) {
		if (r == 0 && listener_at(node)->http)
			r = handover_http_take(listener_at(node),
					       &ret->http_listeners[ret->http_listener_count++]);
	}
	return r;
}

int handover_take(struct relay *relay, struct handover *ret)
{
	struct list_node *node;
	int r;

	*ret = (struct handover){
		.workers = relay->workers.count,
		.still_since_ns = clock_mono_ns(),
		.feeds = calloc(list_length(&relay->feeds) + 1, sizeof(*ret->feeds)),
	};
	r = ret->feeds ? handover_take_sockets(relay, &ret->sockets, &ret->socket_count) : -ENOMEM;
	if (r == 0)
		r = take_http(relay, ret);
	list_for_each (&relay->feeds, node) {
		if (r == 0)
			r = take_feed(relay, feed_at(node), &ret->feeds[ret->feed_count++]);
	}
	if (r < 0)
		handover_free(ret);
	return r;
}

/* ---- the stream ---- */

static void transfer_socket(struct state_stream *stream, struct handed_socket *socket)
{
	struct listener_counters *counters = &socket->counters;

	state_unsigned(stream, &socket->kind, HANDED_KINDS - 1, "kind of socket");
	state_text(stream, socket->name, sizeof(socket->name), "name of a socket");
	state_text(stream, socket->address, sizeof(socket->address), "address");
	state_fd(stream, &socket->fd, "listening socket");
	state_u64(stream, &counters->accepted, UINT64_MAX, "accepted");
	state_u64(stream, &counters->accept_errors, UINT64_MAX, "accept errors");
	state_u64(stream, &counters->accept_pauses, UINT64_MAX, "accept pauses");
	state_u64(stream, &counters->accept_paced, UINT64_MAX, "accept paced");
	state_u64(stream, &counters->accept_refused, UINT64_MAX, "accept refused");
	if (stream->is_reading && socket->fd < 0)
		state_fail(stream, "listening socket");
}

static void transfer_feed(struct state_stream *stream, struct handed_feed *feed, unsigned workers)
{
	void *parts = feed->parts;
	bool has_parts;

	state_text(stream, feed->name, sizeof(feed->name), "name of a feed");
	state_text(stream, feed->ingest_text, sizeof(feed->ingest_text), "ingest");
	ingest_state_transfer(stream, &feed->ingest);
	state_unsigned(stream, &feed->home, workers - 1, "home");
	state_u64(stream, &feed->placed, UINT64_MAX, "subscribers placed");
	feed_state_transfer_reasons(stream, feed->refused);
	has_parts = state_array(stream, &parts, &feed->part_count, sizeof(*feed->parts),
				(size_t)16 * NUMBER_BYTES, "parts of a feed");
	if (stream->is_reading)
		feed->parts = parts;
	if (!has_parts || feed->part_count != workers) {
		state_fail(stream, "parts of a feed");
		return;
	}
	for (size_t i = 0; i < feed->part_count; i++)
		feed_state_transfer(stream, &feed->parts[i]);
}

void handover_transfer(struct state_stream *stream, struct handover *handover)
{
	void *sockets = handover->sockets, *feeds = handover->feeds,
	     *http_listeners = handover->http_listeners;
	bool has_sockets, has_feeds, has_http;

	state_unsigned(stream, &handover->workers, WORKERS_MAX, "workers");
	if (handover->workers == 0)
		state_fail(stream, "workers");
	state_u64(stream, &handover->still_since_ns, UINT64_MAX, "time");
	has_sockets = state_array(stream, &sockets, &handover->socket_count,
				  sizeof(*handover->sockets), (size_t)9 * NUMBER_BYTES, "sockets");
	if (stream->is_reading)
		handover->sockets = sockets;
	for (size_t i = 0; has_sockets && i < handover->socket_count; i++)
		transfer_socket(stream, &handover->sockets[i]);
	has_feeds = state_array(stream, &feeds, &handover->feed_count, sizeof(*handover->feeds),
				(size_t)10 * NUMBER_BYTES, "feeds");
	if (stream->is_reading)
		handover->feeds = feeds;
	for (size_t i = 0; has_feeds && i < handover->feed_count; i++)
		transfer_feed(stream, &handover->feeds[i], handover->workers);
	has_http = state_array(stream, &http_listeners, &handover->http_listener_count,
			       sizeof(*handover->http_listeners), (size_t)10 * NUMBER_BYTES,
			       "listeners of http");
	if (stream->is_reading)
		handover->http_listeners = http_listeners;
	for (size_t i = 0; has_http && i < handover->http_listener_count; i++)
		handover_http_transfer(stream, &handover->http_listeners[i]);
	state_end(stream);
}

/* ---- the end ---- */

void handover_free(struct handover *handover)
{
	for (size_t i = 0; i < handover->feed_count; i++) {
		struct handed_feed *feed = &handover->feeds[i];

		for (size_t j = 0; j < feed->part_count; j++)
			feed_state_free(&feed->parts[j]);
		if (feed->ingest.is_temporary)
			fd_close(&feed->ingest.fd);
		free(feed->parts);
	}
	for (size_t i = 0; i < handover->http_listener_count; i++)
		handover_http_free(&handover->http_listeners[i]);
	free(handover->http_listeners);
	free(handover->feeds);
	free(handover->sockets);
	for (size_t i = 0; i < handover->ring_map_count; i++)
		ring_record_close(&handover->ring_maps[i]);
	free(handover->ring_maps);
	if (handover->map)
		(void)munmap(handover->map, handover->map_bytes);
	*handover = (struct handover){0};
}

void handover_fini(struct handover *handover)
{
	for (size_t i = 0; i < handover->socket_count; i++)
		fd_close(&handover->sockets[i].fd);
	for (size_t i = 0; i < handover->feed_count; i++) {
		struct handed_feed *feed = &handover->feeds[i];

		fd_close(&feed->ingest.fd);
		for (size_t j = 0; j < feed->part_count; j++)
			feed_state_close(&feed->parts[j]);
	}
	for (size_t i = 0; i < handover->http_listener_count; i++)
		handover_http_close(&handover->http_listeners[i]);
	handover_free(handover);
}

void handover_close(struct handover **handover_ptr)
{
	struct handover *handover = *handover_ptr;

	*handover_ptr = NULL;
	if (!handover)
		return;
	handover_fini(handover);
	free(handover);
}
