// SPDX-License-Identifier: MIT
/*
 * Subscribers who begin with what the ring does not have any more: going on from the ring without a
 * gap or a message twice, waiting for more, each way to end, and that they hold nothing up.
 *
 * What they begin with is what another framed subscriber has got, as a history has it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "fanout/fanout.h"
#include "tests/unit/feed_rig.h"
#include "tests/unit/line_rig.h"

enum {
	RING_BYTES = 100000, // and a block that is begun
	PAST = 2000,
	PACKET_BYTES = PACKET_HEADER_BYTES + LINE_BYTES,
};

static struct feed_rig rig;

// Sends what reader 0 has got behind its greeting, in pieces.
struct past {
	size_t at, piece;
	size_t stop;              // it has no more, although reader 0 has; 0: no such end
	enum replay_outcome says; // at the end or at `stop`
	unsigned seams, frees;
	bool is_cut_off;
	bool rests;
};

static enum replay_outcome send_past(void *owner, int fd, struct replay_progress *ret)
{
	struct past *past = owner;
	const struct rig_reader *from = &rig.readers[0];
	size_t end = from->size - PACKET_HEADER_BYTES;
	size_t bytes;
	ssize_t sent;

	if (past->stop && past->stop < end)
		end = past->stop;
	end -= end % PACKET_BYTES;
	bytes = size_min(end - past->at, past->piece);
	if (bytes) {
		sent = send(fd, from->bytes + PACKET_HEADER_BYTES + past->at, bytes,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0)
			return REPLAY_BLOCKED;
		ret->sent = (size_t)sent;
		past->at += (size_t)sent;
	}
	ret->place = (struct stream_place){rig.feed->publish.sequence.session,
					   past->at / PACKET_BYTES + 1};
	ret->err = EIO;
	if (past->at == end)
		return past->says;
	if (past->at % PACKET_BYTES)
		return REPLAY_MORE;
	past->seams++;
	return REPLAY_SEAM;
}

static void free_past(void *owner)
{
	((struct past *)owner)->frees++;
}

static bool is_inside_past(const void *owner)
{
	return ((const struct past *)owner)->at % PACKET_BYTES;
}

static bool past_rests(void *owner)
{
	return ((const struct past *)owner)->rests;
}

static bool is_past_cut_off(const void *owner)
{
	return ((const struct past *)owner)->is_cut_off;
}

static void capture_past(const void *owner, struct kept_replay *ret)
{
	*ret = (struct kept_replay){.place.offset = ((const struct past *)owner)->at};
}

static const struct subscriber_replay replay_past = {
	.send = send_past,
	.is_inside = is_inside_past,
	.rests = past_rests,
	.is_cut_off = is_past_cut_off,
	.capture = capture_past,
	.free = free_past,
};

// PAST lines, of which the ring has the newest; reader 0 has got all.
static void open_with_past(void)
{
	line_rig_open(&rig, ENGINE_COPY, RING_BYTES);
	line_rig_join(&rig, true, false, 0, ON_SLOW_WAIT);
	for (unsigned i = 0; i < PAST; i++)
		line_rig_publish(&rig, i, 1);
	assert_int_equal(rig.readers[0].size, PACKET_HEADER_BYTES + PAST * PACKET_BYTES);
	assert_in_range(cursor_oldest_seq(&rig.framed->ring), 500, PAST - 100);
}

static struct subscriber *join(struct past *past, enum on_slow on_slow)
{
	const struct subscriber_params params = {
		.id = 7,
		.on_slow = on_slow,
		.max_input_bytes = 1000,
		.replay = &replay_past,
		.replay_owner = past,
		.place = {rig.feed->publish.sequence.session, 1},
	};

	feed_rig_join(&rig, true, false, 0, &params);
	return feed_rig_newest(rig.framed);
}

static void check_got(size_t reader, unsigned count)
{
	uint8_t *lines = line_rig_make(0, count);
	struct rig_wire wire = feed_rig_parse(&rig.readers[reader]);

	assert_int_equal(wire.first_seq, 1);
	assert_int_equal(wire.messages, count);
	assert_int_equal(wire.gaps + wire.torn_bytes, 0);
	feed_rig_check_payload(&rig, reader, lines, (size_t)count * LINE_BYTES);
	free(wire.payload);
	free(lines);
}

static void it_goes_on_from_the_ring(void **state)
{
	static const size_t pieces[] = {7, 131, 132, 133, 1000, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct past past = {.piece = pieces[i], .says = REPLAY_AT_END};
		struct metrics metrics;

		open_with_past();
		join(&past, ON_SLOW_SKIP);
		for (unsigned k = 0; k < 20; k++)
			line_rig_publish(&rig, PAST + k, 1);
		feed_rig_settle(&rig);
		assert_int_equal(past.frees, 1);
		line_rig_publish(&rig, PAST + 20, 5);
		check_got(1, PAST + 25);
		metrics = line_rig_metrics(&rig);
		assert_int_equal(metrics.replayed_bytes, past.at);
		assert_int_equal(list_length(&rig.feed->fanout.replaying), 0);
		// It left at the first seam that the ring reaches.
		assert_true(past.at < (PAST + 20) * PACKET_BYTES);
		feed_rig_close(&rig);
	}
}

// What is written is behind what the ring has: it waits, and takes what is written then.
static void it_waits_for_more(void **state)
{
	struct past past = {.piece = 10000, .stop = 20 * PACKET_BYTES, .says = REPLAY_AT_END};
	struct subscriber *one;

	(void)state;
	open_with_past();
	one = join(&past, ON_SLOW_SKIP);
	feed_rig_settle(&rig);
	assert_int_equal(past.at, past.stop);
	assert_int_equal(one->state, SUBSCRIBER_IDLE);
	assert_int_equal(list_length(&rig.feed->fanout.replaying), 1);
	past.stop = 40 * PACKET_BYTES;
	line_rig_publish(&rig, PAST, 1); // a packet wakes it
	feed_rig_settle(&rig);
	assert_int_equal(past.at, past.stop);
	past.stop = 0;
	fanout_tick(&rig.feed->fanout, one->progress_ms); // so does a tick
	feed_rig_settle(&rig);
	assert_int_equal(past.frees, 1);
	check_got(1, PAST + 1);
	feed_rig_close(&rig);
}

// It is not to have more yet, whatever is published: no packet wakes it, and a tick only if it is
// to have more. Meanwhile it is told that the feed lives.
static void it_rests(void **state)
{
	struct past past = {
		.piece = 10000, .stop = 20 * PACKET_BYTES, .says = REPLAY_RESTS, .rests = true};
	struct subscriber *one;
	uint64_t sent;

	(void)state;
	open_with_past();
	one = join(&past, ON_SLOW_SKIP);
	one->delay_ns = 1;
	feed_rig_settle(&rig);
	assert_int_equal(past.at, past.stop);
	past.stop = 40 * PACKET_BYTES;
	line_rig_publish(&rig, PAST, 1);
	fanout_tick(&rig.feed->fanout, one->progress_ms);
	feed_rig_settle(&rig);
	assert_int_equal(past.at, 20 * PACKET_BYTES);
	assert_int_equal(one->state, SUBSCRIBER_IDLE);
	assert_int_equal(list_length(&rig.framed->resting), 1);
	sent = rig.readers[1].size;
	fanout_tick(&rig.feed->fanout, one->progress_ms + rig.feed->fanout.params->heartbeat_ms);
	feed_rig_settle(&rig);
	assert_int_equal(rig.readers[1].size - sent,
			 rig.feed->fanout.params->heartbeat_ms ? PACKET_HEADER_BYTES : 0);
	past.rests = false;
	past.stop = 0;
	past.says = REPLAY_AT_END;
	fanout_tick(&rig.feed->fanout, one->progress_ms);
	feed_rig_settle(&rig);
	assert_int_equal(past.frees, 1);
	assert_int_equal(list_length(&rig.framed->resting), 0);
	feed_rig_close(&rig);
}

static void a_slow_drain_lets_go_who_rests(void **state)
{
	struct past past = {
		.piece = 10000, .stop = 20 * PACKET_BYTES, .says = REPLAY_RESTS, .rests = true};
	struct subscriber *later, *one;
	uint64_t begin_ms;

	(void)state;
	open_with_past();
	later = feed_rig_newest(rig.framed);
	one = join(&past, ON_SLOW_SKIP);
	one->delay_ns = 1;
	feed_rig_settle(&rig);
	assert_int_equal(list_length(&rig.framed->resting), 1);
	begin_ms = one->joined_ms;
	later->joined_ms = begin_ms + 1;
	fanout_drain_slowly(&rig.feed->fanout, begin_ms, 1000, 0.5);
	assert_int_equal(line_rig_metrics(&rig).subscribers_to_go, 1);
	fanout_tick(&rig.feed->fanout, begin_ms + 501);
	feed_rig_settle(&rig);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_MOVED], 1);
	assert_int_equal(past.frees, 1);
	feed_rig_close(&rig);
}

static void each_end_has_its_reason(void **state)
{
	static const struct {
		enum replay_outcome says;
		enum close_reason reason;
		bool is_reset;
	} cases[] = {
		{REPLAY_OVER, CLOSE_UNTIL, false},
		{REPLAY_GONE, CLOSE_LAG, true},
		{REPLAY_FAILED, CLOSE_IO_ERROR, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct past past = {
			.piece = 1000, .stop = 20 * PACKET_BYTES, .says = cases[i].says};

		open_with_past();
		join(&past, ON_SLOW_SKIP);
		feed_rig_settle(&rig);
		assert_int_equal(rig.feed->fanout.closed[cases[i].reason], 1);
		assert_int_equal(past.frees, 1);
		assert_true(rig.readers[1].has_ended);
		if (!cases[i].is_reset)
			check_got(1, 20);
		feed_rig_close(&rig);
	}
}

static void who_cannot_go_on_is_closed_while_it_does_not_read(void **state)
{
	struct past past = {.piece = 100000, .says = REPLAY_AT_END};
	struct subscriber *one;

	(void)state;
	open_with_past();
	one = join(&past, ON_SLOW_SKIP);
	rig.readers[1].is_paused = true;
	fanout_tick(&rig.feed->fanout, one->progress_ms);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_LAG], 0);
	past.is_cut_off = true;
	fanout_tick(&rig.feed->fanout, one->progress_ms);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_LAG], 1);
	assert_int_equal(past.frees, 1);
	feed_rig_close(&rig);
}

// A reset over TCP, since what was to come is missing.
static void who_is_closed_on_the_way_is_reset(void **state)
{
	struct past past = {.piece = 50, .says = REPLAY_AT_END};
	struct subscriber_params params = {
		.replay = &replay_past,
		.replay_owner = &past,
	};

	(void)state;
	open_with_past();
	params.place.session = rig.feed->publish.sequence.session;
	params.place.sequence = 1;
	feed_rig_join(&rig, true, true, 0, &params);
	(void)feed_rig_turn(&rig);
	subscriber_close(feed_rig_newest(rig.framed), CLOSE_HANDOVER);
	feed_rig_settle(&rig);
	assert_int_equal(rig.feed->fanout.closed[CLOSE_HANDOVER], 1);
	assert_int_equal(past.frees, 1);
	assert_int_equal(rig.readers[1].end_errno, ECONNRESET);
	feed_rig_close(&rig);
}

// With on_slow = wait as well: it stands nowhere in the ring.
static void it_holds_nothing_up(void **state)
{
	struct past past = {.piece = 100000, .says = REPLAY_AT_END};
	struct subscriber *one;

	(void)state;
	open_with_past();
	one = join(&past, ON_SLOW_WAIT);
	rig.readers[1].is_paused = true;
	for (unsigned i = 0; i < 60; i++) // more than the ring has, too
		line_rig_publish(&rig, PAST + 50 * i, 50);
	assert_int_equal(line_rig_metrics(&rig).wait_pauses, 0);
	assert_int_equal(one->state, SUBSCRIBER_BLOCKED);
	subscriber_close(one, CLOSE_KICKED);
	assert_int_equal(past.frees, 1);
	feed_rig_close(&rig);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, feed_rig_setup, feed_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_goes_on_from_the_ring),
		TEST(it_waits_for_more),
		TEST(it_rests),
		TEST(a_slow_drain_lets_go_who_rests),
		TEST(each_end_has_its_reason),
		TEST(who_is_closed_on_the_way_is_reset),
		TEST(it_holds_nothing_up),
		TEST(who_cannot_go_on_is_closed_while_it_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
