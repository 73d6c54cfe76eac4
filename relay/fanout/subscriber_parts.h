// SPDX-License-Identifier: MIT
/* What subscriber.c (life) and subscriber_end.c (the end) share; for these two only. */
#pragma once

#include "fanout/send.h"
#include "fanout/subscriber.h"
#include "feed/feed.h"

static inline struct feed *feed_of(const struct subscriber *subscriber)
{
	return subscriber->rendition->feed;
}

/* The only place that changes the state, the list and the interest in EV_WRITE. */
void subscriber_set_state(struct subscriber *subscriber, enum subscriber_state state);

/* Sends the notes, if any; only between two packets. */
enum fanout subscriber_serve_notes(struct subscriber *subscriber, int *ret_err);

/* Puts the last words for `reason` among the notes.  False: there are none, or they are there or
 * sent already. */
bool subscriber_add_farewell(struct subscriber *subscriber, enum close_reason reason);

/* True when it has got all that it was to get before it is closed. */
bool subscriber_has_finished(const struct subscriber *subscriber);

/* What holds it back: who has room in its socket, and is behind all the same, was not served in
 * time. */
enum slow_cause subscriber_find_cause(const struct subscriber *subscriber);

/* Gives up what comes with its params: the input's owner, the quota. */
void subscriber_free_input(const struct subscriber_input *input, void *owner);
void subscriber_give_back(const struct subscriber_quota *quota);
