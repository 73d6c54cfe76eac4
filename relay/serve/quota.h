// SPDX-License-Identifier: MIT
/*
 * How many subscribers there may be, and are: of the service, of a feed and each of its formats, in
 * a worker, and of one address.
 *
 * A struct quota is what one subscriber uses of all of these, from being let in until it has
 * closed.  The limits are looked at from the widest to the narrowest.
 *
 * All counting is the control thread's.  The worker posts the quota back when its subscriber
 * closes, and a note when a replay ends.
 */
#pragma once

#include "fanout/subscriber.h"
#include "net/endpoint.h"
#include "net/peer_count.h"
#include "serve/worker.h"

struct quota;
struct served_feed;
struct served_format;
struct service;

struct quota_request {
	struct service *service;
	struct served_format *format;   /* of the feed that it is to read */
	struct peer_count *peers;       /* of the listener */
	uint64_t max_per_ip;            /* 0 = no such limit */
	const struct in6_addr *address; /* NULL: a unix socket, not counted by address */
	/* It wants to begin in the past.  A worker has none of a feed that it has not read yet. */
	bool wants_past;
};

/* Counts one more subscriber.  CLOSE_REASON_COUNT and *ret; or the reason why there can be no more,
 * and whose limit it is in *ret_whose, a static text that may be empty. */
enum close_reason quota_take(const struct quota_request *request, struct quota **ret,
			     const char **ret_whose) must_check;

/* The worker in which the subscriber is to be. */
struct worker *quota_worker(const struct quota *quota);

/* It goes on in that worker, and reads the history there.  is_counted: among the feed's replays.
 * Control thread only. */
void quota_begin_replay(struct quota *quota, struct worker *worker, bool is_counted);

/* In the worker, once for each begin: it does not read the history, or not any more. */
void quota_end_replay(struct quota *quota);

/* What it is for. */
struct served_format *quota_format(const struct quota *quota);

/* The number that names the subscriber in the log. */
uint64_t quota_id(const struct quota *quota);

/* For subscriber_params: gives the quota back when the subscriber closes. */
struct subscriber_quota quota_of_subscriber(struct quota *quota);

/* For a hand-over: where a subscriber's address is counted (NULL: nowhere), and as what. */
const struct peer_count *quota_peers(const struct subscriber_quota *quota);
uint64_t quota_key(const struct subscriber_quota *quota);

/* Counts a subscriber that goes on, whatever the limits are now; `peers` may be NULL.  0; or
 * -ENOMEM, it is not counted, and *ret is empty. */
int quota_resume(struct service *service, struct served_format *format, struct worker *worker,
		 struct peer_count *peers, uint64_t key, struct subscriber_quota *ret) must_check;

/* A peer has not become a subscriber of the feed, for this reason.  Counted, also for
 * after a crash. */
void quota_count_refusal(struct served_feed *feed, enum close_reason reason);

/* The feed goes on, with what the process before had counted. */
void quota_resume_refusals(struct served_feed *feed, const uint64_t refused[CLOSE_REASON_COUNT]);

/* Instead of joining: the peer was refused, which the feed counts.  CLOSE_REASON_COUNT: it has
 * been counted. */
void quota_refuse(struct quota *quota, enum close_reason reason);

/* The same in the control thread: the quota is given back at once. */
void quota_drop(struct quota *quota, enum close_reason reason);
