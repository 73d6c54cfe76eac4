// SPDX-License-Identifier: MIT
/*
 * Packets out of a socket that has the framed format, one by one.
 *
 * An input belongs to one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/packet_header.h"

enum packet_arrival {
	PACKET_ARRIVAL_PACKET,
	PACKET_ARRIVAL_NONE, /* none is whole yet, and the socket has no more */
	PACKET_ARRIVAL_END,  /* no more will come; an unfinished packet is dropped */
	PACKET_ARRIVAL_NO_MEMORY,
};

/* All zero but fd: nothing has come. */
struct packet_input {
	int fd;         /* rw: owned; -1: none */
	uint8_t *bytes; /* private from here on: owned */
	size_t room;
	size_t begin, end; /* of what has come and is not taken yet */
};

/* Never waits.  With PACKET: *ret_payload has header.length bytes, and is good until the next
 * call. */
enum packet_arrival packet_input_next(struct packet_input *input, struct packet_header *ret,
				      const uint8_t **ret_payload);

/* Drops what has come, and goes on with this socket; -1: with none. */
void packet_input_reset(struct packet_input *input, int fd);

/* Frees the memory, and closes the socket. */
void packet_input_fini(struct packet_input *input);
