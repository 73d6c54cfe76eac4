// SPDX-License-Identifier: MIT
/*
 * A feed: a named stream with one publisher and many subscribers.  This is the feed in one worker.
 *
 *   source --> feed_take() --> intake --> publish --> a ring for each format --> fan-out
 *                                            |
 *                                            +--> crossing --> branches in other workers
 *
 * A feed has its source in one worker: that is its home.  In each other worker it has a branch,
 * whose source is the home (crossing.h).  Home and branches have rings and subscribers of their
 * own.  intake/ cuts what the source sends into packets, publish.c puts a packet into the rings,
 * fanout/ sends it to the subscribers of this worker.
 *
 * The next packet is taken in when all subscribers who are ready have been served.  One that waits
 * for room in its socket holds up nobody, unless its on_slow is wait.
 *
 * A feed lives in one loop and is touched from there only.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "fanout/fanout.h"
#include "feed/publish.h"
#include "feed/subscriber_log.h"
#include "intake/intake.h"
#include "packet/framing.h"
#include "pipe/pipe_set.h"
#include "table/close_reason.h"
#include "table/metrics.h"

struct encoder;
struct feed_records;
struct rendition;

enum {
	FEED_NAME_BYTES = 255, /* of a combination: the names of several feeds */
};

struct feed_params {
	char name[FEED_NAME_BYTES + 1];
	struct framing_params framing;
	bool is_auto;       /* the engine is chosen for each packet      */
	enum engine engine; /* else it is this one                       */
	struct engine_thresholds thresholds;
	bool gift_headers;    /* see pipe_set_params                       */
	size_t segment_bytes; /* of a packet at most, but for long messages */
	size_t ring_bytes;    /* kept of the past, for each format         */
	struct fanout_params fanout;
	bool close_on_source_loss; /* subscribers are closed when the publisher goes */
	bool is_branch;            /* its source is a home; it opens pipes when it wakes */
	bool is_combination;       /* its source are other feeds (crossing_member.h)     */
};

/* News for its source.  Each may be NULL. */
struct feed_events {
	void *owner;
	void (*on_ready)(void *owner);  /* feed_can_take() is true again             */
	void (*on_wanted)(void *owner); /* somebody waits for packets, or the past is kept */
	void (*on_count)(void *owner);  /* metrics.subscribers has changed           */
	void (*on_tick)(void *owner, uint64_t now_ms); /* 10 times a second          */
	void (*catch_up)(void *owner); /* take at once what is there; see feed_catch_up() */
};

struct feed {
	struct list_node node; /* rw: the owner's list */
	struct feed_params params;
	struct feed_events events;
	struct ev_loop *loop; /* ro */

	struct metrics metrics;                   /* counters; gauges are in feed_read_metrics() */
	uint64_t source_ends[CLOSE_REASON_COUNT]; /* publishers, by reason */
	struct subscriber_log subscriber_log;     /* private */
	struct log_rate sync_log;                 /* private: bytes passed over              */

	bool is_draining;     /* ro */
	bool must_tell_ready; /* private: on_ready is due at the end of the turn */

	struct publish publish;
	struct fanout fanout;
	struct pipe_set pipes;
	struct intake intake;
	bool is_measured; /* private: the cost is that of one packet of one engine */
};

/* ---- for its owner ---- */

/* Makes a feed without source and subscribers.  0, -ENOMEM or -EMFILE.  That there are no pipes is
 * no error: the feed then copies, and logs it once. */
must_check int feed_new(struct ev_loop *loop, const struct feed_params *params,
			const struct feed_events *events, struct feed **ret);

/* Closes all subscribers with `reason` and frees the feed.  Not from a callback of the feed itself.
 * NULL inside is fine. */
void feed_free(struct feed **feed, enum close_reason reason);

/* Takes over parameters while the feed runs.  Of framing, only max_message and
 * ends_with_source change.  segment_bytes and is_branch stay as they are. */
void feed_change(struct feed *feed, const struct feed_params *params);

/* Makes a rendition in this format, of which there is none yet.  NULL: no memory. */
struct rendition *feed_open_rendition(struct feed *feed, const struct encoder *encoder);

/* Gives a new rendition the past that another one of the feed has in this worker, if any has. */
void feed_take_past(const struct feed *feed, struct rendition *rendition);

/* Closes its subscribers (reason REMOVED) and drops it.  Clears the pointer. */
void feed_close_rendition(struct rendition **rendition);

/* True: newcomers may ask for the past, so a branch collects it even while nobody is there.  Not so
 * at first. */
void feed_keep_past(struct rendition *rendition, bool keeps_past);

/* True: a recorder goes on with what came while it was away, so a branch collects
 * it meanwhile, too. */
void feed_set_recorded(struct rendition *rendition, bool is_recorded);

/* From now on the feed is recorded, so that it outlives a crash; see fanout/subscriber_kept.h.
 * Before it has formats. */
void feed_set_records(struct feed *feed, struct feed_records *records, unsigned worker);

/* Before a tick that comes late_ms too late: that counts against no subscriber. */
void feed_excuse(struct feed *feed, uint64_t now_ms, uint64_t late_ms);

/* 10 times a second: heartbeats, limits of slow subscribers, pipes that were missing. */
void feed_tick(struct feed *feed, uint64_t now_ms);

/* Ends the session: tells all of it, and closes each subscriber once it has read all. */
void feed_drain(struct feed *feed);

/* Takes what a home has sent at once, unless it must wait for somebody.  Of a branch; a home has
 * nothing to do. */
void feed_catch_up(struct feed *feed);

/* True: packets are needed here, by a subscriber or because the past is kept. */
bool feed_is_wanted(const struct feed *feed);

/* Subscribers attached now; of a home, those of its branches too. */
uint64_t feed_subscriber_count(const struct feed *feed);

/* All metrics as they are now.  Walks over all subscribers. */
void feed_read_metrics(const struct feed *feed, struct metrics *ret);

/* ---- for its source ---- */

/* A publisher is there.  One has gone: an unfinished message is dropped, counted and logged. */
void feed_source_up(struct feed *feed);
void feed_source_down(struct feed *feed, enum close_reason reason);

/* The source is silent, or has ended in good order: publishes what is whole by that; see
 * framing_finish().  Does nothing when there is no such thing, or feed_can_take() is false. */
void feed_finish_message(struct feed *feed, bool has_ended);

/* True when a packet may be taken in.  False during a pass, while a subscriber or a branch has to
 * be waited for, and when the feed drains; on_ready says when that is over. */
bool feed_can_take(const struct feed *feed);

/* The source goes on elsewhere, in another file: the rest is published if it is a whole message,
 * else dropped and counted.  Subscribers are told nothing. */
void feed_begin_elsewhere(struct feed *feed);

/* The source has lost so many messages: subscribers are told of the gap. */
void feed_miss_messages(struct feed *feed, uint64_t count);

/* Its publisher is the bare socket `fd` from now on, which goes on over a crash that comes between
 * two messages; -1: there is none that could.  Before the socket is closed. */
void feed_note_source(struct feed *feed, int fd);

/* Takes in one packet at most, and starts to serve it.  What it returns: see intake.h. */
enum intake_result feed_take(struct feed *feed, const struct source *source, int *ret_err);

/* ---- for its source, when that is a home ---- */

/* The branch knows how far the feed is: whoever waits begins. */
void feed_wake(struct feed *branch);

/* It gets no more: gives up rings and pipes.  False: it is wanted, and nothing has changed. */
bool feed_sleep(struct feed *branch);

/* Its home has lost the source. */
void feed_close_for_lost_source(struct feed *branch);

/* A packet is in the rings: it is served.  start_ns: monotonic, when the work on it began. */
void feed_serve_packet(struct feed *feed, uint64_t start_ns);
