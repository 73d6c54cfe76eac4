// SPDX-License-Identifier: MIT
/*
 * Asks an HTTP origin for a stream: on a connection that is there, the request goes out, and
 * the answer's head comes in.  What follows in the connection is the body.  Read this header
 * first in pull/.
 *
 *	pull_request.h   what is asked        pull_answer.h   what is answered, and what that means
 *	gga.h            where relay is, for casters
 *	pull_token.h     who relay is         pull_body.h, chunk_decoder.h   how the stream follows
 *
 * A parent may not have the message that is asked for (416).  Then it is asked once more, for the
 * next one that it has: the owner connects anew for that.
 *
 * Lives in one loop.  One answer is waited for at a time.  A callback is the last thing that
 * a watcher does.
 */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake/source.h"
#include "pull/gga.h"
#include "pull/pull_answer.h"
#include "pull/pull_request.h"

struct pull_params {
	bool is_framed;
	const char *token_file;              /* "": none; must outlive the pull */
	const struct gga_position *position; /* for casters; must outlive the pull */
};

/* What has been counted so far. */
struct pull_counts {
	uint64_t *requests;     /* sent */
	uint64_t *refusals;     /* answers without a stream, and none at all */
	uint64_t *out_of_range; /* of these, 416 */
};

struct pull_events {
	/* The stream follows in the connection: pull_take_body(). */
	void (*on_stream)(void *owner);
	/* There is none, for this reason.  again: the same origin is to be asked once more, at
	 * once, for `instead` in place of `asked`. */
	void (*on_refused)(void *owner, const char *why, bool again);
};

struct pull {
	struct pull_params params; /* rw */
	struct pull_counts counts; /* ro: the owner's */
	struct pull_place asked;   /* ro: by the last request */
	struct pull_place instead; /* ro */

	/* private */
	struct ev_loop *loop;
	const struct pull_events *events;
	void *owner;
	ev_io readable;
	int fd; /* the owner's; -1: nothing is asked */
	char *head;
	size_t head_bytes;
	bool is_ntrip;
	const char *url;
	bool asks_again; /* the next request to `url` is for `instead` */
	struct source_body *body;
};

/* `params` and `counts` are copied; events and owner must outlive it. */
void pull_init(struct pull *pull, struct ev_loop *loop, const struct pull_params *params,
	       const struct pull_counts *counts, const struct pull_events *events, void *owner);

/* Asks on fd, which stays the owner's.  The events come later.  `url` must outlive the pull,
 * and the same origin is at the same place in memory.  0; or -errno, and *err says what could
 * not be done. */
int pull_ask(struct pull *pull, int fd, const char *url, const struct pull_place *place,
	     struct errmsg *err) must_check;

/* No event comes any more.  Idempotent.  has_failed: for it was not answered. */
void pull_cancel(struct pull *pull, bool has_failed);

/* The body of the stream that was got last, the caller's; NULL: it is all that comes. */
struct source_body *pull_take_body(struct pull *pull);
