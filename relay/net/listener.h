// SPDX-License-Identifier: MIT
/* Listening sockets with an accept loop: hands connected descriptors to its owner.
 *
 * Invariant: no error of accept() closes the listener, and none makes the loop spin.  When
 * descriptors or memory run out, accepting pauses for 100 ms, then longer, up to 1 s; a shortage
 * of descriptors that outlasts a pause gets the waiting peers reset (through one descriptor
 * that is held in reserve) instead of leaving them in the queue.  How many a second may come is
 * decided here, who may, and how many in all, is the owner's business. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "base/compiler.h"
#include "base/log_rate.h"
#include "net/endpoint.h"
#include "net/listen_socket.h"
#include "net/token_bucket.h"
#include "table/counter.h"

struct listener;

struct listener_events {
	/* A peer has connected.  fd: non-blocking, close-on-exec, the owner's from here on.  peer:
	 * its address, as accept(2) gives it, which is known even if the peer has gone already.
	 * May call any function of the listener, also listener_close(), but not free the struct. */
	void (*on_accept)(void *owner, int fd, const struct endpoint_address *peer);

	/* For the log, each at most once a second; `suppressed`: how often not since the last time.
	 * accept(2) has failed, and nothing is accepted for `pause_ms` (0: it goes on at once). */
	void (*on_error)(const struct listener *listener, int error, uint32_t pause_ms,
			 uint64_t suppressed);
	/* Peers have to wait for the rate. */
	void (*on_paced)(const struct listener *listener, uint64_t suppressed);
};

struct listener {
	struct listener_counters counters; /* ro */

	/* private */
	struct ev_loop *loop;
	struct listen_sockets sockets;
	struct ev_io acceptable[LISTEN_SOCKETS_MAX]; /* of each socket */
	struct ev_timer pause_over;
	struct endpoint endpoint;
	char address[ENDPOINT_TEXT_BYTES];
	int spare_fd; /* given up to accept and reset a peer when no other is left */
	uint32_t pause_ms;
	struct token_bucket rate;
	struct log_rate error_rate, paced_rate;
	const struct listener_events *events;
	void *owner;
};

/* `events` and `owner` must outlive it. */
void listener_init(struct listener *listener, struct ev_loop *loop,
		   const struct listener_events *events, void *owner);

/* Begin to accept at these sockets, which were opened for `endpoint` and are the listener's from
 * here on; *sockets is empty afterwards.  Counters go on from where they were.  When it listens
 * elsewhere already, who has connected there is accepted first, and those sockets are closed. */
void listener_open(struct listener *listener, const struct endpoint *endpoint,
		   struct listen_sockets *sockets);

/* Does it listen, and at this endpoint?  No longer when its socket file has been removed or made
 * anew by somebody else. */
bool listener_is_at(const struct listener *listener, const struct endpoint *endpoint);

/* Stop, close, remove the socket file.  Idempotent; fine after listener_init(). */
void listener_close(struct listener *listener);

/* Take so many peers a second on average, and up to a second's worth at once; the others wait in
 * the kernel's queue.  0: no such limit, as after listener_init(). */
void listener_set_rate(struct listener *listener, uint64_t per_second);

/* To be asked again and again: how many errors, and how many waits for the rate, were not told in
 * the last second.  False: none. */
bool listener_sum_is_due(struct listener *listener, uint64_t now_ns, uint64_t *ret_errors,
			 uint64_t *ret_paced);

/* Where it listens, with the real port: "tcp:127.0.0.1:40123".  Of several addresses, the first.
 * "" while closed. */
const char *listener_address(const struct listener *listener);
