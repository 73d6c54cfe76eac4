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

/* More addresses than this are not tried: each may cost a connect timeout. */
#define RESOLVER_MAX_ADDRESSES 8

struct resolver_answer {
	const char *error; /* NULL on success, else why there is no address (static text) */
	size_t count;      /* > 0 on success */
	struct endpoint_address
		addresses[RESOLVER_MAX_ADDRESSES]; /* in the order to try (RFC 6724) */
};

/* `answer` is valid during the call only.  A new request may be started from here. */
typedef void (*resolver_answer_fn)(void *owner, const struct resolver_answer *answer);

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
