// SPDX-License-Identifier: MIT
/*
 * All that is served, in all workers: the feeds, the listeners where subscribers come in, and how
 * many of them there are.  Read this header first in serve/.
 *
 *   listener ---> admission ---> quota ---> a worker, where the feed is read
 *
 * The control thread owns the service.  It accepts peers, applies the configuration and counts.
 * The workers carry the bytes; serve/worker.h says how the control thread has things done there.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "feed/feed_kept.h"
#include "loop/inbox.h"
#include "intake/engine.h"
#include "systemd/passed_fds.h"
#include "serve/worker.h"
#include "table/close_reason.h"

struct listener_record;

struct service {
	struct ev_loop *loop;     /* of the control thread */
	struct inbox control;     /* for tasks that come back from the workers */
	struct workers workers;   /* none before the first configuration is applied */
	struct list feeds;        /* struct served_feed; owned */
	struct list combinations; /* struct combination; owned */
	struct list listeners;    /* struct served_listener; owned */
	struct list unread;       /* struct served_format: open, and nobody reads it */
	struct list waiting;      /* struct arrival: for a message; owned */
	struct passed_fds passed; /* sockets from the service manager */
	uint64_t subscribers;     /* that have a quota */
	uint64_t max_subscribers;
	bool is_draining;            /* nobody is let in any more */
	uint64_t slow_drain_end_ms;  /* monotonic: a slow drain is under way; 0: none */
	struct feed_records records; /* kept for after a crash; empty: a crash ends all */
	struct listener_record *listener_records; /* RECORD_LISTENERS_MAX; NULL: none */
	struct engine_thresholds thresholds; /* private: measured; all 0 before the first feed */
};

struct served_feed;

/* An empty service without workers.  Takes the sockets that the service manager has passed, so it
 * is to be called before there is a second thread. */
void service_init(struct service *service, struct ev_loop *loop);

/* The listeners give up the formats of the feed, which is about to go. */
void service_detach(struct service *service, struct served_feed *feed);

/* A configuration has been applied: combinations take it over, and those that no listener serves
 * any more are freed. */
void service_settle_combinations(struct service *service);

/* Frees the listeners and then the feeds in these lists, which are empty afterwards.  No other
 * listener may have formats of the feeds. */
void service_free_all(struct list *feeds, struct list *listeners, enum close_reason reason);

/* Nobody is let in any more, and the feeds end their sessions. */
void service_drain(struct service *service);

/* Before a hand-over: takes what publishers have sent that the next process could not go on
 * with. */
void service_take_bodies(struct service *service);

/* True: what a feed has is being written into its history.  Of one that drains: still. */
bool service_is_recording(const struct service *service);

/* Lets all go who are here now, one after the other, over spread_ms; nothing else changes, and who
 * comes now is let in.  Begins anew where one is under way.  0: there is none any more. */
void service_drain_slowly(struct service *service, uint64_t spread_ms);

/* No balancer should send anybody. */
static inline bool service_is_leaving(const struct service *service)
{
	return service->is_draining || service->slow_drain_end_ms;
}

/* What listeners have counted is about to be told; see served_listener_note(). */
void service_note_counts(const struct service *service);

/* 10 times a second: what the log owes is told, and what nobody reads is given up.  now_ms:
 * monotonic. */
void service_tick(struct service *service, uint64_t now_ms);

/* Ends everything that is served. */
void service_fini(struct service *service);
