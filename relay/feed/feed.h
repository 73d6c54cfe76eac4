// SPDX-License-Identifier: MIT
/*
 * A feed: a named stream with one ingest and its subscribers.
 *
 *   feed_take() --> intake (whole messages) --> publish (one ring per format) --> fan-out pass -->
 * sockets
 *
 * All of it lives in one loop and is touched from that loop only; subscribers in another loop have
 * a branch of the feed there (crossing.h).  A pass over the subscribers is cut into turns; the
 * ingest is not read while a pass is under way, so a packet always finds the subscribers at the
 * live edge ready for it.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "fanout/fanout.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"
#include "feed/crossing.h"
#include "intake/engine.h"
#include "intake/intake.h"
#include "packet/framing.h"
#include "packet/packet.h"
#include "pipe/pipe_set.h"
#include "table/close_reason.h"
#include "table/metrics.h"

struct feed_params {
	char name[65];
	struct framing_params framing;
	bool is_auto;       /* engine = auto                                  */
	enum engine engine; /* else this one                                  */
	bool gift_headers;
	size_t segment_bytes;
	size_t ring_bytes;
	struct fanout_params fanout;
	bool close_on_source_loss;
	bool is_branch; /* fed by a crossing; opens no pipe before it wakes */
};

/* News for who reads the source. */
struct feed_events {
	void *owner;
	void (*on_ready)(void *owner); /* feed_can_take() has become true again */
};

/* What the cost of a pass says something about. */
struct feed_pass {
	bool is_measured; /* it serves one packet of one engine */
	enum engine engine;
	unsigned size_class;
};

struct feed {
	struct list_node node; /* rw: the owner's list */
	struct feed_params params;
	struct feed_events events;
	struct ev_loop *loop;

	struct metrics metrics;
	uint64_t source_ends[CLOSE_REASON_COUNT]; /* publishers, by reason  */
	struct log_rate skip_log, close_log;

	uint32_t session;
	uint64_t next_seq;
	bool is_source_up;
	bool is_draining;
	bool is_held;            /* a branch is behind, and holds the ingest */
	bool keeps_history;      /* rw: by feed_keep_history() */
	uint64_t last_packet_ms; /* monotonic: news of any kind */

	struct list crossings; /* of a home: to its branches */
	struct crossing *from; /* of a branch: from its home; NULL: this is the home */

	struct fanout fanout;
	struct pipe_set pipes;
	struct engine_choice choice;
	struct intake intake;
	struct feed_pass pass;
	bool must_tell_ready; /* private: on_ready is due at the end of the turn */
};

/* Makes a feed without source and subscribers.  Returns 0 or -ENOMEM/-EMFILE; pipes that cannot be
 * had are no error: the feed then copies and says so once. */
int feed_new(struct ev_loop *loop, const struct feed_params *params,
	     const struct feed_events *events, struct feed **ret);

/* Closes all subscribers with `reason` and frees the feed.  Not from a callback of the feed itself.
 */
void feed_free(struct feed **feed, enum close_reason reason);

/* Takes over the parameters that may change while the feed runs; framing and segment_bytes stay. */
void feed_change(struct feed *feed, const struct feed_params *params);

/* The rendition in this format, made when it is not there yet; listeners are counted.  NULL: no
 * memory. */
struct rendition *feed_open_rendition(struct feed *feed, const struct encoder *encoder);

/* One listener less; the last one closes its subscribers (reason REMOVED) and drops the rendition.
 */
void feed_close_rendition(struct rendition **rendition);

/* Subscribers attached now, to its branches as well. */
uint64_t feed_subscriber_count(const struct feed *feed);

/* True: newcomers may ask for the past, so a branch must have it even while nobody is there. */
void feed_keep_history(struct feed *feed, bool keeps_history);

/* A publisher is there / has gone.  Unfinished messages are counted and dropped. */
void feed_source_up(struct feed *feed);
void feed_source_down(struct feed *feed, enum close_reason reason);

/* For a source that brings session and sequence of its own. */
void feed_set_sequence(struct feed *feed, uint32_t session, uint64_t next_seq);

/* True when the next packet may be taken in: no pass is under way and nobody has to be waited for,
 * no branch either. */
bool feed_can_take(const struct feed *feed);

/* Takes in at most one packet's worth from the source and broadcasts it; see intake.h. */
enum intake_result feed_take(struct feed *feed, const struct source *source, int *ret_err);

/* 10 times a second: heartbeats, limits of slow subscribers. */
void feed_tick(struct feed *feed, uint64_t now_ms);

/* Ends the session: announces it, then closes each subscriber once it has read all. */
void feed_drain(struct feed *feed);

/* All metrics as they are now, gauges and the subscribers still here included. */
void feed_read_metrics(const struct feed *feed, struct metrics *ret);

/* For a branch: it has been told where the sequence stands; or it is no longer told.  feed_sleep()
 * gives up rings and pipes, or is false when somebody waits. */
void feed_wake(struct feed *feed);
bool feed_sleep(struct feed *feed);

/* For a branch: takes what its home has sent, unless it must wait for somebody. */
void feed_catch_up(struct feed *feed);

/* For a branch: its home has lost the source. */
void feed_close_for_lost_source(struct feed *feed);

/* For crossings: a packet is in the rings, serves it; start_ns: when taking it in began. */
void feed_serve_packet(struct feed *feed, uint64_t start_ns);

/* For crossings: a branch has made room. */
void feed_check_hold(struct feed *feed);

/* For the feed's own files: what its fan-out is told, and what becomes of its news. */
struct fanout_events feed_fanout_events(struct feed *feed);
