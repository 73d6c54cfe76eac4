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
		assert_true(rig->last.starts_message);
		assert_memory_equal(rig->bytes, "hello", 5);
		length = encode(wire, PACKET_HEARTBEAT, 0, "");
		intake_rig_take_all(rig, wire, length);
		assert_int_equal(rig->news, 1);
		assert_int_equal(rig->last.type, PACKET_HEARTBEAT);
		intake_rig_close(rig);
	}
}

/* Whether a message goes on is known of those packets only that were taken. */
static void forgets_what_the_sink_has_had_before(void **state)
{
	uint8_t wire[256];
	size_t length;

	(void)state;
	for (int engine = 0; engine < ENGINE_COUNT; engine++) {
		struct intake_rig *rig = intake_rig_open(FRAMING_RELAY, (enum engine)engine);

		rig->refuses = true;
		length = encode(wire, PACKET_DATA, PACKET_FLAG_CONTINUED, "again");
		intake_rig_take_all(rig, wire, length);
		assert_true(intake_is_empty(&rig->intake));
		rig->refuses = false;
		intake_rig_take_all(rig, wire, length);
		assert_true(rig->last.starts_message);
		length = encode(wire, PACKET_DATA, 0, "rest");
		intake_rig_take_all(rig, wire, length);
		assert_false(rig->last.starts_message);
		assert_int_equal(rig->length, 9);
		assert_memory_equal(rig->bytes, "againrest", 9);
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
		cmocka_unit_test(tells_the_numbers_of_another_relay),
		cmocka_unit_test(forgets_what_the_sink_has_had_before),
		cmocka_unit_test(says_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
