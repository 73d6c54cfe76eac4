// SPDX-License-Identifier: MIT
/* A listening socket with its accept loop: hands connected descriptors to its owner.
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
#include "net/token_bucket.h"
#include "table/counter.h"

struct errmsg;

struct listener;

struct listener_events {
	/* A peer has connected.  fd: non-blocking, close-on-exec, the owner's from here on.  May
	 * call any function of the listener, also listener_close(), but not free the struct. */
	void (*on_accept)(void *owner, int fd);

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
	struct ev_io acceptable;
	struct ev_timer pause_over;
	struct endpoint endpoint;
	char address[ENDPOINT_TEXT_BYTES];
	int fd;       /* -1: closed */
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

/* Bind and begin to accept.  Must be closed before.  Counters go on from where they were.
 * Returns 0 or -errno; `err` as endpoint_listen(); the listener is then closed as before. */
int listener_open(struct listener *listener, const struct endpoint *endpoint,
		  struct errmsg *err) must_check;

/* Stop, close, remove the socket file.  Idempotent; fine after listener_init(). */
void listener_close(struct listener *listener);

/* Take so many peers a second on average, and up to a second's worth at once; the others wait in
 * the kernel's queue.  0: no such limit, as after listener_init(). */
void listener_set_rate(struct listener *listener, uint64_t per_second);

/* Where it listens, with the real port: "tcp:127.0.0.1:40123".  "" while closed. */
const char *listener_address(const struct listener *listener);
