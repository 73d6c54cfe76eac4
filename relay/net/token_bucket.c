// SPDX-License-Identifier: MIT
/* The level of the bucket is kept as the time at which it will be full: nothing has to be filled.
 */
#include "net/token_bucket.h"

#include "base/clock.h"
#include "base/compiler.h"

/* How long it takes to fill in so many tokens. */
static uint64_t fill_ns(const struct token_bucket *bucket, uint64_t tokens)
{
	return bucket->per_second ? tokens * NS_PER_S / bucket->per_second : 0;
}

void token_bucket_init(struct token_bucket *bucket, uint64_t per_second, uint64_t burst)
{
	*bucket = (struct token_bucket){.per_second = per_second};
	bucket->depth_ns = fill_ns(bucket, burst);
}

uint64_t token_bucket_wait_ns(const struct token_bucket *bucket, uint64_t now_ns, uint64_t tokens)
{
	uint64_t full_ns = u64_max(bucket->full_ns, now_ns) + fill_ns(bucket, tokens);
	uint64_t bound_ns = now_ns + bucket->depth_ns;

	return full_ns > bound_ns ? full_ns - bound_ns : 0;
}

void token_bucket_take(struct token_bucket *bucket, uint64_t now_ns, uint64_t tokens)
{
	bucket->full_ns = u64_max(bucket->full_ns, now_ns) + fill_ns(bucket, tokens);
}

bool token_bucket_try_take(struct token_bucket *bucket, uint64_t now_ns, uint64_t tokens)
{
	if (token_bucket_wait_ns(bucket, now_ns, tokens))
		return false;
	token_bucket_take(bucket, now_ns, tokens);
	return true;
}

void token_bucket_give_back(struct token_bucket *bucket, uint64_t tokens)
{
	uint64_t taken_ns = fill_ns(bucket, tokens);

	bucket->full_ns = bucket->full_ns > taken_ns ? bucket->full_ns - taken_ns : 0;
}
