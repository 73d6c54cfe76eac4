// SPDX-License-Identifier: MIT
/*
 * Who becomes a subscriber: the access lists first, then the limits, from the widest to the
 * narrowest.  Each refusal has a reason, which is counted by the feed (closed_REASON) and logged at
 * most once a second for each listener.
 */
#pragma once

#include <stdint.h>

#include "base/compiler.h"
#include "feed/subscriber.h"

struct peer_count;
struct relay;
struct served_feed;
struct worker;

/* A peer has connected to `listener` (struct served_listener): joins the feed or is reset.  `fd` is
 * taken over.  For listener_init(). */
void admit_subscriber(void *listener, int fd);

/* For a hand-over: where a subscriber's address is counted (NULL: nowhere), and as what. */
const struct peer_count *admit_place_peers(const struct subscriber_place *place);
uint64_t admit_place_key(const struct subscriber_place *place);

/* A place for a subscriber that goes on, whatever the limits are now; `peers` may be NULL.  0; or
 * -ENOMEM, and *ret is no place. */
int admit_resume(struct relay *relay, struct served_feed *feed, struct worker *worker,
		 struct peer_count *peers, uint64_t key, struct subscriber_place *ret) must_check;
