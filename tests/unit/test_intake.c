// SPDX-License-Identifier: MIT
/* An intake without a feed: what its sink is given, and what stays behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "table/close_reason.h"
#include "tests/unit/intake_rig.h"

static void cuts_whole_messages(void **state)
{
	static const enum payload_kind kinds[] = {
		[ENGINE_COPY] = PAYLOAD_COPY,
		[ENGINE_SPLICE] = PAYLOAD_PIPES,
		[ENGINE_COMPACT] = PAYLOAD_PIPES,
	};

	(void)state;
	for (int engine = 0; engine < ENGINE_COUNT; engine++) {
		struct intake_rig *rig = intake_rig_open(FRAMING_LINE, (enum engine)engine);

		assert_int_equal(intake_rig_take(rig, "one\ntwo\nthr", 11), INTAKE_TOOK);
		assert_int_equal(rig->packets, 1);
		assert_int_equal(rig->kind, kinds[engine]);
		assert_int_equal(rig->last.count, 2);
		assert_int_equal(rig->last.length, 8);
		assert_int_equal(rig->last.first_seq, 0); /* the number is the sink's affair */
		/* By splice, what is not whole stays in the socket. */
		assert_int_equal(intake_is_empty(&rig->intake), engine == ENGINE_SPLICE);
		assert_int_equal(intake_rig_take(rig, "ee\n", 3), INTAKE_TOOK);
		assert_int_equal(rig->packets, 2);
		assert_int_equal(rig->last.count, 1);
		assert_true(intake_is_empty(&rig->intake));
		assert_int_equal(rig->length, 14);
		assert_memory_equal(rig->bytes, "one\ntwo\nthree\n", 14);
		intake_rig_close(rig);
	}
}

static void drops_an_unfinished_message(void **state)
{
	(void)state;
	for (int engine = 0; engine < ENGINE_COUNT; engine++) {
		struct intake_rig *rig = intake_rig_open(FRAMING_LINE, (enum engine)engine);

		assert_int_equal(intake_rig_take(rig, "half", 4), INTAKE_TOOK);
		assert_int_equal(intake_reset(&rig->intake), 4);
		assert_int_equal(intake_rig_take(rig, "whole\n", 6), INTAKE_TOOK);
		assert_int_equal(rig->length, 6);
		assert_memory_equal(rig->bytes, "whole\n", 6);
		intake_rig_close(rig);
	}
}

/* By pieces that the socket has room for. */
static void take_in_pieces(struct intake_rig *rig, const uint8_t *bytes, size_t length)
{
	enum {
		PIECE = 64 * 1024
	};

	for (size_t at = 0; at < length; at += PIECE)
		intake_rig_take_all(rig, bytes + at, length - at < PIECE ? length - at : PIECE);
}

/* Room for a long message goes with its publisher, and when none has come for long. */
static void gives_the_room_of_a_long_message_back(void **state)
{
	enum {
		LONG = INTAKE_RIG_ROOM / 2,
		SHORTS = 1100
	};
	static uint8_t message[LONG];
	struct intake_rig *rig = intake_rig_open(FRAMING_LINE, ENGINE_COPY);
	const size_t usual = rig->intake.params.segment_bytes;
	const struct intake_memory *memory = &rig->intake.memory;

	(void)state;
	memset(message, 'a', LONG);
	take_in_pieces(rig, message, LONG - 1);
	assert_true(memory->room >= LONG);
	(void)intake_reset(&rig->intake);
	assert_int_equal(memory->room, 0);

	message[LONG - 1] = '\n';
	take_in_pieces(rig, message, LONG);
	assert_int_equal(rig->packets, 1);
	assert_true(memory->room >= LONG);
	for (unsigned i = 0; i < SHORTS; i++)
		assert_int_equal(intake_rig_take(rig, "short\n", 6), INTAKE_TOOK);
	assert_true(memory->room <= 4 * usual);
	assert_int_equal(rig->packets, 1 + SHORTS);
	assert_int_equal(rig->length, LONG + 6 * SHORTS);
	intake_rig_close(rig);
}

static size_t encode(uint8_t *to, enum packet_type type, uint8_t flags, const char *payload)
{
	const struct packet_header header = {
		.type = (uint8_t)type,
		.flags = flags,
		.count = type == PACKET_DATA,
		.length = (uint32_t)strlen(payload),
		.session = 7,
		.sequence = 42,
		.time = 1000,
	};

	packet_header_encode(&header, to);
	memcpy(to + PACKET_HEADER_BYTES, payload, strlen(payload));
	return PACKET_HEADER_BYTES + strlen(payload);
}

static void tells_the_numbers_of_another_relay(void **state)
{
	uint8_t wire[256];
	size_t length;

	(void)state;
	for (int engine = 0; engine < ENGINE_COUNT; engine++) {
		struct intake_rig *rig = intake_rig_open(FRAMING_RELAY, (enum engine)engine);

		length = encode(wire, PACKET_DATA, 0, "hello");
		intake_rig_take_all(rig, wire, length);
		assert_int_equal(rig->packets, 1);
		assert_int_equal(rig->last.session, 7);
		assert_int_equal(rig->last.first_seq, 42);
		assert_int_equal(rig->last.time_ns, 1000);
		assert_memory_equal(rig->bytes, "hello", 5);
		length = encode(wire, PACKET_HEARTBEAT, 0, "");
		intake_rig_take_all(rig, wire, length);
		assert_int_equal(rig->news, 1);
		assert_int_equal(rig->last.type, PACKET_HEARTBEAT);
		intake_rig_close(rig);
	}
}

static const struct packet_header FIRST = {
	.type = PACKET_DATA,
	.flags = PACKET_FLAG_CONTINUED,
	.count = 1,
	.session = 7,
	.sequence = 42,
	.time = 1000,
};

/* `payload` NULL: as many bytes as the header says. */
static enum intake_result send_packet(struct intake_rig *rig, struct packet_header header,
				      const char *payload, int *ret_err)
{
	uint8_t head[PACKET_HEADER_BYTES];
	enum intake_result result = INTAKE_TOOK;

	if (payload)
		header.length = (uint32_t)strlen(payload);
	packet_header_encode(&header, head);
	assert_int_equal(write(rig->publisher_fd, head, sizeof(head)), sizeof(head));
	if (payload)
		assert_int_equal(write(rig->publisher_fd, payload, header.length), header.length);
	while (result == INTAKE_TOOK)
		result = intake_take(&rig->intake, &rig->source, ret_err);
	return result;
}

static void send_whole(struct intake_rig *rig, struct packet_header header, const char *payload)
{
	int err = 0;

	assert_int_equal(send_packet(rig, header, payload, &err), INTAKE_EMPTY);
}

/* The next one, which may end the message. */
static struct packet_header packet_after(const struct packet_header *before, uint8_t flags,
					 uint16_t count)
{
	struct packet_header next = *before;

	next.sequence += before->count;
	next.flags = flags;
	next.count = count;
	next.time++;
	return next;
}

static void makes_one_packet_of_those_that_share_a_message(void **state)
{
	const struct packet_header middle = packet_after(&FIRST, PACKET_FLAG_CONTINUED, 0);
	const struct packet_header last = packet_after(&middle, 0, 3);
	const struct packet_header heartbeat = {
		.type = PACKET_HEARTBEAT, .session = 7, .sequence = 43, .time = 5};

	(void)state;
	for (int engine = 0; engine <= ENGINE_COUNT; engine++) {
		struct intake_rig *rig = intake_rig_open(FRAMING_RELAY, (enum engine)engine);

		send_whole(rig, FIRST, "one, ");
		assert_false(intake_is_between(&rig->intake));
		send_whole(rig, middle, "");
		send_whole(rig, heartbeat, "");
		send_whole(rig, middle, "two");
		assert_int_equal(rig->packets + rig->news, 0);
		send_whole(rig, last, ", three");
		assert_true(intake_is_empty(&rig->intake));
		assert_int_equal(rig->packets, 1);
		assert_int_equal(rig->news, 0);
		assert_int_equal(rig->last.first_seq, 42);
		assert_int_equal(rig->last.count, 4);
		assert_int_equal(rig->last.session, 7);
		assert_int_equal(rig->last.time_ns, 1000);
		assert_int_equal(rig->last.flags, 0);
		assert_int_equal(rig->last.length, 15);
		assert_int_equal(rig->length, 15);
		assert_memory_equal(rig->bytes, "one, two, three", 15);
		assert_int_equal(rig->metrics.partial_messages, 0);
		/* What the sink has had before leaves nothing behind. */
		rig->refuses = true;
		send_whole(rig, FIRST, "one, ");
		send_whole(rig, middle, "two");
		send_whole(rig, last, ", three");
		assert_true(intake_is_empty(&rig->intake));
		rig->refuses = false;
		send_whole(rig, packet_after(&last, 0, 1), "four");
		assert_int_equal(rig->last.length, 4);
		assert_memory_equal(rig->bytes, "one, two, threefour", 19);
		intake_rig_close(rig);
	}
}

static void drops_a_message_that_is_not_finished(void **state)
{
	const struct packet_header rows[] = {
		{.type = PACKET_DATA, .count = 1, .session = 8, .sequence = 43},
		{.type = PACKET_DATA, .count = 1, .session = 7, .sequence = 44},
		{.type = PACKET_DATA, .count = 1, .session = 7, .sequence = 42},
		{.type = PACKET_HEARTBEAT, .session = 7, .sequence = 44},
		{.type = PACKET_GAP, .session = 7, .sequence = 43, .time = 44},
		{.type = PACKET_END, .session = 7, .sequence = 43},
		{.type = PACKET_SOURCE_DOWN, .session = 7, .sequence = 43},
		{.type = PACKET_SOURCE_UP, .session = 7, .sequence = 43},
	};

	(void)state;
	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		struct intake_rig *rig = intake_rig_open(FRAMING_RELAY, row % ENGINE_COUNT);
		bool is_data = rows[row].type == PACKET_DATA;

		send_whole(rig, FIRST, "never ends");
		send_whole(rig, rows[row], is_data ? "new" : "");
		assert_true(intake_is_empty(&rig->intake));
		assert_int_equal(rig->packets, is_data);
		assert_int_equal(rig->news, !is_data);
		assert_int_equal(rig->last.type, rows[row].type);
		assert_int_equal(rig->last.first_seq, rows[row].sequence);
		assert_int_equal(rig->length, is_data ? 3 : 0);
		assert_memory_equal(rig->bytes, "new", rig->length);
		assert_int_equal(rig->metrics.partial_messages, 1);
		assert_int_equal(rig->metrics.partial_bytes, 10);
		/* The source ends in the middle of one. */
		send_whole(rig, FIRST, "nor this");
		assert_int_equal(intake_reset(&rig->intake), 8);
		assert_true(intake_is_empty(&rig->intake));
		intake_rig_close(rig);
	}
}

static void bounds_a_message_in_several_packets(void **state)
{
	static const struct {
		uint32_t length;
		uint16_t count;
		enum close_reason reason; // REASON_COUNT: none
	} rows[] = {
		{(1 << 20) - 3, 1, CLOSE_REASON_COUNT}, {(1 << 20) - 2, 1, CLOSE_TOO_LONG},
		{UINT32_MAX, 1, CLOSE_TOO_LONG},        {1, UINT16_MAX - 1, CLOSE_REASON_COUNT},
		{1, UINT16_MAX, CLOSE_BAD_HEADER},
	};

	(void)state;
	for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
		struct intake_rig *rig = intake_rig_open(FRAMING_RELAY, ENGINE_COPY);
		struct packet_header last = packet_after(&FIRST, 0, rows[row].count);
		bool is_good = rows[row].reason == CLOSE_REASON_COUNT;
		int err = 0;

		send_whole(rig, FIRST, "one");
		last.length = rows[row].length;
		assert_int_equal(send_packet(rig, last, NULL, &err),
				 is_good ? INTAKE_EMPTY : INTAKE_FAULT);
		if (!is_good)
			assert_int_equal(err, rows[row].reason);
		assert_int_equal(rig->packets, 0);
		intake_rig_close(rig);
	}
}

static void says_what_is_wrong(void **state)
{
	struct intake_rig *rig = intake_rig_open(FRAMING_RELAY, ENGINE_COPY);
	uint8_t wire[PACKET_HEADER_BYTES] = {0};
	int err = 0;

	(void)state;
	assert_int_equal(write(rig->publisher_fd, wire, sizeof(wire)), sizeof(wire));
	assert_int_equal(intake_take(&rig->intake, &rig->source, &err), INTAKE_FAULT);
	assert_int_equal(err, CLOSE_BAD_MAGIC);
	assert_int_equal(rig->packets + rig->news, 0);
	intake_rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_whole_messages),
		cmocka_unit_test(drops_an_unfinished_message),
		cmocka_unit_test(gives_the_room_of_a_long_message_back),
		cmocka_unit_test(tells_the_numbers_of_another_relay),
		cmocka_unit_test(makes_one_packet_of_those_that_share_a_message),
		cmocka_unit_test(drops_a_message_that_is_not_finished),
		cmocka_unit_test(bounds_a_message_in_several_packets),
		cmocka_unit_test(says_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
