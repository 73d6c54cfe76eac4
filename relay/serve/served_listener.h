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
#include "serve/admission.h"
#include "serve/served_feed.h"

struct http_listener;
struct service;

struct served_listener {
	struct list_node node; /* rw: the owner's list */
	char name[CONFIG_NAME_BYTES + 1];
	struct listener listener;
	struct admission admission;
	struct http_listener *http; /* NULL: not with format = http */
	/* Of the other formats; not open while being set up or torn down. */
	struct served_format format;
	struct subscriber_params subscriber_params;
};

/* What the process before left of a listener. */
struct served_listener_kept {
	int listening_fd;                         /* stays its owner's; -1: none */
	const struct listener_counters *counters; /* NULL: none */
};

static inline struct served_listener *served_listener_at(struct list_node *node)
{
	return list_entry(node, struct served_listener, node);
}

/* In a list of listeners.  NULL: there is none of this name. */
struct served_listener *served_listener_find(const struct list *listeners, const char *name);

/* Listens at once.  The caller puts it into a list.  0 or -errno with a message. */
int served_listener_new(struct service *service, const struct config_listener *from,
			const struct served_listener_kept *kept, struct served_listener **ret,
			struct errmsg *err);

/* Serves what `from` says of `config`, which may have changed.  -ENOMEM: it is of no use any more.
 */
int served_listener_change(struct served_listener *served, const struct config *config,
			   const struct config_listener *from);

/* Gives up the feed's formats, before it goes. */
void served_listener_detach(struct served_listener *served, const struct served_feed *feed);

/* May its subscribers ask for the feed's past? */
bool served_listener_keeps_history(const struct served_listener *served,
				   const struct served_feed *feed);

/* Clears the pointer. */
void served_listener_free(struct served_listener **served);
