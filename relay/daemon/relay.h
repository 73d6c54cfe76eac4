// SPDX-License-Identifier: MIT
/*
 * The running relay: its feeds and listeners, as the configuration wants them.
 *
 * A configuration is applied in two steps.  First all that is new is opened; if anything cannot be,
 * all of that is undone and nothing has changed.  Then what is gone is closed and what stays is
 * changed.
 */
#pragma once

#include <ev.h>

#include "base/errmsg.h"
#include "base/list.h"
#include "config/config.h"
#include "feed/feed.h"
#include "net/access.h"
#include "net/ingest.h"
#include "net/listener.h"
#include "net/peer_count.h"
#include "net/sockopt.h"

/* Bytes a second, taken once a second for the status. */
struct feed_rates {
	uint64_t in_bytes, out_bytes;        /* a second */
	uint64_t last_in, last_out, last_ms; /* private  */
};

struct served_feed {
	struct list_node node;
	struct feed *feed;
	struct ingest ingest;
	struct feed_rates rates;
};

struct served_listener {
	struct list_node node;
	struct relay *relay;
	char name[CONFIG_NAME_BYTES + 1];
	struct listener listener;
	struct rendition *rendition; /* NULL while being set up or torn down */
	struct subscriber_params subscriber_params;
	struct sockopt_params sockopt_params;
	struct access access;
	struct peer_count *peers; /* its subscribers by address */
	uint64_t max_per_ip;      /* 0 = no such limit */
	struct log_rate sockopt_log, refused_log;
};

struct relay {
	struct ev_loop *loop;
	struct config *config; /* in effect; owned */
	struct list feeds;     /* struct served_feed */
	struct list listeners; /* struct served_listener */
	uint64_t max_subscribers;
	uint64_t fd_limit;
	uint64_t pinned_ms;    /* monotonic: when max_pinned was last looked after */
	uint64_t pinned_bytes; /* held by slow subscribers then; 0 without max_pinned */
	ev_timer tick;
	bool is_draining;
	uint64_t drain_end_ms; /* monotonic */
};

void relay_init(struct relay *relay, struct ev_loop *loop, uint64_t fd_limit);

/* Applies `config`, which is owned by relay from here on, also after a failure.
 * 0, or -errno with a message; nothing has changed then. */
int relay_apply(struct relay *relay, struct config *config, struct errmsg *err);

/* No new subscribers, no more bytes; ends the loop once everybody has read what was sent, or when
 * the configured drain time is over.  A second call ends it at once. */
void relay_drain(struct relay *relay);

/* Closes and frees all. */
void relay_fini(struct relay *relay);

uint64_t relay_subscriber_count(const struct relay *relay);
