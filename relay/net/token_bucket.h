// SPDX-License-Identifier: MIT
/*
 * A rate limit: so many tokens a second on average, and so many at once after a pause.  Pure: the
 * caller brings the time.  All zero is a bucket without limit.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct token_bucket {
	uint64_t per_second; /* ro: tokens; 0 = no limit */
	uint64_t depth_ns;   /* private: how long it takes to fill */
	uint64_t full_ns;    /* private: when it is, or was, full again */
};

/* Full at first.  per_second: 0 = no limit; over 10^9, a single token takes no time.  burst: what
 * it holds, up to 2^34. */
void token_bucket_init(struct token_bucket *bucket, uint64_t per_second, uint64_t burst);

/* How long until there are so many tokens; 0 when they are there.  More than the bucket holds are
 * never there: it is then how long it would take. */
uint64_t token_bucket_wait_ns(const struct token_bucket *bucket, uint64_t now_ns, uint64_t tokens);

/* Takes so many, whether they are there or not. */
void token_bucket_take(struct token_bucket *bucket, uint64_t now_ns, uint64_t tokens);

/* Takes so many if they are there.  False: they are not, and nothing has changed. */
must_check bool token_bucket_try_take(struct token_bucket *bucket, uint64_t now_ns,
				      uint64_t tokens);

/* Gives back what was taken, as far as there is room. */
void token_bucket_give_back(struct token_bucket *bucket, uint64_t tokens);
