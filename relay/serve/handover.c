// SPDX-License-Identifier: MIT
/* All that is served as state: taken, written, read, made to go on, freed. */
#include "serve/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "base/log.h"
#include "feed/settle.h"
#include "history/recorder.h"
#include "http/websocket_input.h"
#include "net/peer_socket.h"
#include "net/sockopt.h"
#include "serve/arrival.h"
#include "serve/arrival_begin.h"
#include "serve/combination.h"
#include "serve/quota.h"

enum {
	LEAST_BYTES = 24, /* that an element of a list takes in a stream, at least */
};

/* ---- taking ---- */

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
	if (sockopt_cookie(fd, &socket->cookie) < 0)
		socket->cookie = 0;
	(void)snprintf(socket->name, sizeof(socket->name), "%s", name);
	(void)snprintf(socket->address, sizeof(socket->address), "%s", address);
	return socket;
}

/* The counters go with the first. */
static void add_listener(struct socket_list *sockets, enum handed_kind kind, const char *name,
			 const char *address, const struct listener *listener)
{
	for (size_t i = 0; i < listener->sockets.count; i++) {
		struct handed_socket *socket =
			add_socket(sockets, kind, name, address, listener->sockets.list[i].fd);

		if (socket && kind == HANDED_LISTENER && i == 0)
			socket->counters = listener->counters;
	}
}

int handover_take_sockets(const struct service *service, const struct config *config,
			  struct handed_socket **ret, size_t *ret_count)
{
	size_t room = (list_length(&service->feeds) + list_length(&service->listeners)) *
			      LISTEN_SOCKETS_MAX +
		      service->passed.count;
	struct socket_list sockets = {.list = calloc(room + 1, sizeof(**ret))};
	struct list_node *node;

	*ret = sockets.list;
	*ret_count = 0;
	if (!sockets.list)
		return -ENOMEM;
	list_for_each (&service->feeds, node) {
		const struct served_feed *served = served_feed_at(node);
		const struct config_feed *from = config_find_feed(config, served->name);

		if (from && served->ingest.params.kind == INGEST_LISTEN)
			add_listener(&sockets, HANDED_FEED, served->name, from->ingest.text,
				     &served->ingest.listener);
	}
	list_for_each (&service->listeners, node) {
		const struct served_listener *served = served_listener_at(node);
		const struct config_listener *from = config_find_listener(config, served->name);

		if (from)
			add_listener(&sockets, HANDED_LISTENER, served->name, from->listen,
				     &served->listener);
	}
	for (size_t i = 0; i < service->passed.count; i++)
		(void)add_socket(&sockets, HANDED_PASSED, service->passed.list[i].name, "",
				 service->passed.list[i].fd);
	*ret_count = sockets.count;
	return 0;
}

/* Which listener counts its address. */
static void name_listener(struct service *service, struct subscriber_snapshot *subscriber)
{
	const struct peer_count *peers = quota_peers(&subscriber->quota);
	struct list_node *node;

	if (!peers)
		return;
	subscriber->peer_key = quota_key(&subscriber->quota);
	list_for_each (&service->listeners, node) {
		if (served_listener_at(node)->admission.peers == peers)
			(void)snprintf(subscriber->listener, sizeof(subscriber->listener), "%s",
				       served_listener_at(node)->name);
	}
}

static int capture_feed(struct service *service, struct feed *feed, struct feed_state *ret)
{
	int r = feed_capture(feed, ret);

	for (size_t i = 0; r == 0 && i < ret->rendition_count; i++) {
		struct rendition_state *rendition = &ret->renditions[i];

		for (size_t j = 0; j < rendition->subscriber_count; j++)
			name_listener(service, &rendition->subscribers[j]);
	}
	return r;
}

static int take_feed(struct service *service, const struct config *config,
		     struct served_feed *served, struct handed_feed *ret,
		     struct farewells *farewells)
{
	const struct config_feed *from = config_find_feed(config, served->name);
	int r = ingest_capture_farewells(&served->ingest, farewells);

	(void)snprintf(ret->name, sizeof(ret->name), "%.*s", CONFIG_NAME_BYTES, served->name);
	(void)snprintf(ret->ingest_text, sizeof(ret->ingest_text), "%s",
		       from ? from->ingest.text : "");
	ret->home = served->home->index;
	ret->admitted = served->admitted;
	memcpy(ret->refused, served->refused, sizeof(ret->refused));
	if (r == 0)
		r = arrivals_capture_farewells(served, ret->refused, farewells);
	ingest_settle(&served->ingest);
	memcpy(ret->icy_fields, served->icy_fields, sizeof(ret->icy_fields));
	memcpy(ret->title, served->worker_feeds[ret->home].feed->publish.title, sizeof(ret->title));
	crossing_settle(served->worker_feeds[ret->home].feed);
	ret->parts = calloc(served->workers->count, sizeof(*ret->parts));
	if (!ret->parts)
		return -ENOMEM;
	for (unsigned i = 0; r == 0 && i < served->workers->count; i++)
		r = capture_feed(service, served->worker_feeds[i].feed,
				 &ret->parts[ret->part_count++]);
	ingest_capture(&served->ingest, &ret->ingest);
	return r;
}

static int take_http(struct service *service, struct handover *ret)
{
	struct list_node *node;

	ret->http_listeners =
		calloc(list_length(&service->listeners) + 1, sizeof(*ret->http_listeners));
	if (!ret->http_listeners)
		return -ENOMEM;
	list_for_each (&service->listeners, node) {
		if (served_listener_at(node)->http)
			http_listener_capture(served_listener_at(node)->http,
					      &ret->http_listeners[ret->http_listener_count++]);
	}
	return 0;
}

int handover_take(struct service *service, const struct config *config, struct handover *ret)
{
	struct list_node *node;
	int r;

	*ret = (struct handover){
		.config.fd = -1,
		.workers = service->workers.count,
		.still_since_ns = clock_mono_ns(),
		.feeds = calloc(list_length(&service->feeds) + 1, sizeof(*ret->feeds)),
	};
	r = ret->feeds ? handover_take_sockets(service, config, &ret->sockets, &ret->socket_count)
		       : -ENOMEM;
	if (r == 0)
		r = take_http(service, ret);
	list_for_each (&service->feeds, node) {
		if (r == 0 && !served_feed_at(node)->is_combination)
			r = take_feed(service, config, served_feed_at(node),
				      &ret->feeds[ret->feed_count++], &ret->farewells);
	}
	if (r == 0)
		r = combinations_capture_farewells(service, &ret->farewells);
	if (r < 0)
		handover_free(ret);
	return r;
}

/* ---- the stream ---- */

#define KEPT_TABLE socket_kept_table
#define KEPT_OF    struct handed_socket
#define KEPT_DEF   "serve/socket_kept.def"
#include "continuity/kept_table.def"

#define KEPT_TABLE served_kept_table
#define KEPT_OF    struct handed_feed
#define KEPT_DEF   "serve/served_kept.def"
#include "continuity/kept_table.def"

#define KEPT_TABLE service_kept_table
#define KEPT_OF    struct handover
#define KEPT_DEF   "serve/service_kept.def"
#include "continuity/kept_table.def"

const struct kept_table *const *handover_tables(size_t *ret_count)
{
	/* To be changed with what stands beside the tables: lists, bytes, counters, and their
	 * order; and with what a format makes of a packet, which who reads files gets
	 * in two halves. */
	static const struct kept_table beside = {.name = "beside 5"};
	static const struct kept_table *const tables[] = {
		&beside,
		&service_kept_table,
		&socket_kept_table,
		&http_kept_table,
		&served_kept_table,
		&ingest_kept_table,
		&feed_kept_table,
		&intake_kept_table,
		&cursor_kept_table,
		&subscriber_kept_table,
	};

	*ret_count = ARRAY_LEN(tables);
	return tables;
}

uint32_t handover_schema(void)
{
	size_t count;
	const struct kept_table *const *tables = handover_tables(&count);

	return kept_schema(tables, count) ^ ring_record_schema();
}

static void transfer_socket(struct state_stream *stream, struct handed_socket *socket)
{
	kept_transfer(stream, &socket_kept_table, socket);
	kept_transfer_counts(stream, (uint64_t *)&socket->counters, &kept_listener_counters);
	if (stream->is_reading && socket->fd < 0)
		state_fail(stream, "listening socket");
}

/* Name, value, name, value, and an empty text. */
static void transfer_fields(struct state_stream *stream, char fields[STREAM_ICY_BYTES + 2])
{
	size_t at = 0, bytes;

	do {
		state_text(stream, fields + at, STREAM_ICY_BYTES + 2 - at, "field of a stream");
		bytes = strlen(fields + at) + 1;
		at += bytes;
		if (at >= STREAM_ICY_BYTES + 2 && bytes > 1)
			state_fail(stream, "fields of a stream");
	} while (!stream->fault && bytes > 1);
}

static void transfer_feed(struct state_stream *stream, struct handed_feed *feed, unsigned workers)
{
	void *parts = feed->parts;
	bool has_parts;

	kept_transfer(stream, &served_kept_table, feed);
	if (feed->home >= workers)
		state_fail(stream, "home");
	ingest_state_transfer(stream, &feed->ingest);
	kept_transfer_counts(stream, feed->refused, &kept_close_reasons);
	transfer_fields(stream, feed->icy_fields);
	has_parts = state_array(stream, &parts, &feed->part_count, sizeof(*feed->parts),
				LEAST_BYTES, "parts of a feed");
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

	kept_transfer(stream, &service_kept_table, handover);
	if (handover->workers == 0)
		state_fail(stream, "workers");
	(void)state_array(stream, &sockets, &handover->socket_count, sizeof(*handover->sockets),
			  LEAST_BYTES, "sockets");
	handover->sockets = sockets;
	for (size_t i = 0; i < handover->socket_count; i++)
		transfer_socket(stream, &handover->sockets[i]);
	(void)state_array(stream, &feeds, &handover->feed_count, sizeof(*handover->feeds),
			  LEAST_BYTES, "feeds");
	handover->feeds = feeds;
	for (size_t i = 0; i < handover->feed_count; i++)
		transfer_feed(stream, &handover->feeds[i], handover->workers);
	(void)state_array(stream, &http_listeners, &handover->http_listener_count,
			  sizeof(*handover->http_listeners), LEAST_BYTES, "listeners of http");
	handover->http_listeners = http_listeners;
	for (size_t i = 0; i < handover->http_listener_count; i++)
		handed_http_transfer(stream, &handover->http_listeners[i]);
	farewells_transfer(stream, &handover->farewells);
	state_end(stream);
}

void handover_read_rings(struct handover *handover, struct kept_fds *fds)
{
	for (size_t i = 0; i < handover->feed_count; i++) {
		struct handed_feed *feed = &handover->feeds[i];

		for (size_t j = 0; j < feed->part_count; j++)
			feed_state_read_rings(&feed->parts[j], fds);
	}
}

/* ---- going on ---- */

static const struct handed_socket *find_socket(const struct handover *handover,
					       enum handed_kind kind, const char *name)
{
	for (size_t i = 0; handover && i < handover->socket_count; i++) {
		if (handover->sockets[i].kind == kind &&
		    strcmp(handover->sockets[i].name, name) == 0)
			return &handover->sockets[i];
	}
	return NULL;
}

struct handed_feed *handover_feed(const struct handover *handover, const char *name)
{
	for (size_t i = 0; handover && i < handover->feed_count; i++) {
		if (strcmp(handover->feeds[i].name, name) == 0)
			return &handover->feeds[i];
	}
	return NULL;
}

const struct listener_counters *handover_counters(const struct handover *handover,
						  const char *listener)
{
	const struct handed_socket *socket = find_socket(handover, HANDED_LISTENER, listener);

	return socket ? &socket->counters : NULL;
}

int handover_socket(const struct handover *handover, enum handed_kind kind, const char *name,
		    const char *address)
{
	const struct handed_socket *socket = find_socket(handover, kind, name);

	return socket && strcmp(socket->address, address) == 0 ? socket->fd : -1;
}

void handover_duplicate(const struct handover *handover, enum handed_kind kind, const char *name,
			const char *address, struct listen_sockets *ret)
{
	*ret = (struct listen_sockets){.count = 0};
	for (size_t i = 0; handover && i < handover->socket_count; i++) {
		const struct handed_socket *socket = &handover->sockets[i];
		int fd;

		if (socket->kind != kind || strcmp(socket->name, name) != 0 ||
		    strcmp(socket->address, address) != 0 || ret->count == LISTEN_SOCKETS_MAX)
			continue;
		fd = fcntl(socket->fd, F_DUPFD_CLOEXEC, 0);
		if (fd >= 0)
			ret->list[ret->count++] = (struct listen_socket){.fd = fd};
	}
}

static struct peer_count *peers_of(const struct service *service, const char *listener)
{
	const struct served_listener *served = served_listener_find(&service->listeners, listener);

	return served ? served->admission.peers : NULL;
}

/* Who reads what it sends goes on: a WebSocket's reader is the only kind. */
static void give_input(struct subscriber_snapshot *subscriber, bool takes_compressed)
{
	if (!subscriber->has_input || subscriber->is_ending)
		return;
	subscriber->input_owner =
		websocket_input_new(subscriber->input_max_bytes, takes_compressed);
	if (subscriber->input_owner)
		subscriber->input = &websocket_input;
}

/* Their inputs and quotas.  False: there is no memory for a quota. */
static bool prepare_subscribers(struct service *service, struct served_feed *served,
				struct worker *worker, struct feed_state *state)
{
	bool is_complete = true;

	for (size_t i = 0; i < state->rendition_count; i++) {
		struct rendition_state *rendition = &state->renditions[i];
		struct served_format *format = served_format_find(served, rendition->format);
		bool is_deflated =
			format && format_row(format->format)->coding == FORMAT_CODING_DEFLATE;

		for (size_t j = 0; j < rendition->subscriber_count; j++) {
			struct subscriber_snapshot *subscriber = &rendition->subscribers[j];

			give_input(subscriber, is_deflated);
			/* Those of a format that is not there are closed. */
			if (format && quota_resume(service, format, worker,
						   peers_of(service, subscriber->listener),
						   subscriber->peer_key, &subscriber->quota) < 0)
				is_complete = false;
			else if (format)
				subscriber->quota.on_behind = arrival_go_back;
			if (format && subscriber->is_replaying)
				arrival_resume_replay(format, worker, subscriber);
		}
	}
	return is_complete;
}

/* Formats that were open, whether somebody reads them just now or not, keep their past. */
static void reopen_formats(struct served_feed *served, const struct feed_state *state)
{
	for (size_t i = 0; i < state->rendition_count; i++) {
		const char *name = state->renditions[i].format;
		struct served_format *format = served_format_find(served, name);

		if (format && served_format_is_offered(format) && served_format_open(format) < 0)
			log_error("out of memory feed=%s format=%s, it is not served", served->name,
				  name);
	}
}

struct resuming {
	struct served_feed *served;
	struct handed_feed *handed;
	uint64_t lost; /* subscribers, in a crash */
};

/* What its recorder has not got yet must not be cut off before that is back. */
static void keep_for_recorder(const struct served_feed *served, const struct worker *worker)
{
	struct rendition **renditions = served->formats[FORMAT_FRAMED].renditions;

	if (served->recorder && worker == served->recording && renditions)
		recorder_keep_ring(served->recorder, renditions[worker->index]);
}

static void restore_in_worker(struct worker *worker, void *data)
{
	struct resuming *resuming = data;
	struct served_feed *served = resuming->served;
	struct handed_feed *handed = resuming->handed;
	struct feed *feed = served->worker_feeds[worker->index].feed;
	int r;

	/* Before what is told of a publisher that does not go on. */
	crossings_resume(&feed->publish.crossings);
	keep_for_recorder(served, worker);
	r = feed_restore(feed, served->crossings[worker->index], &handed->parts[worker->index],
			 handed->source_end);
	if (worker == served->home && handed->source_end == CLOSE_REASON_COUNT)
		ingest_restore(&served->ingest, &handed->ingest);
	if (r < 0)
		ingest_end_resumed(&served->ingest);
	resuming->lost +=
		feed->fanout.closed[CLOSE_CRASH] - handed->parts[worker->index].lost_before;
}

/* Branches first: home may send to them from then on.  Returns how many subscribers were lost in a
 * crash. */
static uint64_t resume_feed(struct service *service, struct served_feed *served,
			    struct handed_feed *handed)
{
	struct resuming resuming = {.served = served, .handed = handed};
	struct worker *workers = service->workers.list;

	served->admitted = handed->admitted;
	quota_resume_refusals(served, handed->refused);
	memcpy(served->icy_fields, handed->icy_fields, sizeof(served->icy_fields));
	workers_set_title(served->workers, served->worker_feeds, handed->title);
	for (unsigned i = 0; i < handed->part_count; i++) {
		reopen_formats(served, &handed->parts[i]);
		if (!prepare_subscribers(service, served, &workers[i], &handed->parts[i]))
			log_error("out of memory feed=%s, subscribers are not counted",
				  served->name);
		if (i != handed->home)
			worker_call(&workers[i], restore_in_worker, &resuming);
	}
	worker_call(&workers[handed->home], restore_in_worker, &resuming);
	return resuming.lost;
}

/* There may be no such listener any more, or it has another format now. */
static void resume_http(const struct service *service, const struct handed_http *handed)
{
	const struct served_listener *served =
		served_listener_find(&service->listeners, handed->listener);

	if (served && served->http)
		http_listener_restore(served->http, handed);
}

void handover_resume(struct service *service, struct handover **handover_ptr)
{
	struct handover *handover = *handover_ptr;
	uint64_t still_ns, lost = handover->lost;
	bool is_after_crash = handover->is_after_crash;

	for (size_t i = 0; i < handover->feed_count; i++) {
		struct handed_feed *handed = &handover->feeds[i];
		struct served_feed *served = served_feed_find(&service->feeds, handed->name);

		if (served) {
			lost += resume_feed(service, served, handed);
			continue;
		}
		log_warn("feed not resumed feed=%s, the configuration no longer has it: its "
			 "subscribers are closed",
			 handed->name);
	}
	for (size_t i = 0; i < handover->http_listener_count; i++)
		resume_http(service, &handover->http_listeners[i]);
	still_ns = clock_mono_ns() - handover->still_since_ns;
	handover_close(handover_ptr);
	/* The quotas of those that could not be resumed. */
	inbox_run(&service->control);
	if (is_after_crash)
		log_warn("resumed after a crash subscribers=%llu lost=%llu silence_ms=%.1f",
			 (unsigned long long)service->subscribers, (unsigned long long)lost,
			 (double)still_ns / NS_PER_MS);
	else
		log_info("resumed subscribers=%llu silence_ms=%.1f",
			 (unsigned long long)service->subscribers, (double)still_ns / NS_PER_MS);
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
	farewells_free(&handover->farewells);
	free(handover->http_listeners);
	free(handover->feeds);
	free(handover->sockets);
	if (handover->map)
		(void)munmap(handover->map, handover->map_bytes);
	*handover = (struct handover){.config.fd = -1};
}

void handover_fini(struct handover *handover)
{
	fd_close(&handover->config.fd);
	farewells_say(&handover->farewells);
	for (size_t i = 0; i < handover->socket_count; i++)
		peer_socket_close(&handover->sockets[i].fd);
	for (size_t i = 0; i < handover->feed_count; i++) {
		struct handed_feed *feed = &handover->feeds[i];

		peer_socket_close(&feed->ingest.fd);
		for (size_t j = 0; j < feed->part_count; j++)
			feed_state_close(&feed->parts[j]);
	}
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
