// SPDX-License-Identifier: MIT
/*
 * A subscriber on its way to its worker.
 *
 *   arrival_post() ---> its worker --- the ring has what it wants -----------------> joins
 *                            |                                                         ^
 *                            +--- control thread ---> the worker of the history -------+
 *
 * Only a worker knows whether its ring has what was asked for.  Who wants more goes on to the worker
 * that reads the history, and stays there.  The control thread is on that way, since it counts, and
 * since it is the one that takes feeds and formats down.
 *
 * By HTTP, the head of the answer is sent in the worker, right before the first byte of the stream:
 * nothing can be trimmed between looking and joining, since both are one task.
 */
#pragma once

#include "fanout/subscriber.h"
#include "history/replay.h"
#include "http/stream_answer.h"
#include "serve/quota.h"
#include "serve/served_format.h"

struct feed;

struct arrival {
	struct task task; /* private */
	struct served_format *format;
	struct quota *quota;
	int fd;
	struct subscriber_params params; /* quota and id: of arrival_post() */

	bool has_request; /* it comes by HTTP: */
	struct stream_answer answer;

	bool may_replay;           /* what the ring does not have, it may have from the history: */
	struct replay_range range; /* the same wish as that of params */
	uint64_t max_replays;      /* of the feed at once; then it is refused, */
	bool takes_less;           /* or begins with what the ring has */

	/* Private: where it is. */
	struct feed *feed;
	struct rendition *rendition;
	struct history *history; /* that is read there; NULL: none */
};

/* Sends it to the worker of its quota, where its format is open; takes all of it over.  Control
 * thread only. */
void arrival_post(struct arrival *arrival);

/* The burst that its listener gives to all may come out of the history. */
struct served_feed;
void arrival_set_burst(struct arrival *arrival, const struct served_feed *feed,
		       uint64_t max_replays);

/* The on_behind of a subscriber whose quota is the owner: it comes back by the history.  In its
 * worker. */
void arrival_go_back(void *quota, int fd, const struct subscriber_params *params);

/* For a subscriber of the process before that was reading the history: opens it for it, where it was, if
 * there is that byte, and this is the worker that reads the history.  Nobody reads there just now.  The
 * quota has been taken. */
struct subscriber_snapshot;
void arrival_resume_replay(struct served_format *format, struct worker *worker,
			   struct subscriber_snapshot *subscriber);

/* Instead: closes what it has.  Its quota, if any, is the caller's. */
void arrival_free(struct arrival *arrival);
