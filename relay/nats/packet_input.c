// SPDX-License-Identifier: MIT
/* Gathered bytes, cut into packets. */
#include "nats/packet_input.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

enum {
	USUAL_BYTES = 256 << 10,
};

/* Room for so many behind `begin`, and for more where there is some.  False: no memory. */
static bool make_room(struct packet_input *input, size_t wanted)
{
	size_t count = input->end - input->begin;
	size_t room = wanted > USUAL_BYTES ? wanted : USUAL_BYTES;
	uint8_t *bytes;

	if (count)
		memmove(input->bytes, input->bytes + input->begin, count);
	input->begin = 0;
	input->end = count;
	/* What a long message took is given back. */
	if (input->room >= room && (input->room == USUAL_BYTES || wanted > USUAL_BYTES))
		return true;
	bytes = realloc(input->bytes, room);
	if (!bytes)
		return false;
	input->bytes = bytes;
	input->room = room;
	return true;
}

/* Bytes of the packet at `begin`, as far as they can be told; 0: it is none. */
static size_t packet_bytes(const struct packet_input *input, struct packet_header *ret)
{
	if (input->end - input->begin < PACKET_HEADER_BYTES)
		return PACKET_HEADER_BYTES;
	if (packet_header_decode(input->bytes + input->begin, ret) < 0)
		return 0;
	return PACKET_HEADER_BYTES + (size_t)ret->length;
}

enum packet_arrival packet_input_next(struct packet_input *input, struct packet_header *ret,
				      const uint8_t **ret_payload)
{
	for (;;) {
		size_t whole = packet_bytes(input, ret);
		ssize_t got;

		if (!whole)
			return PACKET_ARRIVAL_END;
		if (whole <= input->end - input->begin) {
			*ret_payload = input->bytes + input->begin + PACKET_HEADER_BYTES;
			input->begin += whole;
			return PACKET_ARRIVAL_PACKET;
		}
		if (!make_room(input, whole))
			return PACKET_ARRIVAL_NO_MEMORY;
		got = TEMP_FAILURE_RETRY(recv(input->fd, input->bytes + input->end,
					      input->room - input->end, MSG_DONTWAIT));
		if (got < 0 && errno == EAGAIN)
			return PACKET_ARRIVAL_NONE;
		if (got <= 0)
			return PACKET_ARRIVAL_END;
		input->end += (size_t)got;
	}
}

void packet_input_reset(struct packet_input *input, int fd)
{
	fd_close(&input->fd);
	input->fd = fd;
	input->begin = input->end = 0;
}

void packet_input_fini(struct packet_input *input)
{
	packet_input_reset(input, -1);
	free(input->bytes);
	*input = (struct packet_input){.fd = -1};
}
