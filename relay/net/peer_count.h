// SPDX-License-Identifier: MIT
/*
 * How many connections there are from each address.
 *
 * IPv6 is counted by /64, since every host can have as many addresses of its /64 as it likes.  An
 * IPv4 client behind a translator (64:ff9b::/96) counts as its IPv4 address, and a link-local one
 * by its interface.  Invariant: the sum of all counts is the number of peer_count_enter() without
 * peer_count_leave().  It outlives its owner: connections may go on when the listener that took
 * them has gone, so the memory is freed with the last of both.
 */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#include "base/compiler.h"

struct peer_count;

/* What an address counts as; IPv4 and zones as in cidr.h.  IPv4 addresses have keys that a /64
 * could have only in a part of 0000::/8 that is given to nobody. */
uint64_t peer_count_key(const struct in6_addr *address);

/* Of a key, for tables of which nobody may choose the places; `secret` is that of the table. */
uint64_t peer_count_hash(uint64_t key, uint64_t secret);

/* For a new table.  Random; or the time, which is better than nothing, where there is no randomness
 * yet (early boot): it does not wait for that. */
uint64_t peer_count_secret(void);

/* NULL: no memory. */
struct peer_count *peer_count_new(void);

/* The owner gives it up and enters no more.  Clears the pointer; NULL inside is fine. */
void peer_count_drop(struct peer_count **counts);

/* One connection more from `key`.  0; -EDQUOT when it has `limit` already (0 = no limit); -ENOMEM.
 */
int peer_count_enter(struct peer_count *counts, uint64_t key, uint64_t limit) must_check;

/* One less. */
void peer_count_leave(struct peer_count *counts, uint64_t key);
