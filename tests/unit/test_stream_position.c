// SPDX-License-Identifier: MIT
/* Where a reader is in a stream: what it goes on with, what it begins with, and what
 * is another stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "nats/stream_position.h"

#define CREATED  (UINT64_C(1700000000000) * NS_PER_MS)
#define NOW      (CREATED + 7200 * NS_PER_S)
#define SESSION  ((uint32_t)UINT64_C(1700000000000) | 1U)
#define NO_WISH  ((struct stream_wish){0})
#define NEW_FEED ((struct stream_position){.session = 5, .next_seq = 1})

static const struct stream_seen stream = {CREATED, 100, 90, 90};

static void check(const struct stream_position *position, uint32_t session, uint64_t next)
{
	assert_int_equal(position->session, session);
	assert_int_equal(position->next_seq, next);
	assert_int_equal(position->created_ns, CREATED);
}

static void a_session_is_the_time_of_creation_and_never_0(void **state)
{
	(void)state;
	assert_int_equal(stream_session(CREATED), SESSION);
	assert_int_equal(stream_session(CREATED + NS_PER_MS - 1), SESSION);
	assert_int_not_equal(stream_session(0), 0);
}

static void a_new_feed_begins_behind_what_is_wanted(void **state)
{
	struct stream_position position = NEW_FEED;
	uint64_t from_ns = 1;

	(void)state;
	assert_int_equal(stream_position_find(&position, &stream, &NO_WISH, NOW, &from_ns),
			 STREAM_BEGINS);
	check(&position, SESSION, 91);
	assert_int_equal(from_ns, 0);
}

static void a_new_feed_with_a_backfill_begins_in_the_past(void **state)
{
	const struct stream_wish wish = {.backfill_ms = 3600 * 1000};
	const struct stream_wish long_ago = {.backfill_ms = UINT64_C(3650) * 86400 * 1000 * 100};
	const struct stream_seen empty = {CREATED, 0, 0, 0};
	const struct stream_seen purged = {CREATED, 100, 0, 0};
	struct stream_position position = NEW_FEED;
	uint64_t from_ns;

	(void)state;
	(void)stream_position_find(&position, &stream, &wish, NOW, &from_ns);
	check(&position, SESSION, 0);
	assert_int_equal(from_ns, NOW - 3600 * NS_PER_S);
	/* Nothing has come yet, and the reader begins anew. */
	(void)stream_position_find(&position, &stream, &wish, NOW + 5, &from_ns);
	check(&position, SESSION, 0);
	assert_int_equal(from_ns, NOW + 5 - 3600 * NS_PER_S);
	position = NEW_FEED;
	(void)stream_position_find(&position, &stream, &long_ago, NOW, &from_ns);
	assert_int_equal(from_ns, 1);
	position = NEW_FEED;
	(void)stream_position_find(&position, &empty, &wish, NOW, &from_ns);
	check(&position, SESSION, 1);
	assert_int_equal(from_ns, 0);
	position = NEW_FEED;
	(void)stream_position_find(&position, &purged, &wish, NOW, &from_ns);
	check(&position, SESSION, 101);
	assert_int_equal(from_ns, 0);
}

static void a_feed_of_the_same_session_goes_on(void **state)
{
	struct stream_position position = {.session = SESSION, .next_seq = 42};
	struct stream_position by_hand = {.session = 7, .next_seq = 42};
	const struct stream_wish wish = {.session = 7, .backfill_ms = 1000};
	uint64_t from_ns;

	(void)state;
	assert_int_equal(stream_position_find(&position, &stream, &wish, NOW, &from_ns),
			 STREAM_BEGINS);
	position = (struct stream_position){.session = SESSION, .next_seq = 42};
	assert_int_equal(stream_position_find(&position, &stream, &NO_WISH, NOW, &from_ns),
			 STREAM_GOES_ON);
	check(&position, SESSION, 42);
	assert_int_equal(stream_position_find(&by_hand, &stream, &wish, NOW, &from_ns),
			 STREAM_GOES_ON);
	check(&by_hand, 7, 42);
}

static void a_stream_made_anew_begins_with_its_first_message(void **state)
{
	struct stream_position position = {.session = 7, .next_seq = 42, .created_ns = 1};
	const struct stream_wish wish = {.session = 7};
	uint64_t from_ns;

	(void)state;
	assert_int_equal(stream_position_find(&position, &stream, &wish, NOW, &from_ns),
			 STREAM_IS_ANOTHER);
	check(&position, SESSION, 1);
}

static void a_shorter_stream_is_no_position(void **state)
{
	const struct stream_seen shorter = {CREATED, 97, 90, 90}, longer = {CREATED, 99, 90, 90};
	struct stream_position position = {
		.session = SESSION, .next_seq = 102, .created_ns = CREATED, .mark_seq = 101};
	uint64_t from_ns;

	(void)state;
	assert_int_equal(stream_position_find(&position, &stream, &NO_WISH, NOW, &from_ns),
			 STREAM_IS_SHORTER);
	check(&position, SESSION, 102);
	assert_int_equal(position.lost_seq, 101);
	/* It is given up, and begins with all that came meanwhile. */
	(void)stream_position_find(&position, &shorter, &NO_WISH, NOW, &from_ns);
	(void)stream_position_find(&position, &longer, &NO_WISH, NOW, &from_ns);
	assert_int_equal(position.lost_seq, 98);
	stream_position_cut(&position, &stream, NOW);
	check(&position, stream_session(NOW), 98);
	assert_int_equal(position.mark_seq, 0);
	/* And goes on so, though the session is no more that of the stream. */
	assert_int_equal(stream_position_find(&position, &stream, &NO_WISH, NOW, &from_ns),
			 STREAM_GOES_ON);
	check(&position, stream_session(NOW), 98);
}

static void a_feed_that_has_more_than_the_stream_goes_on_behind_the_cut(void **state)
{
	struct stream_position position = {.session = SESSION, .next_seq = 102};
	uint64_t from_ns;

	(void)state;
	assert_int_equal(stream_position_find(&position, &stream, &NO_WISH, NOW, &from_ns),
			 STREAM_IS_SHORTER);
	stream_position_cut(&position, &stream, NOW);
	assert_int_equal(stream_position_find(&position, &stream, &NO_WISH, NOW, &from_ns),
			 STREAM_GOES_ON);
	check(&position, stream_session(NOW), 101);
}

static void the_newest_message_is_the_same_or_another(void **state)
{
	struct stream_position position = {.session = SESSION,
					   .next_seq = 101,
					   .created_ns = CREATED,
					   .mark_seq = 100,
					   .mark_ns = NOW,
					   .lost_seq = 98};

	(void)state;
	assert_true(stream_position_check(&position, NOW)); /* what was lost has come back */
	assert_int_equal(position.lost_seq, 0);
	assert_true(stream_position_check(&position, 0)); /* too old, or deleted */
	assert_false(stream_position_check(&position, NOW + 1));
	stream_position_cut(&position, &stream, NOW);
	check(&position, stream_session(NOW), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_is_the_time_of_creation_and_never_0),
		cmocka_unit_test(a_new_feed_begins_behind_what_is_wanted),
		cmocka_unit_test(a_new_feed_with_a_backfill_begins_in_the_past),
		cmocka_unit_test(a_feed_of_the_same_session_goes_on),
		cmocka_unit_test(a_stream_made_anew_begins_with_its_first_message),
		cmocka_unit_test(a_shorter_stream_is_no_position),
		cmocka_unit_test(a_feed_that_has_more_than_the_stream_goes_on_behind_the_cut),
		cmocka_unit_test(the_newest_message_is_the_same_or_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
