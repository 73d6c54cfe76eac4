// SPDX-License-Identifier: MIT
/* A place that nobody has used is full: it belongs to address 0 until somebody takes it over. */
#include "net/peer_rate.h"

#include <stddef.h>

#include "net/peer_count.h"

void peer_rate_init(struct peer_rate *rate, uint64_t per_second)
{
	*rate = (struct peer_rate){.places = {{.key = 0}}};
	for (size_t i = 0; i < PEER_RATE_PLACES; i++)
		token_bucket_init(&rate->places[i].bucket, per_second, per_second);
}

static struct peer_rate_place *place_of(struct peer_rate *rate, uint64_t key, uint64_t now_ns)
{
	struct peer_rate_place *fullest = &rate->places[0];
	uint64_t shortest_ns = UINT64_MAX;

	for (size_t i = 0; i < PEER_RATE_PLACES; i++) {
		struct peer_rate_place *place = &rate->places[i];
		uint64_t full_in_ns =
			token_bucket_wait_ns(&place->bucket, now_ns, place->bucket.per_second);

		if (place->key == key)
			return place;
		if (full_in_ns < shortest_ns) {
			shortest_ns = full_in_ns;
			fullest = place;
		}
	}
	fullest->key = key;
	return fullest;
}

bool peer_rate_try_take(struct peer_rate *rate, const struct in6_addr *address, uint64_t now_ns)
{
	struct peer_rate_place *place = place_of(rate, peer_count_key(address), now_ns);

	return token_bucket_try_take(&place->bucket, now_ns, 1);
}
