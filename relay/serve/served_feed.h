// SPDX-License-Identifier: MIT
/*
 * A feed as the daemon serves it: its home in one worker, where the ingest is, and a branch of it
 * in each other one.  All functions are the control thread's; what they do in a worker they do by
 * worker_call().
 */
#pragma once

#include "base/errmsg.h"
#include "base/list.h"
#include "config/config.h"
#include "feed/crossing.h"
#include "feed/feed.h"
#include "feed/feed_report.h"
#include "feed/feed_state.h"
#include "http/stream_answer.h"
#include "net/access.h"
#include "serve/served_format.h"
#include "serve/served_forward.h"
#include "serve/worker.h"
#include "source/ingest.h"

struct recorder_report;
struct service;

enum {
	HANDED_ADDRESS_BYTES = 4608, /* an address of the configuration */
};

/* Bytes a second, taken once a second for the status. */
struct feed_rates {
	uint64_t in_bytes, out_bytes;        /* a second */
	uint64_t last_in, last_out, last_ms; /* private  */
};

struct served_feed {
	struct list_node node; /* rw: the owner's list */
	char name[FEED_NAME_BYTES + 1];
	bool is_combination; /* of combination.h: it has no ingest and no history */
	struct service *service;
	struct workers *workers;
	struct worker *home;
	struct ingest ingest;             /* home's, from served_feed_open() on */
	struct worker_feed *worker_feeds; /* one in each worker; owned */
	struct crossing **crossings;      /* from home to each worker, NULL to home itself; owned */
	struct ingest_origin origin;      /* as of the last report with subscribers */
	struct served_format formats[FORMAT_COUNT];
	uint64_t keep_past_ms; /* so long a format stays open that nobody reads any more */
	bool has_begun;        /* ro: served_formats_begin() has been called */

	uint64_t max_subscribers; /* 0 = no such limit */
	uint64_t subscribers;     /* that have a quota */
	uint64_t admitted;        /* that ever had one; also the id of the last */
	uint64_t refused[CLOSE_REASON_COUNT];

	/* Of the last publisher that said so; see stream_answer.h. */
	char icy_fields[STREAM_ICY_BYTES + 2];

	struct recorder *recorder;    /* NULL: it has no history */
	struct worker *recording;     /* where it is recorded: its branch there, or home */
	struct format_offer recorded; /* what is recorded */
	uint64_t replays;             /* subscribers that read the history, or are about to */
	struct sequence next;         /* ro: what it would give out next, after served_feed_end() */
	bool has_ended;               /* private: served_feed_end() has been called */

	struct served_forward forward;

	struct feed_report report; /* as of the last collect.h */
	struct feed_rates rates;
};

/* A feed as the process before left it. */
struct handed_feed {
#define KEPT_DEF "serve/served_kept.def"
#include "continuity/kept_members.def"
	struct ingest_state ingest;
	uint64_t refused[CLOSE_REASON_COUNT];
	char icy_fields[STREAM_ICY_BYTES + 2];
	/* CLOSE_REASON_COUNT: its publisher goes on.  Not in the stream: found out when the
	 * feed is made. */
	enum close_reason source_end;
	struct feed_state *parts; /* one for each worker; owned */
	size_t part_count;
};

static inline struct served_feed *served_feed_at(struct list_node *node)
{
	return list_entry(node, struct served_feed, node);
}

/* In a list of feeds.  NULL: there is none of this name. */
struct served_feed *served_feed_find(const struct list *feeds, const char *name);

/* Makes a feed that does not read yet.  kept: as the process before left it; NULL for nothing.  It
 * is made in the worker where its ring is, but nothing is taken yet: handover_resume() does that.
 * The caller puts it into a list.  0 or -errno with a message. */
int served_feed_new(struct service *service, const struct config *config,
		    const struct config_feed *from, struct handed_feed *kept,
		    struct served_feed **ret, struct errmsg *err);

/* Makes the feed of a combination, without an ingest.  The caller puts it into a list.
 * 0 or -errno. */
must_check int served_feed_new_combined(struct service *service, const struct feed_params *params,
					struct served_feed **ret);

/* Opens the history of a feed that has been made while another of its name had it.  Where that
 * fails, it is logged, and the feed is not recorded. */
void served_feed_record(struct served_feed *served, const struct config_feed *from);

/* For a hand-over: the history is left to the next process, and what it lacks is in the rings.  Who
 * reads it stays where it is.  The workers are parked.  0; or -ETIMEDOUT with a message: the disk
 * does not answer, and whoever waits for it would hold up the next program for ever.  The other one
 * is for both: they go on, in this process after all.  The workers are parked then as well, so that
 * nothing is published before it is recorded. */
must_check int served_feed_pause_recording(struct served_feed *served, struct errmsg *err);
void served_feed_resume_recording(struct served_feed *served);

/* What is recorded.  False: it has no history. */
bool served_feed_read_history(const struct served_feed *served, struct recorder_report *ret);

/* Opens the ingest, but what is kept of it; reads nothing yet.  `kept` as for served_feed_new().  0
 * or -errno with a message. */
int served_feed_open(struct served_feed *served, const struct handed_feed *kept,
		     struct errmsg *err);

/* With ingest = listen: publishers connect from now on at these sockets, which were opened for the
 * endpoint.  *sockets is empty afterwards.  A publisher that is there stays. */
void served_feed_listen(struct served_feed *served, const struct endpoint *endpoint,
			struct listen_sockets *sockets);

/* With ingest = http: may this peer publish now?  CLOSE_REASON_COUNT: yes.  Else why not, which is
 * counted and logged. */
enum close_reason served_feed_check_publisher(struct served_feed *served,
					      const struct endpoint_address *peer);

/* Reads from now on, once what is to have a past is open.  Idempotent. */
void served_feed_begin(struct served_feed *served);

/* Takes over what a reload changes. */
void served_feed_change(struct service *service, struct served_feed *served,
			const struct config *config, const struct config_feed *from);

/* Lets the publisher go and ends the session; subscribers get what is in the rings. */
void served_feed_drain(struct served_feed *served);

/* Nothing is published any more.  The history gets what is in the ring; that goes on while this
 * returns.  served_feed_free() is next.  Idempotent. */
void served_feed_end(struct served_feed *served, enum close_reason reason);

/* Nobody may offer its formats any more.  Ends it.  Clears the pointer. */
void served_feed_free(struct served_feed **served, enum close_reason reason);
