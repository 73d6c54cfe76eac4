// SPDX-License-Identifier: MIT
/*
 * A rate for each address, in a table of fixed size.
 *
 * An address counts as in peer_count.h.  When there are more addresses than places, a newcomer
 * takes over the place that has most left, with what is left there: so nobody gets more by coming
 * from many addresses than all places have together.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "net/token_bucket.h"

#define PEER_RATE_PLACES 64

struct peer_rate {
	struct peer_rate_place {
		uint64_t key;
		struct token_bucket bucket;
	} places[PEER_RATE_PLACES];
};

/* So many a second for each address, and as many at once. */
void peer_rate_init(struct peer_rate *rate, uint64_t per_second);

/* One more of this address.  False: it has had all that it may have by now. */
must_check bool peer_rate_try_take(struct peer_rate *rate, const struct in6_addr *address,
				   uint64_t now_ns);
