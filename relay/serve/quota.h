// SPDX-License-Identifier: MIT
/*
 * A place is what a subscriber has from being let in until it has closed: it counts for the service, for
 * its feed, for its worker and for its address.
 *
 * The limits are looked at from the widest to the narrowest.  All counting is the control thread's:
 * the worker posts the place back when its subscriber closes.
 */
#pragma once

#include "fanout/subscriber.h"
#include "net/endpoint.h"
#include "net/peer_count.h"
#include "serve/worker.h"

struct service;
struct served_feed;
struct place;

struct place_request {
	struct service *service;
	struct served_feed *feed;
	struct peer_count *peers; /* of the listener */
	uint64_t max_per_ip;      /* 0 = no such limit */
	bool has_address;         /* false: a unix socket, not counted by address */
	struct in6_addr address;
};

/* Returns CLOSE_REASON_COUNT and *ret; or the reason for which there is no place, and whose limit
 * it is in *ret_whose, a static text that may be empty. */
enum close_reason place_take(const struct place_request *request, struct place **ret,
			     const char **ret_whose) must_check;

/* The worker in which the subscriber is to be. */
struct worker *place_worker(const struct place *place);

/* The number that names the subscriber in the log. */
uint64_t place_id(const struct place *place);

/* For subscriber_params: gives the place back when the subscriber closes. */
struct subscriber_place place_of_subscriber(struct place *place);

/* For a hand-over: where a subscriber's address is counted (NULL: nowhere), and as what. */
const struct peer_count *place_peers(const struct subscriber_place *place);
uint64_t place_key(const struct subscriber_place *place);

/* A place for a subscriber that goes on, whatever the limits are now; `peers` may be NULL.  0; or
 * -ENOMEM, and *ret is no place. */
int place_resume(struct service *service, struct served_feed *feed, struct worker *worker,
		 struct peer_count *peers, uint64_t key, struct subscriber_place *ret) must_check;

/* In the worker, instead of joining: the peer was refused there, which the feed counts. */
void place_refuse(struct place *place, enum close_reason reason);
