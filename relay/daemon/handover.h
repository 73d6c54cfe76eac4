// SPDX-License-Identifier: MIT
/*
 * The state of the whole relay, as one process leaves it to the next: listening sockets, feeds with
 * their publishers, rings and subscribers, and the counters, so that accounts go on.
 *
 *   handover_take()  --> struct handover --> handover_transfer() --> handover_bag.h --> next
 * process next process: handover_transfer() --> relay->resumed --> handover_resume()
 *
 * A relay that is resumed has at least as many workers as the one before, because a subscriber's
 * ring is in one worker; `workers` in the configuration takes effect downwards at a start without
 * a hand-over.  What the configuration no longer has is closed with the reason REMOVED.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/errmsg.h"
#include "base/state_stream.h"
#include "config/config.h"
#include "feed/feed_state.h"
#include "net/endpoint.h"
#include "net/listener.h"
#include "ring/ring_kept.h"
#include "serve/listeners_kept.h"
#include "source/ingest.h"

struct relay;
struct served_feed;

enum {
	/* Raised with every change of what is written, or of what it means. */
	HANDOVER_SCHEMA = 2,
	HANDOVER_ADDRESS_BYTES = 4608, /* an address of the configuration */
};

/* A socket that listens: of a feed or of a listener, by its section; or one that the service
 * manager passed, by its name there. */
enum handed_kind {
	HANDED_FEED,
	HANDED_LISTENER,
	HANDED_PASSED,
	HANDED_KINDS,
};

struct handed_socket {
	unsigned kind;
	char name[STATE_NAME_BYTES];
	char address[HANDOVER_ADDRESS_BYTES]; /* as configured; "" when passed */
	int fd;
	struct listener_counters counters; /* of a listener */
};

struct handed_feed {
	char name[STATE_NAME_BYTES];
	char ingest_text[HANDOVER_ADDRESS_BYTES];
	struct ingest_state ingest;
	unsigned home;
	uint64_t placed;
	uint64_t refused[CLOSE_REASON_COUNT];
	bool keeps_source;        /* not in the stream: found out when the feed is made */
	struct feed_state *parts; /* one for each worker; owned */
	size_t part_count;
};

struct handover {
	unsigned workers;        /* 0: any number will do */
	bool is_after_crash;     /* not in the stream: read from what a process left that died */
	uint64_t lost;           /* subscribers of such a process that cannot go on */
	uint64_t still_since_ns; /* monotonic: nobody has been served since */
	struct handed_socket *sockets;
	size_t socket_count;
	struct handed_feed *feeds;
	size_t feed_count;
	struct handed_http *http_listeners; /* of listeners with format = http */
	size_t http_listener_count;
	struct ring_record_map *ring_maps; /* where blocks of rings are, after a crash; owned */
	size_t ring_map_count;
	uint8_t *map; /* where the stream is, when it was read from a bag; unmapped at the end */
	size_t map_bytes;
};

/* Describes the relay, whose workers must be parked until the state is freed.  0 or -errno. */
int handover_take(struct relay *relay, struct handover *ret) must_check;

/* The sockets that listen, in an array that the caller frees; their descriptors stay the relay's.
 * From the control thread, with the configuration in effect.  0 or -ENOMEM. */
int handover_take_sockets(const struct relay *relay, struct handed_socket **ret,
			  size_t *ret_count) must_check;

/* Written to, or read from; what is read is checked, as a whole only when nothing is the stream's
 * fault. */
void handover_transfer(struct state_stream *stream, struct handover *handover);

/* After handover_take(); closes nothing of the relay's. */
void handover_free(struct handover *handover);

/* After reading: closes what nobody has taken, subscribers by reset, and frees all but the struct.
 */
void handover_fini(struct handover *handover);

/* The same, and frees the struct.  Clears the pointer; NULL inside is fine. */
void handover_close(struct handover **handover);

/* ---- for a relay that is resumed; `handover` may be NULL: there was none before it ---- */

/* Gives the endpoint its socket, if the same section listened at the same address. */
void handover_resolve(const struct handover *handover, enum handed_kind kind, const char *name,
		      const char *address, struct endpoint *endpoint);

/* NULL: it was not there. */
struct handed_feed *handover_find_feed(const struct handover *handover, const char *name);

/* What a listener has counted. */
void handover_restore_counters(const struct handover *handover, const char *name,
			       struct listener_counters *counters);

/* Once all feeds, listeners and formats are open and before anything is read: rings, subscribers
 * and counters are as they were.  Logs how many, and how long nobody was served. */
void handover_resume(struct relay *relay);
