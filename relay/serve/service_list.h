// SPDX-License-Identifier: MIT
/*
 * What is done with all feeds and listeners of a service at once.
 */
#pragma once

#include "serve/service.h"
#include "table/close_reason.h"

struct served_feed;

/* An empty service without workers.  Takes the sockets that the service manager has passed, so it
 * is to be called before there is a second thread. */
void service_init(struct service *service, struct ev_loop *loop);

/* The listeners give up the formats of the feed, which is about to go. */
void service_detach(struct service *service, const struct served_feed *feed);

/* Frees the listeners and then the feeds in these lists, which are empty afterwards.  No other
 * listener may have formats of the feeds. */
void service_free_all(struct list *feeds, struct list *listeners, enum close_reason reason);

/* Nobody is let in any more, and the feeds end their sessions. */
void service_drain(struct service *service);

/* 10 times a second: what the log owes is told, and what nobody reads is given up.  now_ms:
 * monotonic. */
void service_tick(struct service *service, uint64_t now_ms);

/* Ends everything that is served. */
void service_fini(struct service *service);
