// SPDX-License-Identifier: MIT
/* Farewells: collected by one process, said by the next one. */
#include "continuity/farewell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/peer_socket.h"
#include "net/sockopt.h"

enum {
	ROOM_LEAST = 16,
	LEAST_BYTES = 16, /* that one takes in a stream */
};

/* 0 or -ENOMEM. */
static int make_room(struct farewells *farewells)
{
	size_t room = farewells->room ? 2 * farewells->room : ROOM_LEAST;
	struct farewell *grown;

	if (farewells->count < farewells->room)
		return 0;
	grown = realloc(farewells->list, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	farewells->list = grown;
	farewells->room = room;
	return 0;
}

int farewells_add(struct farewells *farewells, int fd, const void *bytes, size_t count)
{
	uint8_t *copy = malloc(count + 1);
	int r = copy ? make_room(farewells) : -ENOMEM;

	if (r < 0) {
		free(copy);
		return r;
	}
	memcpy(copy, bytes, count);
	farewells->list[farewells->count++] =
		(struct farewell){.fd = fd, .byte_count = count, .bytes = copy, .copy = copy};
	return 0;
}

void farewells_transfer(struct state_stream *stream, struct farewells *farewells)
{
	void *list = farewells->list;

	if (!state_array(stream, &list, &farewells->count, sizeof(*farewells->list), LEAST_BYTES,
			 "farewells"))
		return;
	farewells->list = list;
	for (size_t i = 0; i < farewells->count; i++) {
		struct farewell *farewell = &farewells->list[i];

		state_fd(stream, &farewell->fd, "socket of a farewell");
		state_size(stream, &farewell->byte_count, FAREWELL_BYTES_MAX,
			   "length of a farewell");
		state_bytes(stream, &farewell->bytes, farewell->byte_count, "farewell");
		if (farewell->fd < 0)
			state_fail(stream, "socket of a farewell");
	}
}

static void say(struct farewell *farewell)
{
	size_t count = farewell->byte_count;

	if (count && send(farewell->fd, farewell->bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT) ==
			     (ssize_t)count)
		peer_socket_finish(farewell->fd);
	else
		sockopt_set_reset_on_close(farewell->fd);
	peer_socket_close(&farewell->fd);
}

void farewells_say(struct farewells *farewells)
{
	for (size_t i = 0; i < farewells->count; i++)
		say(&farewells->list[i]);
	farewells_free(farewells);
}

void farewells_free(struct farewells *farewells)
{
	for (size_t i = 0; i < farewells->count; i++)
		free(farewells->list[i].copy);
	free(farewells->list);
	*farewells = (struct farewells){.count = 0};
}
