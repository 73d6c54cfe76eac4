// SPDX-License-Identifier: MIT
/*
 * Connections of trusted proxies to a listener of raw or framed streams.  Each begins with a header
 * of the PROXY protocol.  Until that is there, nobody knows who the peer is, and it waits here.
 *
 * Exactly the header is taken off the socket.  What the peer sent behind it stays there.  A
 * connection that waits is reset if the process ends.
 */
#pragma once

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "net/access.h"
#include "net/endpoint.h"

struct proxied_peers_events {
	/* The header is there.  fd is the owner's from here on.  peer: as the header says it; the
	 * proxy itself where the header names nobody.  is_local: nobody is behind the proxy. */
	void (*on_peer)(void *owner, int fd, const struct endpoint_address *peer, bool is_local);

	/* No right header has come.  fd is the owner's from here on.  why: a static text. */
	void (*on_refused)(void *owner, int fd, const struct endpoint_address *proxy,
			   const char *why);
};

struct proxied_peers {
	/* private */
	struct ev_loop *loop;
	const struct proxied_peers_events *events;
	void *owner;
	struct access trusted;
	uint64_t deadline_ms;
	size_t max;
	struct list waiting; /* the oldest first */
	size_t count;
	/* A set of its own, as in http_connection.h: the sockets go on to other threads. */
	int epoll_fd; /* -1 before the first connection */
	ev_io ready;
};

/* No proxy is trusted yet.  `events` and `owner` must outlive it. */
void proxied_peers_init(struct proxied_peers *peers, struct ev_loop *loop,
			const struct proxied_peers_events *events, void *owner);

/* For connections that come from now on.  trusted: the networks of the proxies, "" for none.
 * deadline_ms: how long a header may take.  max: how many may wait; one more crowds out the oldest.
 * 0, or -ENOMEM: nothing has changed. */
must_check int proxied_peers_change(struct proxied_peers *peers, const char *trusted,
				    uint64_t deadline_ms, size_t max);

/* Has a connection from this address to begin with a header? */
bool proxied_peers_expect(const struct proxied_peers *peers, const struct endpoint_address *peer);

/* Takes such a connection over.  fd is non-blocking.  May call the events. */
void proxied_peers_add(struct proxied_peers *peers, int fd, const struct endpoint_address *proxy);

/* Often: refuses those whose time is over.  now_ms: monotonic. */
void proxied_peers_tick(struct proxied_peers *peers, uint64_t now_ms);

/* Resets all that wait. */
void proxied_peers_close(struct proxied_peers *peers);

/* The same, for good. */
void proxied_peers_fini(struct proxied_peers *peers);
