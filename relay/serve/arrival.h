// SPDX-License-Identifier: MIT
/*
 * A subscriber on its way to its worker.
 *
 *   arrival_post() ---> its worker --- the ring has what it wants -----------------> joins
 *                            |                                                         ^
 *                            +--- control thread ---> the worker of the history -------+
 *
 * Only a worker knows whether its ring has what was asked for.  Who wants more goes on to the
 * worker that reads the history, and stays there.  The control thread is on that way, since it
 * counts, and since it is the one that takes feeds and formats down.
 *
 * A message may be on its way from the ring to the files, and be in neither.  Or it is yet to come:
 * who has lost another relay with the same sequence may be a little further than this one.  Who
 * asks for such a message waits in the control thread, which sends it to its worker again and
 * again, until the message is there, for some seconds at most.
 *
 * Where it begins in the files, the reading thread of the history looks up.  Until the disk
 * has said so, the arrival waits in the worker that reads the history, and then looks in the
 * ring again first.
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
struct replay_read;

struct arrival {
	struct task task; /* private */
	struct served_format *format;
	struct quota *quota;
	int fd;
	struct subscriber_params params; /* quota and id: of arrival_post() */

	bool has_request; /* it comes by HTTP: */
	struct stream_answer answer;

	/* What the ring does not have, it may have from the history.  With a delay all comes from
	 * there. */
	bool may_replay;
	struct replay_range range; /* the same wish as that of params */
	uint64_t max_replays;      /* of the feed at once; then it is refused, */
	bool takes_less;           /* or begins with what the ring has */

	/* Private: where it is. */
	struct feed *feed;
	struct rendition *rendition;
	struct history *history; /* that is read there; NULL: none */
	struct list_node node;   /* in service->waiting, and the control thread's then; or in
				  * format->reading */
	uint64_t waits_until_ms; /* monotonic; 0: it has not waited */

	void (*look_again)(struct arrival *arrival); /* the disk has said where it begins */

	/* Private to arrival_begin.c: where it begins in the history, which the disk is asked. */
	struct replay_read *read;    /* NULL: nothing has been asked */
	bool is_reading;             /* it has not answered yet */
	bool has_start;              /* it has: */
	int start_error;             /* -errno; 0: */
	struct replay_start start;   /* this is where; else closed */
	struct history_entry oldest; /* that it may ask for; session 0: not known */
};

/* Sends it to the worker of its quota, where its format is open; takes all of it over.  Control
 * thread only. */
void arrival_post(struct arrival *arrival);

/* What its listener lets it have of the past.  now_ns: wall clock, when it came. */
struct admission;
void arrival_set_limits(struct arrival *arrival, const struct admission *admission,
			uint64_t now_ns);

/* The burst that its listener gives to all may come out of the history. */
struct served_feed;
void arrival_set_burst(struct arrival *arrival, const struct served_feed *feed);

/* The on_behind of a subscriber whose quota is the owner: it comes back by the history.  In its
 * worker. */
void arrival_go_back(void *quota, int fd, const struct subscriber_params *params);

/* Often: those that wait look again whether their message is there.  Control thread only. */
struct service;
void arrivals_try_again(struct service *service);

/* Those that wait for a message of this feed, or for the disk of its history, have to come back
 * later.  Before a history goes.  Control thread only. */
void arrivals_send_away(struct service *service, struct served_feed *feed);

/* Before a hand-over, with all workers standing still and no thread that reads: those that wait for
 * the disk join now. */
void arrivals_join_reading(struct service *service);

/* Then those that wait for a message of this feed are told by the next process to come back;
 * counted in refused[].  0 or -ENOMEM. */
must_check int arrivals_capture_farewells(const struct served_feed *feed,
					  uint64_t refused[CLOSE_REASON_COUNT],
					  struct farewells *ret);

/* Instead: closes what it has.  Its quota, if any, is the caller's. */
void arrival_free(struct arrival *arrival);
