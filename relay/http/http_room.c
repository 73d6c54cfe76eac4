// SPDX-License-Identifier: MIT
/* A look at all places takes some hundred nanoseconds, less than to accept a connection. */
#include "http/http_room.h"

#include "net/peer_count.h"

void http_room_init(struct http_room *room)
{
	*room = (struct http_room){.secret = peer_count_secret()};
	for (size_t i = 0; i < HTTP_ROOM_PLACES; i++)
		list_init(&room->places[i].waiting);
}

static struct http_room_place *place_of(struct http_room *room, const struct endpoint_address *peer)
{
	struct in6_addr address;
	uint64_t key = 0;

	if (endpoint_address_ip(peer, &address) == 0)
		key = peer_count_key(&address);
	return &room->places[peer_count_hash(key, room->secret) % HTTP_ROOM_PLACES];
}

void http_room_enter(struct http_room *room, struct http_room_entry *entry,
		     const struct endpoint_address *peer)
{
	http_room_leave(entry);
	list_node_init(&entry->node);
	entry->place = place_of(room, peer);
	entry->number = ++room->entered;
	entry->place->count++;
	list_append(&entry->place->waiting, &entry->node);
}

void http_room_leave(struct http_room_entry *entry)
{
	if (!entry->place)
		return;
	list_remove(&entry->node);
	entry->place->count--;
	entry->place = NULL;
}

static struct http_room_entry *oldest_of(const struct http_room_place *place)
{
	return list_entry(list_first(&place->waiting), struct http_room_entry, node);
}

struct http_room_entry *http_room_pick(const struct http_room *room)
{
	const struct http_room_place *most = &room->places[0];

	for (size_t i = 1; i < HTTP_ROOM_PLACES; i++) {
		const struct http_room_place *place = &room->places[i];

		if (place->count > most->count ||
		    (place->count && place->count == most->count &&
		     oldest_of(place)->number < oldest_of(most)->number))
			most = place;
	}
	return most->count ? oldest_of(most) : NULL;
}
