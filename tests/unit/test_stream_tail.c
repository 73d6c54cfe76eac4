// SPDX-License-Identifier: MIT
/* What a stream has of the last messages, told from the newest one backwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "nats/stream_tail.h"

#define SUBJECT "prices.x"

enum {
	SESSION = 7,
};

static int make(void **state)
{
	*state = calloc(1, sizeof(struct stream_tail));
	return *state ? 0 : -1;
}

static int drop(void **state)
{
	free(*state);
	return 0;
}

static bool add(struct stream_tail *tail, uint64_t sequence)
{
	const struct forward_id id = {SESSION, sequence};

	return stream_tail_add(tail, &id, 100);
}

/* From `newest` down to `oldest`, until no more counts.  The last one. */
static uint64_t add_down(struct stream_tail *tail, uint64_t newest, uint64_t oldest)
{
	uint64_t sequence = newest;

	while (add(tail, sequence) && sequence > oldest)
		sequence--;
	return sequence;
}

static bool has(const struct stream_tail *tail, uint64_t sequence)
{
	const struct forward_id id = {SESSION, sequence};

	return stream_tail_has(tail, &id);
}

static void of_an_empty_stream_nothing_is_known(void **state)
{
	struct stream_tail *tail = *state;
	const struct forward_id id = {SESSION, 1};

	stream_tail_end(tail);
	assert_int_equal(tail->session, 0);
	assert_int_equal(tail->floor, 0);
	assert_false(stream_tail_has(tail, &id));
	assert_int_equal(stream_tail_count(tail, SESSION, 0, UINT64_MAX), 0);
}

static void the_newest_alone_is_the_floor(void **state)
{
	struct stream_tail *tail = *state;

	assert_true(add(tail, 0));
	stream_tail_end(tail);
	assert_int_equal(tail->session, SESSION);
	assert_int_equal(tail->floor, 0);
	assert_true(has(tail, 0));
	assert_false(has(tail, 1));
}

static void in_order_so_many_count_as_may_be_on_their_way(void **state)
{
	struct stream_tail *tail = *state;

	assert_int_equal(add_down(tail, 5000, 1), 5000 - UNACKED_MAX + 1);
	stream_tail_end(tail);
	assert_int_equal(tail->floor, 5000);
	assert_true(has(tail, 1));
	assert_false(has(tail, 5001));
}

static void what_is_missing_is_found(void **state)
{
	struct stream_tail *tail = *state;
	const struct forward_id other = {SESSION + 1, 3990};

	assert_int_equal(add_down(tail, 5000, 4001), 4001);
	assert_int_equal(add_down(tail, 3999, 3998), 3998);
	assert_int_equal(add_down(tail, 3996, 1), 3998 - UNACKED_MAX * 2 + 1 + 1000);
	stream_tail_end(tail);
	assert_int_equal(tail->floor, 3996);
	assert_false(has(tail, 3997));
	assert_true(has(tail, 3998));
	assert_false(has(tail, 4000));
	assert_true(has(tail, 5000));
	assert_false(stream_tail_has(tail, &other));
	assert_int_equal(stream_tail_count(tail, SESSION, 3997, 4002), 3);
	assert_int_equal(stream_tail_count(tail, SESSION, 0, 5001), 1002);
	assert_int_equal(stream_tail_count(tail, SESSION + 1, 0, 5001), 0);
}

static void what_stands_behind_later_ones_is_not_missing(void **state)
{
	struct stream_tail *tail = *state;

	assert_true(add(tail, 300));
	assert_int_equal(add_down(tail, 600, 301), 301);
	assert_true(add(tail, 299));
	assert_true(add(tail, 299)); /* twice, long ago */
	assert_true(add(tail, 298));
	stream_tail_end(tail);
	assert_int_equal(tail->floor, 600);
	assert_int_equal(tail->newest, 600);
}

/* So far behind, where all between has not been looked at. */
static void what_is_too_old_counts_as_had(void **state)
{
	struct stream_tail *tail = *state;

	assert_int_equal(add_down(tail, 9000, 8001), 8001);
	assert_true(add(tail, 6000));
	assert_int_equal(add_down(tail, 8000, 1), 8000 - UNACKED_MAX * 2 + 1 + 1001);
	stream_tail_end(tail);
	assert_int_equal(tail->floor, 9000);
	assert_true(has(tail, 7001));
}

static void so_many_bytes_count_as_may_be_on_their_way(void **state)
{
	struct stream_tail *tail = *state;
	struct forward_id id = {SESSION, 100};

	assert_true(stream_tail_add(tail, &id, UNACKED_BYTES / 2));
	id.sequence--;
	assert_true(stream_tail_add(tail, &id, UNACKED_BYTES / 2));
	id.sequence--;
	assert_false(stream_tail_add(tail, &id, UNACKED_BYTES / 2));
	id.sequence -= 2;
	assert_true(stream_tail_add(tail, &id, UNACKED_BYTES / 2));
}

static void another_session_ends_it(void **state)
{
	struct stream_tail *tail = *state;
	const struct forward_id other = {SESSION + 1, 2};

	assert_true(add(tail, 3));
	assert_false(stream_tail_add(tail, &other, 100));
	stream_tail_end(tail);
	assert_int_equal(tail->floor, 3);
	assert_false(stream_tail_has(tail, &other));
}

/* ---- a message of the stream ---- */

static const struct stored_message NONE = {.sequence = 99, .has_id = true};

static int read_text(const char *text, struct stored_message *ret)
{
	json_t *message = json_loads(text, JSON_DECODE_ANY, NULL);
	int r = stored_message_read(message, SUBJECT, ret);

	json_decref(message);
	return r;
}

/* A message with these header fields. */
static int read_fields(const char *fields, struct stored_message *ret)
{
	uint8_t base64[512];
	char text[1024];

	assert_true(strlen(fields) < 256);
	(void)EVP_EncodeBlock(base64, (const uint8_t *)fields, (int)strlen(fields));
	(void)snprintf(text, sizeof(text),
		       "{\"subject\":\"" SUBJECT "\",\"seq\":3,\"hdrs\":\"%s\",\"data\":\"Zm9v\"}",
		       (const char *)base64);
	return read_text(text, ret);
}

static void an_id_is_found_wherever_it_stands(void **state)
{
	static const char *const fields[] = {
		"NATS/1.0\r\nNats-Msg-Id: prices.x:7-12\r\n\r\n",
		"NATS/1.0\r\nNats-Msg-Id:prices.x:7-12\r\nNats-Expected-Stream: PRICES\r\n\r\n",
		"NATS/1.0\r\nNats-Expected-Stream: PRICES\r\nNats-Msg-Id: prices.x:7-12\r\n\r\n",
		"NATS/1.0\r\nX-Nats-Msg-Id: prices.x:1-1\r\nNats-Msg-Id: prices.x:7-12\r\n\r\n",
		"NATS/1.0\r\nNats-Msg-Id: prices.x:7-12", /* each length of padding */
		"NATS/1.0\r\nAB: 1\r\nNats-Msg-Id: prices.x:7-12",
		"NATS/1.0\r\nABC: 1\r\nNats-Msg-Id: prices.x:7-12",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		struct stored_message found = NONE;

		assert_int_equal(read_fields(fields[i], &found), 0);
		assert_int_equal(found.sequence, 3);
		assert_true(found.has_id);
		assert_int_equal(found.id.session, 7);
		assert_int_equal(found.id.sequence, 12);
		assert_int_equal(found.bytes, 3);
	}
}

static void what_others_have_published_has_no_id(void **state)
{
	static const char *const fields[] = {
		"NATS/1.0\r\n\r\n",
		"NATS/1.0\r\nNats-Msg-Id: other:7-12\r\n\r\n",
		"NATS/1.0\r\nNats-Msg-Id: prices.x:7-\r\n\r\n",
		"NATS/1.0\r\nX-Nats-Msg-Id: prices.x:7-12\r\n\r\n",
		"NATS/1.0\r\nNats-Msg-Id:",
	};
	struct stored_message found;

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		found = NONE;
		assert_int_equal(read_fields(fields[i], &found), 0);
		assert_int_equal(found.sequence, 3);
		assert_false(found.has_id);
	}
	found = NONE;
	assert_int_equal(read_text("{\"subject\":\"" SUBJECT "\",\"seq\":4}", &found), 0);
	assert_true(found.sequence == 4 && !found.has_id && !found.bytes);
	/* Whatever its id says, it is of another subject. */
	found = NONE;
	assert_int_equal(read_text("{\"subject\":\"prices\",\"seq\":5,\"data\":\"Zg==\",\"hdrs\":"
				   "\"TkFUUy8xLjANCk5hdHMtTXNnLUlkOiBwcmljZXMueDo3LTEyDQoNCg==\"}",
				   &found),
			 0);
	assert_true(found.sequence == 5 && !found.has_id && found.bytes == 1);
}

static void what_is_no_message_is_said(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"null",
		"{\"subject\":\"" SUBJECT "\"}",
		"{\"subject\":\"" SUBJECT "\",\"seq\":-1}",
		"{\"seq\":1}",
		"{\"subject\":\"" SUBJECT "\",\"seq\":1,\"hdrs\":\"Zm9\"}",
		"{\"subject\":\"" SUBJECT "\",\"seq\":1,\"hdrs\":\"Zm9!\"}",
		"{\"subject\":\"" SUBJECT "\",\"seq\":1,\"hdrs\":7}",
		"{\"subject\":\"" SUBJECT "\",\"seq\":1,\"data\":null}",
	};
	struct stored_message found;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_int_equal(read_text(texts[i], &found), -EBADMSG);
	assert_int_equal(stored_message_read(NULL, SUBJECT, &found), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(of_an_empty_stream_nothing_is_known, make, drop),
		cmocka_unit_test_setup_teardown(the_newest_alone_is_the_floor, make, drop),
		cmocka_unit_test_setup_teardown(in_order_so_many_count_as_may_be_on_their_way, make,
						drop),
		cmocka_unit_test_setup_teardown(what_is_missing_is_found, make, drop),
		cmocka_unit_test_setup_teardown(what_stands_behind_later_ones_is_not_missing, make,
						drop),
		cmocka_unit_test_setup_teardown(what_is_too_old_counts_as_had, make, drop),
		cmocka_unit_test_setup_teardown(so_many_bytes_count_as_may_be_on_their_way, make,
						drop),
		cmocka_unit_test_setup_teardown(another_session_ends_it, make, drop),
		cmocka_unit_test(an_id_is_found_wherever_it_stands),
		cmocka_unit_test(what_others_have_published_has_no_id),
		cmocka_unit_test(what_is_no_message_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
