// SPDX-License-Identifier: MIT
/* The level of the bucket is kept as the time at which it will be full: nothing has to be filled.
 */
#include "net/token_bucket.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/state_stream.h"

void token_bucket_init(struct token_bucket *bucket, uint64_t per_second)
{
	*bucket = (struct token_bucket){0};
	if (!per_second)
		return;
	bucket->interval_ns = NS_PER_S / per_second;
	bucket->depth_ns = bucket->interval_ns * per_second;
}

void token_bucket_transfer(struct state_stream *stream, struct token_bucket *bucket)
{
	state_u64(stream, &bucket->full_ns, INT64_MAX, "level of a bucket");
}

uint64_t token_bucket_wait_ns(const struct token_bucket *bucket, uint64_t now_ns)
{
	uint64_t full_ns = u64_max(bucket->full_ns, now_ns) + bucket->interval_ns;
	uint64_t bound_ns = now_ns + bucket->depth_ns;

	return full_ns > bound_ns ? full_ns - bound_ns : 0;
}

void token_bucket_take(struct token_bucket *bucket, uint64_t now_ns)
{
	bucket->full_ns = u64_max(bucket->full_ns, now_ns) + bucket->interval_ns;
}
