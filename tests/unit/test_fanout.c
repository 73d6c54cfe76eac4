// SPDX-License-Identifier: MIT
/*
 * A fan-out without a feed: what it asks and what it tells whoever feeds it.  It is longer than 600 lines because
 * all its tests share the rig, which is a third of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/packet_header.h"
#include "fanout/fanout.h"
#include "fanout/fanout_parts.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"
#include "tests/unit/fd_count.h"

enum {
	RING_BYTES = 256 * 1024,
	SEGMENT_BYTES = 64 * 1024,
	PACKET_BYTES = 1000,
	TURNS_MAX = 100,
};

struct rig {
	struct ev_loop *loop;
	struct metrics metrics;
	struct pipe_set pipes;
	struct fanout_params params;
	struct fanout fanout;
	struct rendition *raw;
	struct fanout_source source; // what get_source() answers
	uint64_t next_seq;
	int fds; // open before the test

	unsigned wanted, counts, skips, closes, ready, turns;
	struct skip skip;         // the last one
	enum close_reason reason; // of the last close
	const char *cause;
};

static struct fanout_source get_source(void *owner)
{
	return ((struct rig *)owner)->source;
}

static void on_wanted(void *owner)
{
	((struct rig *)owner)->wanted++;
}

static void on_count(void *owner)
{
	((struct rig *)owner)->counts++;
}

static void on_skip(void *owner, const struct subscriber *subscriber, const struct skip *skip)
{
	struct rig *rig = owner;

	assert_int_equal(subscriber->id, 1);
	rig->skips++;
	rig->skip = *skip;
}

static void on_close(void *owner, const struct subscriber *subscriber, enum close_reason reason,
		     const char *cause)
{
	struct rig *rig = owner;

	assert_true(subscriber->fd >= 0); // it is asked before its socket is closed
	rig->closes++;
	rig->reason = reason;
	rig->cause = cause;
}

static void on_ready(void *owner)
{
	((struct rig *)owner)->ready++;
}

static void on_turn_end(void *owner)
{
	((struct rig *)owner)->turns++;
}

static void on_refused(void *owner, enum refusal refusal, bool is_first)
{
	(void)owner;
	(void)refusal;
	(void)is_first;
}

static void on_no_pipe(void *owner, int error)
{
	(void)owner;
	(void)error;
}

static int set_up(void **state)
{
	const struct pipe_set_params params = {.segment_bytes = SEGMENT_BYTES, .max_idle = 4};
	const struct ring_params ring = {
		.max_bytes = RING_BYTES,
		.max_pipes = rendition_max_pipes(RING_BYTES, SEGMENT_BYTES),
	};
	struct rig *rig = calloc(1, sizeof(*rig));
	const struct pipe_set_events pipe_events = {
		.on_refused = on_refused,
		.on_no_pipe = on_no_pipe,
	};
	struct sequence from;
	const struct fanout_events events = {
		.owner = rig,
		.get_source = get_source,
		.on_wanted = on_wanted,
		.on_count = on_count,
		.on_skip = on_skip,
		.on_close = on_close,
		.on_ready = on_ready,
		.on_turn_end = on_turn_end,
	};

	*state = rig;
	if (!rig)
		return -1;
	rig->fds = count_fds();
	rig->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	rig->params.turn_budget_ns = NS_PER_S;
	rig->source = (struct fanout_source){.session = 7, .is_up = true, .is_awake = true};
	rig->next_seq = 1;
	if (!rig->loop || pipe_set_init(&rig->pipes, &params, &pipe_events, &rig->metrics) < 0)
		return -1;
	pipe_set_open(&rig->pipes);
	fanout_init(&rig->fanout, rig->loop, "test", &rig->params, &events, &rig->pipes,
		    &rig->metrics);
	from = (struct sequence){.session = rig->source.session, .next_seq = rig->next_seq};
	rig->raw = rendition_new(&rig->fanout, &encoder_raw, &ring, &from);
	return rig->raw ? 0 : -1;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	fanout_close_all(&rig->fanout, CLOSE_REMOVED);
	fanout_clear_rendition(rig->raw, CLOSE_REMOVED);
	rendition_free(rig->raw);
	fanout_stop(&rig->fanout);
	pipe_set_fini(&rig->pipes);
	ev_loop_destroy(rig->loop);
	assert_int_equal(rig->metrics.subscribers, 0);
	assert_int_equal(count_fds(), rig->fds);
	free(rig);
	return 0;
}

// Subscriber 1; returns the reader's end.
static int join_with(struct rig *rig, const struct subscriber_params *params)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(subscriber_join(rig->raw, fds[0], params), 0);
	return fds[1];
}

static int join(struct rig *rig, enum on_slow on_slow)
{
	const struct subscriber_params params = {.id = 1, .on_slow = on_slow};

	return join_with(rig, &params);
}

static struct subscriber *subscriber_of(const struct rig *rig)
{
	return fanout_find_subscriber(&rig->fanout, 1);
}

// One packet into the ring, as whoever feeds it does.
static void put_packet(struct rig *rig)
{
	static uint8_t bytes[PACKET_BYTES];
	const struct iovec part = {bytes, sizeof(bytes)};
	const struct ring_packet packet = {
		.first_seq = rig->next_seq,
		.next_seq = rig->next_seq + 1,
		.count = 1,
		.arrived_ns = clock_mono_ns(),
	};

	assert_false(fanout_is_busy(&rig->fanout));
	memset(bytes, (int)rig->next_seq, sizeof(bytes));
	assert_int_equal(ring_append_copy(&rig->raw->ring, &part, 1, &packet, 0), 0);
	rig->next_seq++;
	rendition_trim(rig->raw);
	subscriber_wake_all(rig->raw);
	fanout_serve(&rig->fanout, clock_mono_ns());
}

static size_t read_all(int fd)
{
	uint8_t bytes[4096];
	size_t sum = 0;
	ssize_t got;

	while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		sum += (size_t)got;
	return sum;
}

// Until its socket is full.
static void block(struct rig *rig)
{
	while (subscriber_of(rig)->state != SUBSCRIBER_BLOCKED)
		put_packet(rig);
}

static void serves_who_joined(void **state)
{
	struct rig *rig = *state;
	int fd = join(rig, ON_SLOW_SKIP);

	assert_int_equal(rig->wanted, 1);
	assert_int_equal(rig->counts, 1);
	assert_int_equal(rig->metrics.subscribers, 1);
	put_packet(rig);
	put_packet(rig);
	assert_int_equal(read_all(fd), 2 * PACKET_BYTES);
	assert_int_equal(rig->metrics.delivered_bytes, 2 * PACKET_BYTES);
	assert_int_equal(rig->fanout.pass.delivered_bytes, 2 * PACKET_BYTES);
	assert_int_equal(rig->closes + rig->skips + rig->ready, 0);
	close(fd);
}

static void waits_for_packets(void **state)
{
	struct rig *rig = *state;
	int fd;

	rig->source.is_awake = false;
	fd = join(rig, ON_SLOW_SKIP);
	assert_int_equal(rig->wanted, 1);
	assert_int_equal(subscriber_of(rig)->state, SUBSCRIBER_JOINING);
	rig->source.is_awake = true;
	fanout_begin_joining(&rig->fanout);
	assert_int_equal(subscriber_of(rig)->state, SUBSCRIBER_IDLE);
	put_packet(rig);
	assert_int_equal(read_all(fd), PACKET_BYTES);
	close(fd);
}

static void takes_nobody_at_the_end(void **state)
{
	struct rig *rig = *state;
	int fd;

	rig->source.is_draining = true;
	fd = join(rig, ON_SLOW_SKIP);
	assert_int_equal(rig->closes, 1);
	assert_int_equal(rig->reason, CLOSE_DRAIN);
	assert_int_equal(rig->counts, 2);
	assert_int_equal(rig->fanout.closed[CLOSE_DRAIN], 1);
	close(fd);
}

enum {
	SPREAD_MS = 1000, /* of a slow drain */
};

/* One after the other, as their time comes; who has joined later stays, and so do all when it is taken
 * back. */
static void lets_go_bit_by_bit(void **state)
{
	enum {
		COUNT = 4,
	};
	struct rig *rig = *state;
	struct subscriber_params params = {.on_slow = ON_SLOW_SKIP};
	int fds[COUNT + 1];
	uint64_t begin_ms;

	for (params.id = 1; params.id <= COUNT + 1; params.id++)
		fds[params.id - 1] = join_with(rig, &params);
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
	struct rig *rig = *state;
	struct subscriber_params second = {.id = 2, .on_slow = ON_SLOW_SKIP};
	int fds[] = {join(rig, ON_SLOW_SKIP), join_with(rig, &second)};
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
	struct rig *rig = *state;
	int fd = join(rig, ON_SLOW_SKIP);
	uint64_t begin_ms = subscriber_of(rig)->joined_ms, want;
	uint64_t got = 0;

	block(rig);
	want = rig->raw->ring.end_pos;
	fanout_drain_slowly(&rig->fanout, begin_ms, 1, 0);
	fanout_tick(&rig->fanout, begin_ms + 1);
	assert_int_equal(rig->closes, 0);
	put_packet(rig);
	for (int i = 0; i < TURNS_MAX && !rig->closes; i++) {
		got += read_all(fd);
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
	}
	got += read_all(fd);
	assert_int_equal(rig->reason, CLOSE_MOVED);
	assert_int_equal(got, want);
	close(fd);
}

static void tells_of_a_skip(void **state)
{
	struct rig *rig = *state;
	int fd = join(rig, ON_SLOW_SKIP);
	uint64_t oldest, next;

	block(rig);
	while (!cursor_is_behind(&subscriber_of(rig)->cursor, &rig->raw->ring))
		put_packet(rig);
	rendition_range(rig->raw, &oldest, &next);
	read_all(fd);
	for (int i = 0; i < TURNS_MAX && !rig->skips; i++) {
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
		read_all(fd);
	}
	assert_int_equal(rig->skips, 1);
	assert_true(rig->skip.from < oldest);
	assert_int_equal(rig->skip.to, next);
	assert_int_equal(rig->metrics.gaps, 1);
	assert_int_equal(rig->fanout.skipped_by[rig->skip.cause], 1);
	close(fd);
}

static void join_framed(struct rig *rig, int *ret_fd)
{
	const struct ring_params ring = rig->raw->ring.params;
	const struct sequence from = {.session = rig->source.session, .next_seq = rig->next_seq};

	rendition_free(rig->raw);
	rig->raw = rendition_new(&rig->fanout, &encoder_framed, &ring, &from);
	assert_non_null(rig->raw);
	*ret_fd = join(rig, ON_SLOW_SKIP);
}

// The next header in what comes; no payload looks like one.
static struct packet_header read_header(struct rig *rig, int fd)
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
	struct rig *rig = *state;
	struct packet_header header;
	uint64_t old_end, new_begin;
	int fd;

	join_framed(rig, &fd);
	block(rig);
	for (int i = 0; i < 100; i++) // more than the block that it stands in
		put_packet(rig);
	old_end = rig->next_seq;
	new_begin = rig->next_seq += 1000;
	rig->source.session = 8;
	ring_set_sequence(&rig->raw->ring, 8, new_begin);
	while (!cursor_is_behind(&subscriber_of(rig)->cursor, &rig->raw->ring))
		put_packet(rig);
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
	struct rig *rig = *state;
	int fd = join(rig, ON_SLOW_SKIP);

	put_packet(rig);
	fanout_lose(rig->raw);
	assert_int_equal(rig->closes, 1);
	assert_int_equal(rig->reason, CLOSE_NO_MEMORY);
	close(fd);
	ring_set_sequence(&rig->raw->ring, rig->source.session, ++rig->next_seq);
	put_packet(rig);
	fd = join_with(rig, &params);
	assert_int_equal(read_all(fd), PACKET_BYTES);
	close(fd);
}

static void tells_why_it_closes(void **state)
{
	struct rig *rig = *state;
	int fd = join(rig, ON_SLOW_DISCONNECT);

	rig->params.stall_timeout_ms = 1000;
	block(rig);
	fanout_tick(&rig->fanout, subscriber_of(rig)->progress_ms + 999);
	assert_int_equal(rig->closes, 0);
	fanout_tick(&rig->fanout, subscriber_of(rig)->progress_ms + 1000);
	assert_int_equal(rig->closes, 1);
	assert_int_equal(rig->reason, CLOSE_STALLED);
	assert_non_null(rig->cause);
	assert_null(subscriber_of(rig));
	close(fd);
}

static void tells_when_a_wait_is_over(void **state)
{
	struct rig *rig = *state;
	int fd = join(rig, ON_SLOW_WAIT);

	while (!fanout_is_busy(&rig->fanout))
		put_packet(rig);
	assert_true(rig->fanout.is_waiting);
	assert_int_equal(rig->metrics.wait_pauses, 1);
	assert_int_equal(rig->ready, 0);
	for (int i = 0; i < TURNS_MAX && fanout_is_busy(&rig->fanout); i++) {
		read_all(fd);
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
	struct rig *rig = *state;
	const struct subscriber_params params = {.id = 2, .on_slow = ON_SLOW_WAIT};
	int fd = join(rig, ON_SLOW_WAIT), other_fd = join_with(rig, &params);
	struct subscriber *other = fanout_find_subscriber(&rig->fanout, params.id);

	while (!fanout_is_busy(&rig->fanout))
		put_packet(rig);
	while (subscriber_of(rig)->state != SUBSCRIBER_IDLE) {
		read_all(fd);
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
	}
	assert_true(rig->fanout.is_waiting);
	while (other->state == SUBSCRIBER_BLOCKED) {
		read_all(other_fd);
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
	struct rig *rig = *state;
	int fd = join(rig, ON_SLOW_WAIT);
	uint64_t unread;

	rig->params.stall_timeout_ms = 1000;
	while (!fanout_is_busy(&rig->fanout))
		put_packet(rig);
	unread = cursor_unread_seq(&subscriber_of(rig)->cursor);
	rendition_keep_unread(rig->raw, subscriber_of(rig));
	subscriber_close(subscriber_of(rig), CLOSE_REMOVED);
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
	struct rig *rig = *state;
	int fd = join(rig, ON_SLOW_SKIP);

	(void)ev_run(rig->loop, EVRUN_NOWAIT);
	assert_int_equal(rig->turns, 0);
	subscriber_close(subscriber_of(rig), CLOSE_KICKED);
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

// Whoever is not served within a turn is served in the next ones, and then the next packet may come.
static void a_pass_goes_on(void **state)
{
	struct rig *rig = *state;
	int fds[40];

	for (int i = 0; i < 40; i++)
		fds[i] = join(rig, ON_SLOW_SKIP);
	rig->params.turn_budget_ns = 0;
	put_packet(rig);
	assert_true(fanout_is_busy(&rig->fanout));
	assert_int_equal(rig->ready, 0);
	for (int i = 0; i < TURNS_MAX && fanout_is_busy(&rig->fanout); i++)
		(void)ev_run(rig->loop, EVRUN_NOWAIT);
	assert_false(fanout_is_busy(&rig->fanout));
	assert_int_equal(rig->ready, 1);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(read_all(fds[i]), PACKET_BYTES);
		close(fds[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(serves_who_joined, set_up, tear_down),
		cmocka_unit_test_setup_teardown(waits_for_packets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(takes_nobody_at_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lets_go_bit_by_bit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lets_the_rest_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lets_a_slow_one_finish, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_of_a_skip, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_what_a_skip_misses_of_each_session, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(has_no_past_before_a_loss, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_why_it_closes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tells_when_a_wait_is_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_wait_ends_with_a_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_what_one_that_comes_back_has_not_read, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(tells_when_a_turn_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_pass_goes_on, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
