// SPDX-License-Identifier: MIT
/*
 * A listener as the daemon serves it: it accepts in the control thread, and hands each subscriber
 * that is let in to a worker.
 */
#pragma once

#include "base/errmsg.h"
#include "base/list.h"
#include "config/config.h"
#include "fanout/subscriber.h"
#include "net/listener.h"
#include "continuity/kept_struct.h"
#include "continuity/kept_sum.h"
#include "serve/admission.h"
#include "serve/http_listener.h"
#include "serve/served_feed.h"
#include "web/proxied_peers.h"

struct service;

enum {
	RECORD_LISTENERS_MAX = 4096, /* more than these begin at zero after a crash */
};

/* What a listener has counted, in the region that outlives the process.  The control thread writes
 * it.  Like all that only counts it has no sum, but its name has one. */
struct listener_record {
#define KEPT_DEF "serve/listener_record.def"
#include "continuity/kept_members.def"
	struct handed_http http; /* with its name; all 0 where it serves no requests */
	struct listener_counters counters;
} __attribute__((aligned(64)));

extern const struct kept_table listener_record_table;
extern const struct kept_names kept_listener_counters;

static inline uint64_t listener_record_sum(const struct listener_record *record)
{
	return kept_sum(0, record->http.listener, sizeof(record->http.listener));
}

struct served_listener {
	struct list_node node; /* rw: the owner's list */
	char name[CONFIG_NAME_BYTES + 1];
	struct listener listener;
	struct admission admission;
	struct http_listener *http; /* NULL: not with format = http */
	/* of the other formats; nothing while being set up or torn down */
	struct format_offer offer;
	struct proxied_peers proxied; /* of the other formats: who is behind a trusted proxy */
	struct subscriber_params subscriber_params;
	struct listener_record *record; /* NULL: a crash ends its counters */
};

static inline struct served_listener *served_listener_at(struct list_node *node)
{
	return list_entry(node, struct served_listener, node);
}

/* In a list of listeners.  NULL: there is none of this name. */
struct served_listener *served_listener_find(const struct list *listeners, const char *name);

/* Without a socket yet.  counters: of the process before; NULL for none.  The caller puts it into a
 * list.  0 or -errno with a message. */
int served_listener_new(struct service *service, const struct config_listener *from,
			const struct listener_counters *counters, struct served_listener **ret,
			struct errmsg *err);

/* Listens from now on at these sockets, which were opened for the endpoint, and nowhere else.
 * *sockets is empty afterwards.  Its subscribers stay. */
void served_listener_open(struct served_listener *served, const struct endpoint *endpoint,
			  struct listen_sockets *sockets);

/* Serves what `from` says of `config`, which may have changed.  -ENOMEM: it is of no use any more.
 */
int served_listener_change(struct served_listener *served, const struct config *config,
			   const struct config_listener *from);

/* Counters survive a crash as far as they have been noted: so before anybody is told of them,
 * before a peer that has come is handed on, and 10 times a second. */
void served_listener_note(struct served_listener *served);

/* Gives up the feed's formats, before it goes. */
void served_listener_detach(struct served_listener *served, const struct served_feed *feed);

/* Nobody new comes in.  Those who are in stay. */
void served_listener_stop(struct served_listener *served);

/* Clears the pointer. */
void served_listener_free(struct served_listener **served);
