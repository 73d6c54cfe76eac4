// SPDX-License-Identifier: MIT
/*
 * Which connection makes room when a server is full: the oldest one of the address that has most.
 *
 * Those that still wait are here: their request is not complete, or they only linger.  Whoever
 * floods a server so crowds out itself, and not the others.  Addresses share HTTP_ROOM_PLACES
 * places by a hash with a secret, so the memory does not grow with the number of addresses.  An
 * address that shares a place with a flood is taken for a part of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "net/endpoint.h"

#define HTTP_ROOM_PLACES 256

/* Those of some addresses, the one that has waited longest first. */
struct http_room_place {
	struct list waiting;
	size_t count;
};

struct http_room {
	struct http_room_place places[HTTP_ROOM_PLACES];
	uint64_t secret;
	uint64_t entered; /* number of the newest */
};

/* One that waits; part of a connection. */
struct http_room_entry {
	struct list_node node;
	struct http_room_place *place; /* NULL: it does not wait */
	uint64_t number;
};

void http_room_init(struct http_room *room);

/* It waits from now on, for this peer.  All unix peers count as one, as do those without
 * address. */
void http_room_enter(struct http_room *room, struct http_room_entry *entry,
		     const struct endpoint_address *peer);

/* It does not wait any more.  Idempotent. */
void http_room_leave(struct http_room_entry *entry);

/* The one that makes room; it stays until it leaves.  NULL: nobody waits. */
struct http_room_entry *http_room_pick(const struct http_room *room);
