// SPDX-License-Identifier: MIT
/*
 * Fan-out: the subscribers of a feed in one worker, and serving them.
 *
 *   packet ---> the ring of each rendition --- pass ---> the sockets of its subscribers
 *
 * A rendition (rendition.h) is the feed in one format.  It has a ring of packets, and the
 * subscribers (subscriber.h) who read that ring.  Whoever has put a packet into the rings calls
 * fanout_serve(): a pass then serves everybody who is ready.  A pass is cut into turns of the loop,
 * so that nothing else waits for it.  No packet may be put into the rings while a pass is under
 * way, or while a subscriber has to be waited for.
 *
 * A fan-out lives in one loop and is touched from there only.  It knows no feed: what it asks and
 * what it tells goes through struct fanout_events.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "fanout/slow_cause.h"
#include "pipe/pipe_set.h"
#include "ring/ring.h"
#include "table/close_reason.h"
#include "table/metrics.h"

struct encoder;
struct feed_records;
struct part_record;
struct rendition;
struct subscriber;

/* The same for all subscribers. */
struct fanout_params {
	uint64_t heartbeat_ms;     /* they are told so often that the feed lives; 0 = never */
	uint64_t max_lag_bytes;    /* 0 = the ring                                          */
	uint64_t max_lag_ms;       /* 0 = no such limit                                     */
	uint64_t stall_timeout_ms; /* 0 = no such limit                                     */
	uint64_t grace_ms;         /* a newcomer has no limits for so long                  */
	uint64_t turn_budget_ns;   /* a turn of a pass takes so long at most                */
};

/* How it stands with what comes in. */
struct fanout_source {
	uint32_t session; /* of the sequence; see base/packet_header.h                     */
	bool is_up;       /* a publisher is there                                          */
	bool is_awake;    /* packets come; false: on_wanted() asks for them                */
	bool is_draining; /* the end is near, nobody may join any more                     */
};

/* A jump to the live edge, of one subscriber. */
struct skip {
	uint64_t from;  /* sequence of the first message that it missed */
	uint64_t to;    /* and of the first one after these             */
	uint64_t bytes; /* that these have in its format                */
	enum slow_cause cause;
};

/* What a fan-out asks, and what it tells, whoever feeds it.  None may be NULL.  They are called in
 * the middle of a walk over subscribers, so they change none. */
struct fanout_events {
	void *owner;
	struct fanout_source (*get_source)(void *owner);
	/* Somebody waits for packets.  fanout_begin_joining() is to be called once they come. */
	void (*on_wanted)(void *owner);
	/* metrics->subscribers has changed. */
	void (*on_count)(void *owner);
	/* A subscriber has skipped. */
	void (*on_skip)(void *owner, const struct subscriber *subscriber, const struct skip *skip);
	/* A subscriber is about to be closed; cause: what held it back, NULL if that is not why. */
	void (*on_close)(void *owner, const struct subscriber *subscriber, enum close_reason reason,
			 const char *cause);
	/* The next packet may come: a pass of many turns is over, or nobody has to be waited for
	 * any more. */
	void (*on_ready)(void *owner);
	/* The last thing in a turn of the loop in which somebody was closed, or fanout_end_turn()
	 * was called.  Here subscribers may be changed. */
	void (*on_turn_end)(void *owner);
};

/* How far a feed is on the disk. */
struct fanout_disk {
	uint32_t session;
	uint64_t next_seq; /* of the first message that is not */
};

/* A pass, and what it has cost so far. */
struct fanout_pass {
	bool is_running;
	uint64_t delivered_bytes;
	uint64_t spent_ns;
};

/* Letting go, bit by bit, who was there when it began. */
struct fanout_drain {
	uint64_t spread_ms; /* it takes so long; 0: it is not under way */
	uint64_t begin_ms;  /* monotonic */
	uint64_t total;     /* subscribers that were there */
	uint64_t let_go;    /* of these, that it has ended */
	double phase;       /* below 1: when, between two of them, the first one goes */
};

/* Pauses of relay itself that are near each other, taken as one. */
struct fanout_pause {
	uint64_t first_ms; /* monotonic, when the first one ended */
	uint64_t end_ms;   /* and the last one */
	uint64_t ms;       /* they took together */
};

enum {
	FANOUT_PAUSES = 16, /* the newest ones; together they reach back twice as far as max_lag */
};

struct fanout {
	struct ev_loop *loop;                  /* ro */
	const char *name;                      /* ro: of the feed */
	const struct fanout_params *params;    /* the owner's; it may change them at any time */
	struct fanout_events events;           /* ro */
	struct pipe_set *pipes;                /* the owner's */
	struct metrics *metrics;               /* the owner's: what is delivered is counted there */
	uint64_t closed[CLOSE_REASON_COUNT];   /* subscribers, by reason */
	uint64_t skipped_by[SLOW_CAUSE_COUNT]; /* skips, by cause */
	uint64_t closed_slow_by[SLOW_CAUSE_COUNT]; /* slow subscribers closed, by cause */

	unsigned own_count; /* ro: subscribers of relay's own */

	bool waits_for_disk;        /* ro: subscribers get only what is on the disk: */
	struct fanout_disk on_disk; /* ro: all before this; session 0: nothing is known yet */

	struct list renditions;
	struct fanout_pass pass; /* rw: its cost */
	bool is_waiting;         /* ro: for a subscriber with on_slow = wait */
	ev_idle turn_watcher;    /* private: the rest of a pass that did not fit its turn */
	struct list half_closed; /* private: subscribers that have sent FIN */
	struct list until;       /* private: subscribers that end at a time */
	struct list replaying;   /* private: subscribers with replay */
	uint64_t half_closed_ms; /* private: when to look at them next */
	struct fanout_pause pauses[FANOUT_PAUSES]; /* private: of relay itself, the newest last */
	unsigned pause_count;                      /* private */
	uint64_t windows_ms;       /* private: when to look at closed windows next */
	struct fanout_drain drain; /* private */
	struct list reap;          /* private: closed subscribers, freed at the end of the turn */
	ev_prepare turn_end;       /* private: started when a turn has something to end */

	struct feed_records *records; /* of feed_kept.c; NULL: none */
	struct part_record *record;   /* of feed_kept.c; NULL: none */
};

/* Makes a fan-out without renditions.  Only `events` is copied; all else must outlive it. */
void fanout_init(struct fanout *fanout, struct ev_loop *loop, const char *name,
		 const struct fanout_params *params, const struct fanout_events *events,
		 struct pipe_set *pipes, struct metrics *metrics);

/* Stops the watchers and frees closed subscribers, which must be all; the renditions are left. */
void fanout_stop(struct fanout *fanout);

/* Subscribers get a packet only once fanout_note_on_disk() has said that it is on the disk; those
 * of relay's own get it at once.  So much may wait as is half a ring, then the next packet has to.
 * Before anything is published. */
void fanout_wait_for_disk(struct fanout *fanout);
void fanout_note_on_disk(struct fanout *fanout, const struct fanout_disk *on_disk);

/* ---- renditions ---- */

/* Closes its subscribers and empties its ring; rendition_free() is next. */
void fanout_clear_rendition(struct rendition *rendition, enum close_reason reason);

/* ---- subscribers ---- */

/* The one with this id; NULL: there is none. */
struct subscriber *fanout_find_subscriber(const struct fanout *fanout, uint64_t id);

/* Places whoever has waited for packets. */
void fanout_begin_joining(struct fanout *fanout);

/* Each gets what is in its ring now, and is closed then. */
void fanout_finish_all(struct fanout *fanout, enum close_reason reason);

/* The same for all who have joined by begin_ms (monotonic), one after the other, over spread_ms;
 * reason MOVED.  Who joins later is not meant.  The first one goes earlier the larger `phase` is (0
 * to below 1): so many fan-outs with one subscriber each do not all wait for the end.  spread_ms =
 * 0: those who are still there stay. */
void fanout_drain_slowly(struct fanout *fanout, uint64_t begin_ms, uint64_t spread_ms,
			 double phase);

/* The end comes before the slow drain is through: those who are still to go, go now. */
void fanout_drain_rest(struct fanout *fanout);

void fanout_close_all(struct fanout *fanout, enum close_reason reason);

struct farewells;

/* Another process is to do that: adds them to *ret.  Nothing here has changed.  0 or -ENOMEM. */
int fanout_capture_farewells(const struct fanout *fanout, enum close_reason reason,
			     struct farewells *ret) must_check;

/* For want of memory packets are missing in the ring, and nobody may take them for delivered: all
 * subscribers of the rendition are closed, and its past is given up.  Or of all renditions. */
void fanout_lose(struct rendition *rendition);
void fanout_lose_all(struct fanout *fanout);

/* Frees closed ones before the turn ends.  Not from a callback of a subscriber. */
void fanout_free_closed(struct fanout *fanout);

/* on_turn_end() is to be called before the loop waits again.  With thousands of feeds in a loop,
 * none may have something to do in each turn. */
static inline void fanout_end_turn(struct fanout *fanout)
{
	ev_prepare_start(fanout->loop,
			 &fanout->turn_end); /* nothing happens if it has been started */
}

/* Sets the gauges of rings and subscribers, and adds what subscribers who are still here have
 * got.  It walks over all of them. */
void fanout_add_metrics(const struct fanout *fanout, struct metrics *ret);

/* Before a tick that comes late_ms too late: relay itself did nothing for so long, so that counts
 * against nobody. */
void fanout_excuse(struct fanout *fanout, uint64_t now_ms, uint64_t late_ms);

/* 10 times a second: limits of slow subscribers, closed windows, half-closed ones that have gone,
 * and those whose turn it is to be let go. */
void fanout_tick(struct fanout *fanout, uint64_t now_ms);

/* ---- passes ---- */

/* True: no packet may be put into the rings. */
static inline bool fanout_is_busy(const struct fanout *fanout)
{
	return fanout->pass.is_running || fanout->is_waiting;
}

/* A packet is in the rings: starts a pass if somebody is ready, and finds out who has to be waited
 * for.  start_ns: monotonic, when the work on the packet began; it is part of the cost. */
void fanout_serve(struct fanout *fanout, uint64_t start_ns);

/* The same for news, which nobody is waited for; not while a pass is under way. */
void fanout_serve_ready(struct fanout *fanout);

/* What comes next costs anew. */
static inline void fanout_reset_cost(struct fanout *fanout)
{
	fanout->pass.delivered_bytes = 0;
	fanout->pass.spent_ns = 0;
}

/* Somebody is ready outside a pass: it goes on in the next round of the loop. */
static inline void fanout_continue_pass(struct fanout *fanout)
{
	fanout->pass.is_running = true;
	ev_idle_start(fanout->loop, &fanout->turn_watcher);
}
