// SPDX-License-Identifier: MIT
/* What relaypub keeps until it is acknowledged: always whole messages.
 *
 * The tools are programs, not part of the library, so the files under test are included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/tools/relaypub/batch.c"
#include "relay/tools/shared/delimiter.c"

enum {
	ROOM = 256,
};

static struct batch make(enum delimiter framing)
{
	struct batch batch;

	assert_int_equal(batch_init(&batch, framing, ROOM), 0);
	return batch;
}

static void add(struct batch *batch, const void *bytes, size_t size)
{
	uint8_t *space = batch_space(batch, size);

	assert_non_null(space);
	memcpy(space, bytes, size);
	batch_add(batch, size);
}

/* Sends all there is, and then loses the connection with so many bytes on the way: what is sent
 * again has to be `again`. */
static void expect_again(struct batch *batch, size_t unacknowledged, const void *again, size_t size)
{
	batch_note_sent(batch, batch_unsent_bytes(batch));
	(void)batch_acknowledge(batch, unacknowledged);
	assert_int_equal(batch_rewind(batch), size);
	assert_int_equal(batch_unsent_bytes(batch), size);
	assert_memory_equal(batch_unsent(batch), again, size);
}

static void lines_are_sent_again_whole(void **state)
{
	struct batch batch = make(DELIMITER_LINE);

	(void)state;
	add(&batch, "one\ntwo\nthr", 11);
	assert_int_equal(batch_unsent_bytes(&batch), 8);
	expect_again(&batch, 1, "two\n", 4);
	expect_again(&batch, 4, "two\n", 4);
	expect_again(&batch, 0, "", 0);
	add(&batch, "ee", 2);
	assert_int_equal(batch_unsent_bytes(&batch), 0);
	add(&batch, "\n\nlast", 6);
	expect_again(&batch, 2, "three\n\n", 7);
	expect_again(&batch, 1, "\n", 1);
	batch_finish(&batch);
	expect_again(&batch, 2, "last", 4);
	expect_again(&batch, 0, "", 0);
	batch_fini(&batch);
}

static void prefixed_messages_are_sent_again_whole(void **state)
{
	static const uint8_t bytes[] = "\x00\x03"
				       "abc"
				       "\x00\x00"
				       "\x00\x01"
				       "d";
	struct batch batch = make(DELIMITER_U16BE);

	(void)state;
	add(&batch, bytes, 10);
	expect_again(&batch, 6, bytes, 10);
	expect_again(&batch, 5, bytes + 5, 5);
	expect_again(&batch, 3, bytes + 7, 3);
	expect_again(&batch, 2, bytes + 7, 3);
	batch_fini(&batch);
}

static void packets_are_sent_again_whole(void **state)
{
	struct packet_header header = {.count = 1, .length = 4, .session = 1, .sequence = 1};
	uint8_t bytes[2 * (PACKET_HEADER_BYTES + 4)] = {0};
	struct batch batch = make(DELIMITER_RELAY);

	(void)state;
	packet_header_encode(&header, bytes);
	packet_header_encode(&header, bytes + sizeof bytes / 2);
	add(&batch, bytes, sizeof bytes);
	expect_again(&batch, sizeof bytes / 2 + 1, bytes, sizeof bytes);
	expect_again(&batch, sizeof bytes / 2, bytes, sizeof bytes / 2);
	batch_fini(&batch);
}

static void bytes_without_messages_go_on_where_they_stopped(void **state)
{
	struct batch batch = make(DELIMITER_NONE);

	(void)state;
	add(&batch, "abcdef", 6);
	expect_again(&batch, 2, "ef", 2);
	assert_int_equal(batch_drop_first(&batch), 0);
	batch_fini(&batch);
}

static void one_message_can_be_left_out(void **state)
{
	struct batch batch = make(DELIMITER_LINE);

	(void)state;
	assert_int_equal(batch_drop_first(&batch), 0);
	add(&batch, "too long\nnext\npart", 18);
	assert_int_equal(batch_drop_first(&batch), 9);
	expect_again(&batch, 5, "next\n", 5);
	batch_fini(&batch);
}

/* However much went through it, and however it was cut: the bytes come out as they went in. */
static void room_is_used_again(void **state)
{
	struct batch batch = make(DELIMITER_LINE);
	uint8_t line[7] = "000000\n";
	uint8_t next = 0;

	(void)state;
	for (int round = 0; round < 1000; round++) {
		line[0] = (uint8_t)('a' + round % 26);
		while (batch_space(&batch, sizeof line))
			add(&batch, line, sizeof line);
		assert_true(batch.end - batch.start > ROOM - sizeof line);
		assert_true(round == 0 || batch_unsent(&batch)[0] == 'a' + next);
		next = (uint8_t)(round % 26);
		expect_again(&batch, sizeof line, line, sizeof line);
	}
	batch_fini(&batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_sent_again_whole),
		cmocka_unit_test(prefixed_messages_are_sent_again_whole),
		cmocka_unit_test(packets_are_sent_again_whole),
		cmocka_unit_test(bytes_without_messages_go_on_where_they_stopped),
		cmocka_unit_test(one_message_can_be_left_out),
		cmocka_unit_test(room_is_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
