// SPDX-License-Identifier: MIT
/* A fan-out without a feed: what it asks and what it tells whoever feeds it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/packet_header.h"
#include "tests/unit/fanout_rig.h"

static void serves_who_joined(void **state)
{
	struct fanout_rig *rig = *state;
	int fd = fanout_rig_join(rig, ON_SLOW_SKIP);

	assert_int_equal(rig->wanted, 1);
	assert_int_equal(rig->counts, 1);
	assert_int_equal(rig->metrics.subscribers, 1);
	fanout_rig_put_packet(rig);
	fanout_rig_put_packet(rig);
	assert_int_equal(fanout_rig_read_all(fd), 2 * PACKET_BYTES);
	assert_int_equal(rig->metrics.delivered_bytes, 2 * PACKET_BYTES);
	assert_int_equal(rig->fanout.pass.delivered_bytes, 2 * PACKET_BYTES);
	assert_int_equal(rig->closes + rig->skips + rig->ready, 0);
	close(fd);
}

static void waits_for_packets(void **state)
{
	struct fanout_rig *rig = *state;
	int fd;

	rig->source.is_awake = false;
	fd = fanout_rig_join(rig, ON_SLOW_SKIP);
	assert_int_equal(rig->wanted, 1);
	assert_int_equal(fanout_rig_subscriber(rig)->state, SUBSCRIBER_JOINING);
	rig->source.is_awake = true;
	fanout_begin_joining(&rig->fanout);
	assert_int_equal(fanout_rig_subscriber(rig)->state, SUBSCRIBER_IDLE);
	fanout_rig_put_packet(rig);
	assert_int_equal(fanout_rig_read_all(fd), PACKET_BYTES);
	close(fd);
}

static void takes_nobody_at_the_end(void **state)
{
	struct fanout_rig *rig = *state;
	int fd;

	rig->source.is_draining = true;
	fd = fanout_rig_join(rig, ON_SLOW_SKIP);
	assert_int_equal(rig->closes, 1);
	assert_int_equal(rig->reason, CLOSE_DRAIN);
	assert_int_equal(rig->counts, 2);
	assert_int_equal(rig->fanout.closed[CLOSE_DRAIN], 1);
	close(fd);
}

static void tells_of_a_skip(void **state)
{
	struct fanout_rig *rig = *state;
	int fd = fanout_rig_join(rig, ON_SLOW_SKIP);
	uint64_t oldest, next;

	fanout_rig_block(rig);
	while (!cursor_is_behind(&fanout_rig_subscriber(rig)->cursor, &rig->raw->ring))
		fanout_rig_put_packet(rig);
	rendition_range(rig->raw, &oldest, &next);
	fanout_rig_read_all(fd);
	for (int i = 0; i < TURNS_MAX && !rig->skips; i++) {
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
		fanout_rig_read_all(fd);
	}
	assert_int_equal(rig->skips, 1);
	assert_true(rig->skip.from < oldest);
	assert_int_equal(rig->skip.to, next);
	assert_int_equal(rig->metrics.gaps, 1);
	assert_int_equal(rig->fanout.skipped_by[rig->skip.cause], 1);
	close(fd);
}

static void join_framed(struct fanout_rig *rig, int *ret_fd)
{
	const struct ring_params ring = rig->raw->ring.params;
	const struct sequence from = {.session = rig->source.session, .next_seq = rig->next_seq};

	rendition_free(rig->raw);
	rig->raw = rendition_new(&rig->fanout, &encoder_framed, &ring, &from);
	assert_non_null(rig->raw);
	*ret_fd = fanout_rig_join(rig, ON_SLOW_SKIP);
}

// The next header in what comes; no payload looks like one.
static struct packet_header read_header(struct fanout_rig *rig, int fd)
{
	uint8_t bytes[PACKET_HEADER_BYTES] = {0};
	struct packet_header header = {.session = 0};

	for (int turns = 0; turns < TURNS_MAX;) {
		if (recv(fd, bytes + sizeof(bytes) - 1, 1, MSG_DONTWAIT) < 1) {
			(void)ev_run(rig->loop, EVRUN_NOWAIT);
			turns++;
			continue;
		}
		if (packet_header_decode(bytes, &header) == 0)
			return header;
		memmove(bytes, bytes + 1, sizeof(bytes) - 1);
	}
	fail_msg("no header");
	return header;
}

// The end of the session that was read, and the beginning of the one that runs.
static void tells_what_a_skip_misses_of_each_session(void **state)
{
	struct fanout_rig *rig = *state;
	struct packet_header header;
	uint64_t old_end, new_begin;
	int fd;

	join_framed(rig, &fd);
	fanout_rig_block(rig);
	for (int i = 0; i < 100; i++) // more than the block that it stands in
		fanout_rig_put_packet(rig);
	old_end = rig->next_seq;
	new_begin = rig->next_seq += 1000;
	rig->source.session = 8;
	ring_set_sequence(&rig->raw->ring, 8, new_begin);
	while (!cursor_is_behind(&fanout_rig_subscriber(rig)->cursor, &rig->raw->ring))
		fanout_rig_put_packet(rig);
	header = read_header(rig, fd);
	assert_int_equal(header.type, PACKET_HEARTBEAT);
	assert_int_equal(header.session, 7);
	assert_int_equal(header.sequence, 1);
	header = read_header(rig, fd);
	assert_int_equal(header.type, PACKET_GAP);
	assert_int_equal(header.session, 7);
	assert_in_range(header.sequence, 2, old_end - 1);
	assert_int_equal(header.time, old_end);
	header = read_header(rig, fd);
	assert_int_equal(header.type, PACKET_GAP);
	assert_int_equal(header.session, 8);
	assert_int_equal(header.sequence, new_begin);
	assert_int_equal(header.time, rig->next_seq);
	assert_int_equal(rig->skips, 1);
	assert_int_equal(rig->metrics.gaps, 1);
	close(fd);
}

// Nobody may read over a hole that nobody is told of.
static void has_no_past_before_a_loss(void **state)
{
	const struct subscriber_params params = {.id = 1, .burst_bytes = RING_BYTES};
	struct fanout_rig *rig = *state;
	int fd = fanout_rig_join(rig, ON_SLOW_SKIP);

	fanout_rig_put_packet(rig);
	fanout_lose(rig->raw);
	assert_int_equal(rig->closes, 1);
	assert_int_equal(rig->reason, CLOSE_NO_MEMORY);
	close(fd);
	ring_set_sequence(&rig->raw->ring, rig->source.session, ++rig->next_seq);
	fanout_rig_put_packet(rig);
	fd = fanout_rig_join_with(rig, &params);
	assert_int_equal(fanout_rig_read_all(fd), PACKET_BYTES);
	close(fd);
}

static void tells_why_it_closes(void **state)
{
	struct fanout_rig *rig = *state;
	int fd = fanout_rig_join(rig, ON_SLOW_DISCONNECT);

	rig->params.stall_timeout_ms = 1000;
	fanout_rig_block(rig);
	fanout_tick(&rig->fanout, fanout_rig_subscriber(rig)->progress_ms + 999);
	assert_int_equal(rig->closes, 0);
	fanout_tick(&rig->fanout, fanout_rig_subscriber(rig)->progress_ms + 1000);
	assert_int_equal(rig->closes, 1);
	assert_int_equal(rig->reason, CLOSE_STALLED);
	assert_non_null(rig->cause);
	assert_null(fanout_rig_subscriber(rig));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(serves_who_joined, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(waits_for_packets, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(takes_nobody_at_the_end, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(tells_of_a_skip, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(tells_what_a_skip_misses_of_each_session,
						fanout_rig_set_up, fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(has_no_past_before_a_loss, fanout_rig_set_up,
						fanout_rig_tear_down),
		cmocka_unit_test_setup_teardown(tells_why_it_closes, fanout_rig_set_up,
						fanout_rig_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
