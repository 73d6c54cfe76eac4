// SPDX-License-Identifier: MIT
/*
 * The state of all that is served, as one process leaves it to the next: listening sockets, feeds
 * with their publishers, rings and subscribers, and the counters.  So the accounts go on.
 *
 * Rings are not in it: they lie in memory that is kept all the time (ring/ring_kept.h).
 *
 *   this process:  handover_take()      service -> struct handover
 *                  handover_transfer()  struct handover -> stream, which travels by a bag
 *   the next one:  handover_transfer()  stream -> struct handover
 *                  handover_resume()    struct handover -> service
 *
 * A process that died without a word has left records instead of a stream.  They are read into the
 * same struct (daemon/crash_read.h).
 *
 * The ring of a subscriber is in one worker.  So the next process has at least as many workers as
 * this one, even if its configuration wants fewer.  Subscribers of what its configuration no longer
 * has are closed with the reason REMOVED.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "continuity/farewell.h"
#include "continuity/kept_struct.h"
#include "config/config.h"
#include "net/listener.h"
#include "serve/http_listener.h"
#include "serve/served_feed.h"
#include "serve/served_listener.h"
#include "serve/service.h"

/* A socket that listens: of a feed or of a listener, by its section; or one that the service
 * manager passed, by its name there. */
enum handed_kind {
	HANDED_FEED,
	HANDED_LISTENER,
	HANDED_PASSED,
	HANDED_KINDS,
};

struct handed_socket {
#define KEPT_DEF "serve/socket_kept.def"
#include "continuity/kept_members.def"
	struct listener_counters counters; /* of a listener */
};

extern const struct kept_table socket_kept_table, served_kept_table, service_kept_table;

/* The configuration in effect, as it goes to the next process, which goes on with it when it cannot
 * use the one that is in the file by then. */
struct kept_config {
	int fd;             /* a sealed memfd: the `source` of a struct config; -1: none */
	uint64_t fallbacks; /* times that relay went on with the one before */
};

struct handover {
#define KEPT_DEF "serve/service_kept.def"
#include "continuity/kept_members.def"
	struct kept_config config; /* fd: owned when it was read, else the giver's */
	bool is_after_crash;       /* not in the stream: read from what a process left that died */
	uint64_t lost;             /* subscribers of such a process that cannot go on */
	struct handed_socket *sockets;
	size_t socket_count;
	struct handed_feed *feeds;
	size_t feed_count;
	struct farewells farewells; /* who is told by the next process that it cannot go on */
	struct handed_http *http_listeners; /* of listeners with format = http */
	size_t http_listener_count;
	uint8_t *map; /* where the stream is, when it was read from a bag; unmapped at the end */
	size_t map_bytes;
};

/* Describes the service.  Its workers must be parked until the struct is freed.  `config` is the
 * one in effect.  Who cannot go on in the next process is among the farewells: subscribers of
 * combinations, publishers in the middle of a body, who waits for a message.  0 or -errno; the
 * service, with all of them, can go on in both cases. */
int handover_take(struct service *service, const struct config *config,
		  struct handover *ret) must_check;

/* Only the sockets that listen, in an array that the caller frees.  Their descriptors stay the
 * service's.  From the control thread.  0 or -ENOMEM. */
int handover_take_sockets(const struct service *service, const struct config *config,
			  struct handed_socket **ret, size_t *ret_count) must_check;

/* The schema of such a state: another one cannot be read.  It comes from the tables of what is
 * kept, so to keep one more member is one row in a .def.  A new counter or close reason does
 * not change it. */
uint32_t handover_schema(void);

/* These tables. */
const struct kept_table *const *handover_tables(size_t *ret_count);

/* Writes it to a stream, or reads it from one.  What is read has been checked if the stream has no
 * fault; if it has one, nothing of it is to be believed. */
void handover_transfer(struct state_stream *stream, struct handover *handover);

/* After reading: finds the rings, which do not lie in the stream. */
void handover_read_rings(struct handover *handover, struct kept_fds *fds);

/* After handover_take().  Closes nothing that the service uses. */
void handover_free(struct handover *handover);

/* After reading.  Says the farewells, and closes what nobody has taken, subscribers by reset.
 * Frees all but the struct. */
void handover_fini(struct handover *handover);

/* The same, and frees the struct.  Clears the pointer.  NULL inside is fine. */
void handover_close(struct handover **handover);

/* ---- for a service that goes on; `handover` may be NULL: there was none before it ---- */

/* A feed as it was left.  NULL: there was none of this name. */
struct handed_feed *handover_feed(const struct handover *handover, const char *name);

/* What a listener had counted.  NULL: there was none of this name. */
const struct listener_counters *handover_counters(const struct handover *handover,
						  const char *listener);

/* The socket of the feed or listener of this name, if its address was written in the same way, else
 * -1.  It stays the handover's. */
int handover_socket(const struct handover *handover, enum handed_kind kind, const char *name,
		    const char *address);

/* Duplicates all sockets of that kind, name and address.  *ret is empty without them, or when they
 * cannot be duplicated. */
void handover_duplicate(const struct handover *handover, enum handed_kind kind, const char *name,
			const char *address, struct listen_sockets *ret);

/* To be called once all feeds and listeners are open, and before anything is read from a publisher.
 * Rings, subscribers and counters are then as they were.  Logs how many subscribers there are, and
 * how long nobody was served.  Closes the handover and clears the pointer. */
void handover_resume(struct service *service, struct handover **handover);
