// SPDX-License-Identifier: MIT
/* Turns an endpoint into socket addresses without blocking the loop.
 *
 * A name is looked up by a thread of its own, one per request, which touches nothing but the
 * request; numeric addresses and unix paths need no thread.  The answer always comes from the
 * loop, never from inside resolver_start().  Invariant: at most one request is open per resolver,
 * and after resolver_cancel() no answer comes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <ev.h>

#include "base/compiler.h"
#include "net/endpoint.h"

struct resolver_lookup;

struct resolver_answer {
	const char *error; /* NULL on success, else why there is no address (static text) */
	size_t count;      /* > 0 on success */
	/* All that there are, in the order to try; owned.  The families are in the order of RFC
	 * 6724, and within a family the order is random: whoever asks at the same time should not
	 * go to the same machine. */
	struct endpoint_address *addresses;
};

/* Leaves it empty.  Idempotent. */
void resolver_answer_free(struct resolver_answer *answer);

/* The owner may take the answer over, and leaves an empty one then; else it is freed behind the
 * call.  A new request may be started from here. */
typedef void (*resolver_answer_fn)(void *owner, struct resolver_answer *answer);

struct resolver { /* private */
	struct ev_loop *loop;
	struct ev_async answered;
	struct resolver_lookup *lookup; /* NULL: no request is open */
	resolver_answer_fn on_answer;
	void *owner;
};

void resolver_init(struct resolver *resolver, struct ev_loop *loop, resolver_answer_fn on_answer,
		   void *owner);

/* Begin a request; an open one is cancelled first.  Returns 0 or -errno (-ENOMEM, -EAGAIN: no
 * thread to be had); on failure no answer comes. */
int resolver_start(struct resolver *resolver, const struct endpoint *endpoint) must_check;

/* Forget the request, if any.  A thread that is still busy ends by itself later and frees what it
 * holds.  To be called before the resolver or its loop is freed. */
void resolver_cancel(struct resolver *resolver);
