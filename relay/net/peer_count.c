// SPDX-License-Identifier: MIT
/*
 * A hash table with open addressing and linear probing, at most half full.  Removing moves later
 * entries of a run up, so there are no tombstones, and the table of a listener whose peers come and
 * go stays as fast as a new one.  The hash has a secret, or whoever owns many networks could choose
 * those that collide.
 */
#include "net/peer_count.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/cidr.h"
#include "base/clock.h"

#define SLOTS_MIN 64 /* a power of two, as all sizes */

struct slot {
	uint64_t key;
	uint64_t count; /* 0: free */
};

struct peer_count {
	struct slot *slots;
	size_t slot_count;
	size_t used;
	uint64_t total;
	uint64_t secret;
	bool is_dropped;
};

uint64_t peer_count_key(const struct in6_addr *address)
{
	struct in6_addr counted = *address;
	uint64_t key = 0;
	size_t from;

	/* All clients of a translator have one /64. */
	(void)cidr_is_translated(address, &counted);
	/* The second half of a v4-mapped address is 0000:ffff and the IPv4 address. */
	from = IN6_IS_ADDR_V4MAPPED(&counted) ? 8 : 0;
	for (size_t i = 0; i < 8; i++)
		key = key << 8 | counted.s6_addr[from + i];
	return key;
}

/* The finalizer of splitmix64 (Steele, Lea, Flood 2014), keyed before and in the middle. */
uint64_t peer_count_hash(uint64_t key, uint64_t secret)
{
	key = (key ^ secret) * UINT64_C(0xbf58476d1ce4e5b9);
	key = (key ^ key >> 27 ^ secret) * UINT64_C(0x94d049bb133111eb);
	return key ^ key >> 31;
}

uint64_t peer_count_secret(void)
{
	uint64_t secret;

	if (getrandom(&secret, sizeof(secret), GRND_NONBLOCK) < 0)
		return clock_mono_ns();
	return secret;
}

static size_t home_of(const struct peer_count *counts, uint64_t key)
{
	return (size_t)peer_count_hash(key, counts->secret) & (counts->slot_count - 1);
}

/* Where the key is, or the free slot where it would be. */
static size_t find(const struct peer_count *counts, uint64_t key)
{
	size_t at = home_of(counts, key);

	while (counts->slots[at].count && counts->slots[at].key != key)
		at = (at + 1) & (counts->slot_count - 1);
	return at;
}

struct peer_count *peer_count_new(void)
{
	struct peer_count *counts = calloc(1, sizeof(*counts));

	if (!counts)
		return NULL;
	counts->slot_count = SLOTS_MIN;
	counts->slots = calloc(SLOTS_MIN, sizeof(*counts->slots));
	if (!counts->slots) {
		free(counts);
		return NULL;
	}
	counts->secret = peer_count_secret();
	return counts;
}

static void free_if_over(struct peer_count *counts)
{
	if (!counts->is_dropped || counts->total)
		return;
	free(counts->slots);
	free(counts);
}

void peer_count_drop(struct peer_count **counts)
{
	if (!*counts)
		return;
	(*counts)->is_dropped = true;
	free_if_over(*counts);
	*counts = NULL;
}

static int grow(struct peer_count *counts)
{
	struct slot *old = counts->slots;
	size_t old_count = counts->slot_count;
	struct slot *slots = calloc(old_count * 2, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	counts->slots = slots;
	counts->slot_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		if (old[i].count)
			slots[find(counts, old[i].key)] = old[i];
	}
	free(old);
	return 0;
}

int peer_count_enter(struct peer_count *counts, uint64_t key, uint64_t limit)
{
	size_t at = find(counts, key);

	if (limit && counts->slots[at].count >= limit)
		return -EDQUOT;
	if (!counts->slots[at].count) {
		if (2 * (counts->used + 1) > counts->slot_count) {
			if (grow(counts) < 0)
				return -ENOMEM;
			at = find(counts, key);
		}
		counts->slots[at].key = key;
		counts->used++;
	}
	counts->slots[at].count++;
	counts->total++;
	return 0;
}

/* Frees the slot: entries behind it that are kept from their home by it move up. */
static void release(struct peer_count *counts, size_t hole)
{
	size_t mask = counts->slot_count - 1;

	counts->used--;
	for (size_t at = (hole + 1) & mask; counts->slots[at].count; at = (at + 1) & mask) {
		size_t home = home_of(counts, counts->slots[at].key);

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		counts->slots[hole] = counts->slots[at];
		hole = at;
	}
	counts->slots[hole].count = 0;
}

void peer_count_leave(struct peer_count *counts, uint64_t key)
{
	size_t at = find(counts, key);

	assert(counts->slots[at].count);
	counts->total--;
	if (--counts->slots[at].count == 0)
		release(counts, at);
	free_if_over(counts);
}
