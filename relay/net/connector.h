// SPDX-License-Identifier: MIT
/* Keeps one outgoing connection for a feed, out of a list of endpoints in order of preference.
 *
 * The endpoints are tried in order; when all have failed there is a pause (base/backoff.h) and it
 * begins again with the first.  A connection that ends before it has settled counts as a failure
 * of its endpoint.  While a less preferred one is in use, the better ones are probed, and one that
 * was reachable several times in a row is handed over as a second connection.
 *
 * Invariant: the connector never holds a descriptor that it has handed over.  A callback about a
 * connection is the last thing that a watcher does: it may call any function below, but not free
 * the connector.  It never comes from inside connector_start() or connector_lost(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "base/backoff.h"
#include "base/log_rate.h"
#include "net/endpoint.h"
#include "net/resolver.h"

#define CONNECTOR_MAX_ENDPOINTS 8

/* Longer than three SYN retries (1 + 2 + 4 s): what has not answered by then is as good as down. */
#define CONNECTOR_TIMEOUT_MS 10000u

struct connector_events {
	/* NULL: nothing is.  Connected, and something is to be said on the connection before it is
	 * of use.  True: connector_opened() or connector_refused() follows later; fd is the
	 * connector's until then.  False: nothing is to be said on this one. */
	bool (*on_opening)(void *owner, int fd, size_t index);
	/* Between the two: it is given up, and fd is closed next.  has_failed: for it
	 * took too long. */
	void (*on_given_up)(void *owner, bool has_failed);

	/* Connected.  fd: non-blocking, close-on-exec, the owner's; index: which endpoint. */
	void (*on_connected)(void *owner, int fd, size_t index);
	/* A more preferred endpoint is back and fd is connected to it: switch to it at the next
	 * message boundary, then close the old connection.  From here on connector_lost() is about
	 * the new one; nothing is to be said about the end of the old one. */
	void (*on_better)(void *owner, int fd, size_t index);

	/* For the log, and not about probes.
	 * It is tried, for the first time since it was connected. */
	void (*on_connecting)(void *owner, size_t index);
	/* It cannot be had: once a minute at most.  `suppressed`: how often this was not told since
	 * the last time. */
	void (*on_failed)(void *owner, size_t index, const char *error, uint64_t suppressed);
	/* It is connected; before, it could not be had so often without that having been told. */
	void (*on_more_failed)(void *owner, size_t index, uint64_t suppressed);
};

enum connector_state {
	CONNECTOR_STOPPED,
	CONNECTOR_WAITING,    /* until the next round; `pause_over` runs */
	CONNECTOR_CONNECTING, /* an attempt is under way */
	CONNECTOR_CONNECTED,  /* the owner has a connection; better endpoints may be probed */
};

struct connector_target {
	struct endpoint endpoint;
	uint32_t probes_ok; /* in a row */
	bool is_told;       /* that it is tried */
	struct log_rate failed_rate;
};

/* How fast things go; connector_init() sets the values of connector.c, tests may shorten them. */
struct connector_pace {
	/* for the look-up, and again for each address, and to open it */
	uint32_t connect_timeout_ms;
	uint32_t attempt_ms;   /* for all addresses of an endpoint; what is begun ends */
	uint32_t probe_ms;     /* between two looks at the better endpoints */
	uint32_t settled_ms;   /* a connection that lived so long was a good one */
	uint32_t retry_max_ms; /* the longest pause between two rounds */
};

struct connector {
	struct connector_pace pace; /* rw before start */

	/* private */
	struct ev_loop *loop;
	struct connector_target targets[CONNECTOR_MAX_ENDPOINTS];
	size_t target_count;
	const struct connector_events *events;
	void *owner;

	enum connector_state state;
	size_t round_start; /* WAITING: the endpoint to begin with */
	size_t current;     /* CONNECTED: the endpoint in use */
	uint64_t connected_ns;
	struct backoff backoff;
	uint32_t probes_needed;
	struct ev_timer pause_over; /* WAITING: next round; CONNECTED: next probe */

	/* the attempt under way, if any: for a connection or for a probe */
	size_t attempt_target;
	uint64_t attempt_ns;
	struct resolver resolver;
	struct resolver_answer answer;
	size_t next_address;
	int fd; /* -1: none yet */
	struct ev_io connected;
	struct ev_timer timed_out;
	bool is_opening; /* fd is connected, and the owner speaks on it */
};

/* `endpoints` is copied, at most CONNECTOR_MAX_ENDPOINTS of them (count >= 1); `events` and `owner`
 * must outlive the connector. */
void connector_init(struct connector *connector, struct ev_loop *loop,
		    const struct endpoint *endpoints, size_t count,
		    const struct connector_events *events, void *owner);

/* Instead of connector_start(): the owner has a connection to endpoint `index` already. */
void connector_resume(struct connector *connector, size_t index);

/* Begin, and end (the owner keeps its connection).  Both idempotent; stop is to be called before
 * the connector or its loop is freed, and from then on no callback comes. */
void connector_start(struct connector *connector);
void connector_stop(struct connector *connector);

/* The connection that was handed over last has ended, or the owner did not want it: connect
 * again.  Ignored when none was handed over. */
void connector_lost(struct connector *connector);

/* The same; but its endpoint still accepts, and is of no use: begin with the one behind it. */
void connector_leave(struct connector *connector);

/* After on_opening: the connection is of use, and is handed over before this returns; or it is not,
 * for this reason, and the next address has its turn.  To be called as the last thing, as a
 * callback is.  connector_refused() may come from inside on_opening, which then returns true. */
void connector_opened(struct connector *connector);
void connector_refused(struct connector *connector, const char *error);

/* After on_opening, in place of these: another connection to the same address is wanted at once. */
void connector_reopen(struct connector *connector);
