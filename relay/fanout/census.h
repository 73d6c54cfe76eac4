// SPDX-License-Identifier: MIT
/*
 * A census: who of the subscribers is first by lag, age or so, and how lag is spread over all.
 *
 * The walk over a feed's subscribers is made in one turn of their loop, so it does little for each:
 * no system call, no memory.  Only the few that are listed in the end are asked about their
 * sockets.  Parts that were taken in different loops are added up.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "fanout/slow_cause.h"
#include "fanout/subscriber.h"

struct fanout;

enum census_order {
	CENSUS_BY_LAG,       /* most bytes behind the live edge first */
	CENSUS_BY_AGE,       /* who has been there longest first */
	CENSUS_BY_DELIVERED, /* most messages delivered first */
	CENSUS_BY_ID,        /* in the order in which they came */
};

enum {
	CENSUS_LAG_BUCKETS = 7
};

/* Upper bounds of the buckets, inclusive, in milliseconds; the last one has none. */
extern const uint64_t census_lag_bounds_ms[CENSUS_LAG_BUCKETS - 1];

/* private: what is known of a subscriber while others are still met. */
struct census_pick {
	uint64_t key; /* what it is sorted by; more comes first */
	const struct subscriber *subscriber;
};

struct census_row {
	uint64_t key; /* private */

	/* Texts of the feed, good while it is. */
	const char *feed;
	const char *format;
	unsigned worker; /* rw: the owner's */
	uint64_t id;
	enum subscriber_state state;
	bool is_replaying; /* it reads the history */
	uint64_t lag_bytes;
	uint64_t lag_ms;
	uint64_t lag_messages;
	uint64_t delivered_messages;
	uint64_t connected_ms;
	uint64_t sent_bytes;   /* that its socket took since it joined, or since an upgrade */
	uint64_t queued_bytes; /* in its socket, not yet acknowledged */
	enum slow_cause cause; /* of a blocked one */
	struct endpoint_address peer; /* bytes 0: nobody knows */
};

struct census {
	enum census_order order;
	bool is_slow_only; /* count and list blocked ones only */
	size_t limit;      /* rows at most */

	struct census_pick *picks; /* private: owned; a heap */
	size_t pick_count;         /* private */
	struct census_row *rows;   /* owned; from census_list() on */
	size_t count;
	uint64_t total;      /* that were met, listed or not */
	uint64_t max_lag_ms; /* of these */
	uint64_t lag_buckets[CENSUS_LAG_BUCKETS];
};

/* 0 or -ENOMEM; fini is fine after both. */
int census_init(struct census *census, enum census_order order, bool is_slow_only,
		size_t limit) must_check;
void census_fini(struct census *census);

/* Adds the subscribers of one fan-out, in its loop.  now_ns: monotonic. */
void census_add(struct census *census, const struct fanout *fanout, uint64_t now_ns);

/* Makes the rows of those that come first, in the turn in which they were met; asks their sockets:
 * two system calls each, four for a blocked one.  0 or -ENOMEM. */
int census_list(struct census *census, uint64_t now_ns) must_check;

/* Adds a part that has been listed.  0; -ENOMEM, without its rows then. */
int census_merge(struct census *sum, const struct census *part) must_check;

/* Brings the rows into their order and drops those over the limit. */
void census_sort(struct census *census);

/* The state as a word: "joining", "idle", "ready", "blocked". */
const char *census_state_name(enum subscriber_state state);
