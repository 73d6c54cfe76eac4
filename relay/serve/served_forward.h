// SPDX-License-Identifier: MIT
/*
 * How a served feed is forwarded: by a forwarder (nats/forwarder.h), in the worker where its
 * history is, so that it can go on from there, or at home.
 *
 * Control thread only.
 */
#pragma once

#include "base/errmsg.h"
#include "serve/served_format.h"

struct config;
struct config_feed;
struct forwarder;
struct forwarder_params;
struct forwarder_report;
struct worker;

/* All zero: the feed is not forwarded. */
struct served_forward {
	struct served_feed *feed;        /* private from here on; ro */
	struct forwarder_params *params; /* NULL: it is not forwarded; owned */
	struct forwarder *forwarder;     /* NULL: it does not run */
	struct worker *worker;           /* where it runs */
	struct format_offer offer;       /* of the format that it reads */
};

/* For a feed that is new: as `from` says.  0; or -ENOMEM with a message, and
 * served_forward_end() is next. */
must_check int served_forward_offer(struct served_feed *feed, const struct config *config,
				    const struct config_feed *from, struct errmsg *err);

/* Runs from now on, once the history is open and before the feed begins to read.  Where it cannot,
 * that is logged. */
void served_forward_begin(struct served_forward *forward);

/* Takes over what a reload changes. */
void served_forward_change(struct served_forward *forward, const struct config *config,
			   const struct config_feed *from);

/* For a hand-over: it leaves the feed.  The workers are parked.  The other one is for when they go
 * on, in this process after all; one that was not paused stays as it is. */
void served_forward_pause(struct served_forward *forward);
void served_forward_resume(struct served_forward *forward);

/* Nobody publishes any more: it gets what is left, and goes.  Before the history. */
void served_forward_end(struct served_forward *forward);

/* False: the feed is not forwarded. */
bool served_forward_read(const struct served_forward *forward, struct forwarder_report *ret);
