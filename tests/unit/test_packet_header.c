// SPDX-License-Identifier: MIT
/*
 * base/packet_header.c: the bytes on the wire, and which of them are refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/packet_header.h"
#include "tests/unit/pipe_rig.h"

static const struct packet_header data = {
	.type = PACKET_DATA,
	.flags = PACKET_FLAG_CONTINUED,
	.count = 0x0102,
	.length = 0x03040506,
	.session = 0x0708090a,
	.sequence = 0x0b0c0d0e0f101112,
	.time = 0x131415161718191a,
};

static const uint8_t data_bytes[PACKET_HEADER_BYTES] = {
	'R',  'L',  'Y',  '1',  0x00, 0x01, 0x01, 0x02, 0x03, 0x04, 0x05,
	0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10,
	0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a,
};

static void check_equal(const struct packet_header *a, const struct packet_header *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->count, b->count);
	assert_int_equal(a->length, b->length);
	assert_int_equal(a->session, b->session);
	assert_int_equal(a->sequence, b->sequence);
	assert_int_equal(a->time, b->time);
}

/* What decoding the encoded header returns. On an error nothing has been written. */
static int decode(struct packet_header header)
{
	struct packet_header untouched, ret;
	uint8_t bytes[PACKET_HEADER_BYTES];
	int r;

	memset(&untouched, 0x5a, sizeof(untouched));
	ret = untouched;
	packet_header_encode(&header, bytes);
	r = packet_header_decode(bytes, &ret);
	check_equal(&ret, r == 0 ? &header : &untouched);
	return r;
}

static void the_bytes_are_those_of_the_table(void **state)
{
	uint8_t bytes[PACKET_HEADER_BYTES];
	struct packet_header ret;

	(void)state;
	packet_header_encode(&data, bytes);
	assert_memory_equal(bytes, data_bytes, sizeof(bytes));
	assert_int_equal(packet_header_decode(data_bytes, &ret), 0);
	check_equal(&ret, &data);
}

static void alignment_does_not_matter(void **state)
{
	uint8_t bytes[PACKET_HEADER_BYTES + 8];
	struct packet_header ret;

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		packet_header_encode(&data, bytes + i);
		assert_int_equal(packet_header_decode(bytes + i, &ret), 0);
		check_equal(&ret, &data);
	}
}

static void every_type_is_read_back(void **state)
{
	(void)state;
	assert_int_equal(decode((struct packet_header){.type = PACKET_DATA, .count = 65535}), 0);
	assert_int_equal(decode((struct packet_header){.type = PACKET_DATA,
						       .flags = PACKET_FLAG_CONTINUED,
						       .length = UINT32_MAX}),
			 0);
	assert_int_equal(decode((struct packet_header){.type = PACKET_GAP, .time = 1}), 0);
	for (uint8_t type = PACKET_HEARTBEAT; type <= PACKET_SOURCE_UP; type++) {
		struct packet_header header = {.type = type, .sequence = 7, .time = UINT64_MAX};

		assert_int_equal(decode(header), 0);
	}
}

static void a_wrong_magic_is_no_packet(void **state)
{
	struct packet_header ret;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		uint8_t bytes[PACKET_HEADER_BYTES];

		memcpy(bytes, data_bytes, sizeof(bytes));
		bytes[i] ^= 1;
		assert_int_equal(packet_header_decode(bytes, &ret), -EPROTO);
	}
}

static void contradictions_are_refused(void **state)
{
	(void)state;
	assert_int_equal(decode((struct packet_header){.type = 6}), -EINVAL);
	assert_int_equal(decode((struct packet_header){.type = 255}), -EINVAL);
	/* bytes of no message */
	assert_int_equal(decode((struct packet_header){.type = PACKET_DATA, .length = 1}), -EINVAL);
	/* a gap of nothing, and one backwards */
	assert_int_equal(
		decode((struct packet_header){.type = PACKET_GAP, .sequence = 5, .time = 5}),
		-EINVAL);
	assert_int_equal(
		decode((struct packet_header){.type = PACKET_GAP, .sequence = 5, .time = 4}),
		-EINVAL);
	for (uint8_t type = PACKET_HEARTBEAT; type <= PACKET_SOURCE_UP; type++) {
		struct packet_header header = {.type = type, .time = 1};

		header.count = 1;
		assert_int_equal(decode(header), -EINVAL);
		header.count = 0;
		header.length = 1;
		assert_int_equal(decode(header), -EINVAL);
		header.length = 0;
		header.flags = PACKET_FLAG_CONTINUED;
		assert_int_equal(decode(header), -EINVAL);
	}
}

static void flags_of_later_versions_are_passed_on(void **state)
{
	struct packet_header header = data;

	(void)state;
	header.flags = 0xff;
	assert_int_equal(decode(header), 0);
}

static void types_have_names(void **state)
{
	(void)state;
	assert_string_equal(packet_type_name(PACKET_DATA), "data");
	assert_string_equal(packet_type_name(PACKET_SOURCE_UP), "source-up");
	assert_string_equal(packet_type_name(6), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_are_those_of_the_table),
		cmocka_unit_test(alignment_does_not_matter),
		cmocka_unit_test(every_type_is_read_back),
		cmocka_unit_test(a_wrong_magic_is_no_packet),
		cmocka_unit_test(contradictions_are_refused),
		cmocka_unit_test(flags_of_later_versions_are_passed_on),
		cmocka_unit_test(types_have_names),
	};

	return cmocka_run_group_tests(tests, pipe_rig_begin, pipe_rig_end);
}
