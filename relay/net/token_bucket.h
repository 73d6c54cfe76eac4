// SPDX-License-Identifier: MIT
/*
 * So many a second on average, and up to one second's worth at once.  Pure: the caller brings the
 * time.  All zero is one without limit.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct state_stream;

struct token_bucket {
	uint64_t interval_ns; /* ro: between two tokens; 0 = no limit */
	uint64_t depth_ns;    /* private: how long it takes to fill */
	uint64_t full_ns;     /* private: when it is, or was, full again */
};

/* Full at first.  per_second: up to 10^9; 0 = no limit. */
void token_bucket_init(struct token_bucket *bucket, uint64_t per_second);

/* Its level, after token_bucket_init(): to go on in another process, by the same clock. */
void token_bucket_transfer(struct state_stream *stream, struct token_bucket *bucket);

/* How long until there is a token; 0 when there is one. */
uint64_t token_bucket_wait_ns(const struct token_bucket *bucket, uint64_t now_ns);

/* Takes one, whether it is there or not. */
void token_bucket_take(struct token_bucket *bucket, uint64_t now_ns);
