// SPDX-License-Identifier: MIT
/* A fan-out without a feed: what time and turns bring.  Slow drains, waits for who is slow,
 * passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#include "fanout/fanout_parts.h"
#include "tests/unit/fanout_rig.h"

enum {
	SPREAD_MS = 1000, /* of a slow drain */
};

/* One after the other, as their time comes; who has joined later stays, and so do all when it
 * is taken back. */
static void lets_go_bit_by_bit(void **state)
{
	enum {
		COUNT = 4,
	};
	struct fanout_rig *rig = *state;
	struct subscriber_params params = {.on_slow = ON_SLOW_SKIP};
	int fds[COUNT + 1];
	uint64_t begin_ms;

	for (params.id = 1; params.id <= COUNT + 1; params.id++)
		fds[params.id - 1] = fanout_rig_join_with(rig, &params);
	begin_ms = fanout_find_subscriber(&rig->fanout, COUNT)->joined_ms;
	fanout_find_subscriber(&rig->fanout, COUNT + 1)->joined_ms = begin_ms + 1;
	fanout_drain_slowly(&rig->fanout, begin_ms, SPREAD_MS, 0.5);
	fanout_tick(&rig->fanout, begin_ms + 124);
	assert_int_equal(rig->closes, 0);
	fanout_tick(&rig->fanout, begin_ms + 126);
	assert_int_equal(rig->closes, 1);
	assert_int_equal(rig->reason, CLOSE_MOVED);
	fanout_tick(&rig->fanout, begin_ms + 374);
	assert_int_equal(rig->closes, 1);
	fanout_tick(&rig->fanout, begin_ms + 626);
	assert_int_equal(rig->closes, 3);
	fanout_drain_slowly(&rig->fanout, begin_ms, 0, 0);
	fanout_tick(&rig->fanout, begin_ms + SPREAD_MS);
	assert_int_equal(rig->closes, 3);
	fanout_drain_slowly(&rig->fanout, begin_ms, SPREAD_MS, 0);
	fanout_tick(&rig->fanout, begin_ms + SPREAD_MS - 1);
	assert_int_equal(rig->closes, 3);
	fanout_tick(&rig->fanout, begin_ms + SPREAD_MS);
	assert_int_equal(rig->closes, COUNT);
	assert_non_null(fanout_find_subscriber(&rig->fanout, COUNT + 1));
	for (int i = 0; i <= COUNT; i++)
		close(fds[i]);
}

/* The end has come before its last tick. */
static void lets_the_rest_go(void **state)
{
	struct fanout_rig *rig = *state;
	struct subscriber_params second = {.id = 2, .on_slow = ON_SLOW_SKIP};
	int fds[] = {fanout_rig_join(rig, ON_SLOW_SKIP), fanout_rig_join_with(rig, &second)};
	uint64_t begin_ms = fanout_find_subscriber(&rig->fanout, second.id)->joined_ms;

	fanout_drain_rest(&rig->fanout);
	assert_int_equal(rig->closes, 0);
	fanout_drain_slowly(&rig->fanout, begin_ms, SPREAD_MS, 0);
	fanout_drain_rest(&rig->fanout);
	assert_int_equal(rig->fanout.closed[CLOSE_MOVED], 2);
	close(fds[0]);
	close(fds[1]);
}

/* A slow one gets what was there when its turn came, and is closed behind it. */
static void lets_a_slow_one_finish(void **state)
{
	struct fanout_rig *rig = *state;
	int fd = fanout_rig_join(rig, ON_SLOW_SKIP);
	uint64_t begin_ms = fanout_rig_subscriber(rig)->joined_ms, want;
	uint64_t got = 0;

	fanout_rig_block(rig);
	want = rig->raw->ring.end_pos;
	fanout_drain_slowly(&rig->fanout, begin_ms, 1, 0);
	fanout_tick(&rig->fanout, begin_ms + 1);
	assert_int_equal(rig->closes, 0);
	fanout_rig_put_packet(rig);
	for (int i = 0; i < TURNS_MAX && !rig->closes; i++) {
		got += fanout_rig_read_all(fd);
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
	}
	got += fanout_rig_read_all(fd);
	assert_int_equal(rig->reason, CLOSE_MOVED);
	assert_int_equal(got, want);
	close(fd);
}

static void tells_when_a_wait_is_over(void **state)
{
	struct fanout_rig *rig = *state;
	int fd = fanout_rig_join(rig, ON_SLOW_WAIT);

	while (!fanout_is_busy(&rig->fanout))
		fanout_rig_put_packet(rig);
	assert_true(rig->fanout.is_waiting);
	assert_int_equal(rig->metrics.wait_pauses, 1);
	assert_int_equal(rig->ready, 0);
	for (int i = 0; i < TURNS_MAX && fanout_is_busy(&rig->fanout); i++) {
		fanout_rig_read_all(fd);
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
	}
	assert_false(rig->fanout.is_waiting);
	assert_true(rig->ready >= 1);
	assert_int_equal(rig->closes + rig->skips, 0);
	close(fd);
}

// Whoever held the ring last has read on in a turn, as one who comes from a replay does.
static void a_wait_ends_with_a_turn(void **state)
{
	struct fanout_rig *rig = *state;
	const struct subscriber_params params = {.id = 2, .on_slow = ON_SLOW_WAIT};
	int fd = fanout_rig_join(rig, ON_SLOW_WAIT), other_fd = fanout_rig_join_with(rig, &params);
	struct subscriber *other = fanout_find_subscriber(&rig->fanout, params.id);

	while (!fanout_is_busy(&rig->fanout))
		fanout_rig_put_packet(rig);
	while (fanout_rig_subscriber(rig)->state != SUBSCRIBER_IDLE) {
		fanout_rig_read_all(fd);
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
	}
	assert_true(rig->fanout.is_waiting);
	while (other->state == SUBSCRIBER_BLOCKED) {
		fanout_rig_read_all(other_fd);
		subscriber_set_state(other, SUBSCRIBER_READY);
		fanout_continue_pass(&rig->fanout);
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
	}
	assert_int_equal(other->state, SUBSCRIBER_IDLE);
	assert_false(rig->fanout.is_waiting);
	assert_true(rig->ready >= 1);
	close(fd);
	close(other_fd);
}

// For stall_timeout at most.
static void keeps_what_one_that_comes_back_has_not_read(void **state)
{
	struct fanout_rig *rig = *state;
	int fd = fanout_rig_join(rig, ON_SLOW_WAIT);
	uint64_t unread;

	rig->params.stall_timeout_ms = 1000;
	while (!fanout_is_busy(&rig->fanout))
		fanout_rig_put_packet(rig);
	unread = cursor_unread_seq(&fanout_rig_subscriber(rig)->cursor);
	rendition_keep_unread(rig->raw, fanout_rig_subscriber(rig));
	subscriber_close(fanout_rig_subscriber(rig), CLOSE_REMOVED);
	fanout_tick(&rig->fanout, rig->raw->kept_ms + 999);
	assert_true(rig->fanout.is_waiting);
	assert_true(rendition_has(rig->raw, 0, unread));
	assert_int_equal(rig->ready, 0);
	fanout_tick(&rig->fanout, rig->raw->kept_ms + 1000);
	assert_false(rig->fanout.is_waiting);
	assert_false(rendition_has(rig->raw, 0, unread));
	assert_int_equal(rig->ready, 1);
	close(fd);
}

// Only when there is something to end: in a loop with thousands of feeds, most have nothing.
static void tells_when_a_turn_ends(void **state)
{
	struct fanout_rig *rig = *state;
	int fd = fanout_rig_join(rig, ON_SLOW_SKIP);

	(void)ev_run(rig->loop, EVRUN_NOWAIT);
	assert_int_equal(rig->turns, 0);
	subscriber_close(fanout_rig_subscriber(rig), CLOSE_KICKED);
	assert_false(list_is_empty(&rig->fanout.reap));
	(void)ev_run(rig->loop, EVRUN_NOWAIT);
	assert_int_equal(rig->turns, 1);
	assert_true(list_is_empty(&rig->fanout.reap));
	fanout_end_turn(&rig->fanout);
	fanout_end_turn(&rig->fanout);
	(void)ev_run(rig->loop, EVRUN_NOWAIT);
	assert_int_equal(rig->turns, 2);
	(void)ev_run(rig->loop, EVRUN_NOWAIT);
	assert_int_equal(rig->turns, 2);
	close(fd);
}

// Whoever is not served within a turn is served in the next ones, and then the next packet may
// come.
static void a_pass_goes_on(void **state)
{
	struct fanout_rig *rig = *state;
	int fds[40];

	for (int i = 0; i < 40; i++)
		fds[i] = fanout_rig_join(rig, ON_SLOW_SKIP);
	rig->params.turn_budget_ns = 0;
	fanout_rig_put_packet(rig);
	assert_true(fanout_is_busy(&rig->fanout));
	assert_int_equal(rig->ready, 0);
	for (int i = 0; i < TURNS_MAX && fanout_is_busy(&rig->fanout); i++)
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
	assert_false(fanout_is_busy(&rig->fanout));
	assert_int_equal(rig->ready, 1);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(fanout_rig_read_all(fds[i]), PACKET_BYTES);
		close(fds[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lets_go_bit_by_bit, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(lets_the_rest_go, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(lets_a_slow_one_finish, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(tells_when_a_wait_is_over, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(a_wait_ends_with_a_turn, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(keeps_what_one_that_comes_back_has_not_read,
						fanout_rig_set_up, fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(tells_when_a_turn_ends, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(a_pass_goes_on, fanout_rig_set_up,
						fanout_rig_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
