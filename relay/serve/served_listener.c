// SPDX-License-Identifier: MIT
/* Served listeners: made, changed and taken down. */
#include "serve/served_listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/peer_socket.h"
#include "serve/http_admission.h"
#include "serve/http_listener.h"
#include "serve/params.h"
#include "serve/service.h"
#include "source/listener_log.h"

#define KEPT_TABLE listener_record_table
#define KEPT_OF    struct listener_record
#define KEPT_DEF   "serve/listener_record.def"
#include "continuity/kept_table.def"

const struct kept_names kept_listener_counters = {
	listener_counter_name, sizeof(struct listener_counters) / sizeof(uint64_t)};

/* ---- what is kept ---- */

/* All stored before is there, too, as in feed/feed_kept.c. */
static void set_used(struct listener_record *record, bool is_used)
{
	atomic_store_explicit(&record->is_used, is_used, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}

static void open_record(struct served_listener *served, const struct service *service)
{
	struct listener_record *record = service->listener_records;

	for (size_t i = 0; record && i < RECORD_LISTENERS_MAX; i++, record++) {
		if (atomic_load_explicit(&record->is_used, memory_order_relaxed))
			continue;
		record->http = (struct handed_http){0};
		(void)snprintf(record->http.listener, sizeof(record->http.listener), "%s",
			       served->name);
		record->sum = listener_record_sum(record);
		served->record = record;
		served_listener_note(served);
		set_used(record, true);
		return;
	}
}

static void close_record(struct served_listener *served)
{
	if (served->record)
		set_used(served->record, false);
	served->record = NULL;
}

void served_listener_note(struct served_listener *served)
{
	struct listener_record *record = served->record;

	if (!record)
		return;
	record->counters = served->listener.counters;
	if (served->http)
		http_listener_note(served->http, &record->http);
}

/* ---- peers ---- */

/* A proxy that only looks if relay is there may go by FIN. */
static void on_peer(void *owner, int fd, const struct endpoint_address *peer, bool is_local)
{
	struct served_listener *served = owner;
	struct subscriber_params params = served->subscriber_params;

	params.ends_with_fin = is_local;
	if (served->offer.format)
		admission_subscribe(&served->admission, served->offer.format, &params, fd, peer);
	else
		peer_socket_close(&fd);
}

static void on_unproxied(void *owner, int fd, const struct endpoint_address *proxy, const char *why)
{
	struct served_listener *served = owner;
	struct errmsg detail;

	errmsg_set(&detail, ": %s", why);
	if (served->offer.format)
		admission_refuse(&served->admission, served->offer.format->feed, fd, proxy,
				 CLOSE_NO_PROXY_HEAD, detail.text);
	else
		peer_socket_close(&fd);
}

static const struct proxied_peers_events proxied_events = {
	.on_peer = on_peer,
	.on_refused = on_unproxied,
};

static void on_accept(void *owner, int fd, const struct endpoint_address *peer)
{
	struct served_listener *served = owner;

	served_listener_note(served);
	if (served->http)
		http_server_adopt(&served->http->server, fd, peer);
	else if (proxied_peers_expect(&served->proxied, peer))
		proxied_peers_add(&served->proxied, fd, peer);
	else
		on_peer(served, fd, peer, false);
}

static const struct listener_events listener_events = {
	.on_accept = on_accept,
	.on_error = listener_log_error,
	.on_paced = listener_log_paced,
};

/* ---- life ---- */

struct served_listener *served_listener_find(const struct list *listeners, const char *name)
{
	struct list_node *node;

	list_for_each (listeners, node) {
		if (strcmp(served_listener_at(node)->name, name) == 0)
			return served_listener_at(node);
	}
	return NULL;
}

int served_listener_new(struct service *service, const struct config_listener *from,
			const struct listener_counters *counters, struct served_listener **ret,
			struct errmsg *err)
{
	struct served_listener *served = calloc(1, sizeof(*served));
	struct errmsg why;
	int r;

	if (!served) {
		errmsg_set(err, "listener %s: out of memory", from->section.name);
		return -ENOMEM;
	}
	list_node_init(&served->node);
	(void)snprintf(served->name, sizeof(served->name), "%s", from->section.name);
	listener_init(&served->listener, service->loop, &listener_events, served);
	proxied_peers_init(&served->proxied, service->loop, &proxied_events, served);
	r = admission_init(&served->admission, service, served->name);
	if (r < 0)
		errmsg_set(&why, "out of memory");
	if (r == 0)
		r = admission_change(&served->admission, from, &why);
	if (counters)
		served->listener.counters = *counters;
	open_record(served, service);
	if (r < 0) {
		errmsg_set(err, "listener %s: %s", from->section.name, why.text);
		served_listener_free(&served);
		return r;
	}
	*ret = served;
	return 0;
}

void served_listener_open(struct served_listener *served, const struct endpoint *endpoint,
			  struct listen_sockets *sockets)
{
	listener_open(&served->listener, endpoint, sockets);
	listener_log_open("listener", served->name, &served->listener);
}

static int change_http(struct served_listener *served, const struct config *config,
		       const struct config_listener *from)
{
	format_offer_end(&served->offer);
	proxied_peers_close(&served->proxied);
	if (!served->http)
		served->http = http_listener_new(&served->admission, &served->listener,
						 &http_admission, from);
	return served->http ? http_listener_change(served->http, config, from) : -ENOMEM;
}

int served_listener_change(struct served_listener *served, const struct config *config,
			   const struct config_listener *from)
{
	struct served_feed *feed = served_feed_find(&served->admission.service->feeds, from->feed);
	const struct subscriber_params *params = &served->subscriber_params;
	bool has_burst;
	struct errmsg err;

	listener_set_rate(&served->listener, from->accept_rate);
	if (admission_change(&served->admission, from, &err) < 0)
		log_error("%s listener=%s, who may subscribe has not changed", err.text,
			  served->name);
	if (from->format == FORMAT_HTTP)
		return change_http(served, config, from);
	http_listener_free(&served->http);
	if (proxied_peers_change(&served->proxied, from->trusted_proxies, from->head_timeout,
				 from->max_heads) < 0)
		return -ENOMEM;
	if (!feed)
		return 0;
	params_of_subscriber(from, config_find_feed(config, from->feed),
			     &served->subscriber_params);
	/* With a delay the past is in the history alone. */
	has_burst = subscriber_params_have_burst(params) && !served->admission.delay_ms;
	return format_offer_change(&served->offer, &feed->formats[from->format],
				   has_burst ? PAST_ALWAYS : PAST_NEVER);
}

void served_listener_detach(struct served_listener *served, const struct served_feed *feed)
{
	if (served->http)
		http_listener_detach(served->http, feed);
	else if (served->offer.format && served->offer.format->feed == feed)
		format_offer_end(&served->offer);
}

void served_listener_stop(struct served_listener *served)
{
	listener_close(&served->listener);
	proxied_peers_close(&served->proxied);
}

void served_listener_free(struct served_listener **served_ptr)
{
	struct served_listener *served = *served_ptr;

	*served_ptr = NULL;
	listener_close(&served->listener);
	proxied_peers_fini(&served->proxied);
	http_listener_free(&served->http);
	format_offer_end(&served->offer);
	admission_fini(&served->admission);
	close_record(served);
	list_remove(&served->node);
	free(served);
}
