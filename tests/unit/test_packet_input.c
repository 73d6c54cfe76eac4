// SPDX-License-Identifier: MIT
/* Packets out of a socket: whole, however they are cut on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "nats/packet_input.h"

struct rig {
	struct packet_input input;
	int to; /* the other end */
};

static int make(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	int ends[2];

	if (!rig || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0)
		return -1;
	rig->input.fd = ends[0];
	rig->to = ends[1];
	*state = rig;
	return 0;
}

static int drop(void **state)
{
	struct rig *rig = *state;

	packet_input_fini(&rig->input);
	(void)close(rig->to);
	free(rig);
	return 0;
}

static void put(const struct rig *rig, const void *bytes, size_t count)
{
	assert_int_equal(send(rig->to, bytes, count, MSG_NOSIGNAL), count);
}

static void encode(uint64_t sequence, uint32_t length, uint8_t ret[PACKET_HEADER_BYTES])
{
	const struct packet_header header = {
		.type = length ? PACKET_DATA : PACKET_HEARTBEAT,
		.count = length != 0,
		.length = length,
		.session = 7,
		.sequence = sequence,
	};

	packet_header_encode(&header, ret);
}

static void check_next(struct rig *rig, uint64_t sequence, const uint8_t *bytes, uint32_t count)
{
	struct packet_header header;
	const uint8_t *payload;

	assert_int_equal(packet_input_next(&rig->input, &header, &payload), PACKET_ARRIVAL_PACKET);
	assert_int_equal(header.sequence, sequence);
	assert_int_equal(header.length, count);
	assert_memory_equal(payload, bytes, count);
}

static void check_none(struct rig *rig, enum packet_arrival arrival)
{
	struct packet_header header;
	const uint8_t *payload;

	assert_int_equal(packet_input_next(&rig->input, &header, &payload), arrival);
}

static void packets_come_whole(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[2 * PACKET_HEADER_BYTES + 5];

	encode(1, 5, bytes);
	memcpy(bytes + PACKET_HEADER_BYTES, "hello", 5);
	encode(2, 0, bytes + PACKET_HEADER_BYTES + 5);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		if (i < PACKET_HEADER_BYTES + 5)
			check_none(rig, PACKET_ARRIVAL_NONE);
		put(rig, bytes + i, 1);
		if (i == PACKET_HEADER_BYTES + 4)
			check_next(rig, 1, bytes + PACKET_HEADER_BYTES, 5);
	}
	check_next(rig, 2, bytes, 0);
	put(rig, bytes, sizeof(bytes));
	put(rig, bytes, sizeof(bytes));
	for (int i = 0; i < 2; i++) {
		check_next(rig, 1, bytes + PACKET_HEADER_BYTES, 5);
		check_next(rig, 2, bytes, 0);
	}
	check_none(rig, PACKET_ARRIVAL_NONE);
}

/* Longer than what is usually read, and a short one in front and behind. */
static void long_packets_come_whole(void **state)
{
	enum {
		LONG = 1 << 20,
	};
	struct rig *rig = *state;
	uint8_t head[PACKET_HEADER_BYTES], *bytes = malloc(LONG);
	size_t sent = 0;

	assert_non_null(bytes);
	for (size_t i = 0; i < LONG; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	for (uint64_t turn = 0; turn < 2; turn++) {
		encode(2 * turn, 3, head);
		put(rig, head, sizeof(head));
		put(rig, bytes, 3);
		encode(2 * turn + 1, LONG, head);
		put(rig, head, sizeof(head));
		check_next(rig, 2 * turn, bytes, 3);
		for (sent = 0; sent < LONG;) {
			ssize_t n = send(rig->to, bytes + sent, LONG - sent, MSG_NOSIGNAL);

			if (n > 0)
				sent += (size_t)n;
			if (sent < LONG)
				check_none(rig, PACKET_ARRIVAL_NONE);
		}
		check_next(rig, 2 * turn + 1, bytes, LONG);
	}
	free(bytes);
}

static void an_end_drops_what_is_unfinished(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[PACKET_HEADER_BYTES];
	int ends[2];

	encode(1, 5, bytes);
	put(rig, bytes, sizeof(bytes));
	check_none(rig, PACKET_ARRIVAL_NONE);
	assert_int_equal(shutdown(rig->to, SHUT_WR), 0);
	check_none(rig, PACKET_ARRIVAL_END);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	packet_input_reset(&rig->input, ends[0]);
	(void)close(rig->to);
	rig->to = ends[1];
	encode(9, 0, bytes);
	put(rig, bytes, sizeof(bytes));
	check_next(rig, 9, bytes, 0);
}

static void what_is_no_packet_is_an_end(void **state)
{
	struct rig *rig = *state;
	const uint8_t bytes[PACKET_HEADER_BYTES] = {0};

	put(rig, bytes, sizeof(bytes));
	check_none(rig, PACKET_ARRIVAL_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(packets_come_whole, make, drop),
		cmocka_unit_test_setup_teardown(long_packets_come_whole, make, drop),
		cmocka_unit_test_setup_teardown(an_end_drops_what_is_unfinished, make, drop),
		cmocka_unit_test_setup_teardown(what_is_no_packet_is_an_end, make, drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
