// SPDX-License-Identifier: MIT
/* Replays: what comes out of a socket is what was written, from any moment on, in pieces of
 * whatever size the socket takes; and where it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fd.h"
#include "history/history.h"
#include "history/replay.h"
#include "tests/unit/replay_rig.h"

static const struct replay_format as_it_lies = {.encoder = &encoder_framed};

// All that a replay sends; heartbeats that files begin with are left out.
struct sent {
	uint8_t *bytes;
	size_t count;
	enum replay_outcome outcome; // the last one
	struct stream_place place;
};

static size_t drop_heartbeats(uint8_t *bytes, size_t count)
{
	size_t kept = 0;

	for (size_t at = 0; at < count;) {
		struct packet_header header;
		size_t whole;

		assert_true(count - at >= PACKET_HEADER_BYTES);
		assert_int_equal(packet_header_decode(bytes + at, &header), 0);
		whole = PACKET_HEADER_BYTES + header.length;
		if (header.type != PACKET_HEARTBEAT) {
			memmove(bytes + kept, bytes + at, whole);
			kept += whole;
		}
		at += whole;
	}
	return kept;
}

// Until it has no more, or says `last`.
static struct sent send_until(struct replay *replay, enum replay_outcome last)
{
	struct sent sent = {.bytes = malloc(2 * HISTORY_RIG_STREAM_BYTES), .outcome = REPLAY_MORE};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			 0);
	while (sent.outcome != REPLAY_AT_END && sent.outcome != REPLAY_OVER &&
	       sent.outcome != last) {
		struct replay_progress progress = {0};
		ssize_t got;

		sent.outcome = replay_of_history.send(replay, ends[0], &progress);
		sent.place = progress.place;
		assert_true(sent.outcome != REPLAY_FAILED && sent.outcome != REPLAY_GONE);
		while ((got = recv(ends[1], sent.bytes + sent.count,
				   2 * HISTORY_RIG_STREAM_BYTES - sent.count, 0)) > 0)
			sent.count += (size_t)got;
	}
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	sent.count = drop_heartbeats(sent.bytes, sent.count);
	return sent;
}

static struct sent send_all(struct replay *replay)
{
	return send_until(replay, REPLAY_AT_END);
}

// The stream from packet `first` on, and before packet `end`, without heartbeats.
static void check(const struct history_rig *rig, struct sent *sent, size_t first, size_t end)
{
	size_t from = first < rig->count ? rig->packets[first].offset : rig->bytes;
	size_t to = end < rig->count ? rig->packets[end].offset : rig->bytes;
	uint8_t *expected = malloc(to - from + 1);
	size_t count;

	memcpy(expected, rig->stream + from, to - from);
	count = drop_heartbeats(expected, to - from);
	assert_int_equal(sent->count, count);
	assert_memory_equal(sent->bytes, expected, count);
	free(expected);
	free(sent->bytes);
}

/* So much more of the feed, recorded, as it is opened then. */
static struct history *recorded(struct history_rig *rig, size_t bytes)
{
	struct history_found found;

	history_rig_add(rig, bytes);
	history_rig_record(rig);
	return history_rig_open(rig, &found);
}

static void it_sends_what_was_written(void **state)
{
	struct history_rig *rig = *state;
	struct stream_place place;
	struct history *history;
	struct replay *replay;
	struct sent sent;

	rig->params.max_file_bytes = 1 << 20;
	history = recorded(rig, 4 << 20);
	for (size_t i = 0; i < rig->count; i += 1 + rig->count / 20) {
		const struct packet_header *header = &rig->packets[i].header;
		struct replay_range range = {
			.has_from = true,
			.session = i % 2 ? header->session : 0,
			.sequence = header->sequence,
		};

		if (header->type != PACKET_DATA || rig->packets[i].is_continued)
			continue;
		assert_int_equal(replay_rig_open(history, &range, &as_it_lies, &replay, &place), 0);
		assert_int_equal(place.session, header->session);
		assert_int_equal(place.sequence, header->sequence);
		sent = send_all(replay);
		assert_int_equal(sent.outcome, REPLAY_AT_END);
		assert_int_equal(sent.place.sequence, rig->next_seq);
		check(rig, &sent, i, rig->count);
		replay_free(replay);
	}
	history_close(&history);
}

static void it_begins_with_the_oldest_if_asked(void **state)
{
	const struct replay_range oldest = {.has_from = true}, since = {.since_ns = 1},
				  burst = {.since_ns = 1, .may_miss = true};
	const struct replay_range *const ranges[] = {&oldest, &burst};
	struct history_rig *rig = *state;
	struct history_found found;
	struct stream_place place;
	struct history *history;
	struct replay *replay;
	struct sent sent;

	history = history_rig_open(rig, &found);
	assert_int_equal(replay_rig_open(history, &oldest, &as_it_lies, &replay, &place), -EAGAIN);
	history_close(&history);
	rig->next_seq = 1000; // not the first of its session
	history = recorded(rig, 1 << 20);
	assert_int_equal(replay_rig_open(history, &since, &as_it_lies, &replay, &place), -ERANGE);
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		assert_int_equal(replay_rig_open(history, ranges[i], &as_it_lies, &replay, &place),
				 0);
		assert_int_equal(place.sequence, 1000);
		sent = send_all(replay);
		check(rig, &sent, 0, rig->count);
		replay_free(replay);
	}
	history_close(&history);
}

// The first packet that starts a message and came later than `time_ns`.
static size_t first_later(const struct history_rig *rig, uint64_t time_ns)
{
	uint64_t now_ns = 0; // it never goes back

	for (size_t i = 0; i < rig->count; i++) {
		const struct packet_header *header = &rig->packets[i].header;

		if (header->type != PACKET_GAP)
			now_ns = u64_max(now_ns, header->time);
		if (now_ns > time_ns && !rig->packets[i].is_continued)
			return i;
	}
	return rig->count;
}

// The bytes, without heartbeats, of what came at `time_ns` or before; a message may be cut.
static size_t bytes_until(const struct history_rig *rig, uint64_t time_ns)
{
	uint64_t now_ns = 0; // it never goes back
	size_t bytes = 0;

	for (size_t i = 0; i < rig->count; i++) {
		const struct packet_header *header = &rig->packets[i].header;

		if (header->type != PACKET_GAP)
			now_ns = u64_max(now_ns, header->time);
		if (now_ns > time_ns)
			break;
		if (header->type != PACKET_HEARTBEAT)
			bytes += PACKET_HEADER_BYTES + header->length;
	}
	return bytes;
}

// By the time of the packets, also within a message, and it rests then.  Time goes on meanwhile.
static void what_is_too_young_waits(void **state)
{
	struct history_rig *rig = *state;
	struct stream_place place;
	struct history *history;

	rig->params.max_file_bytes = 1 << 20;
	history = recorded(rig, 3 << 20);
	for (size_t i = 0; i < rig->count; i += 1 + rig->count / 10) {
		uint64_t begun_ns = clock_wall_ns();
		struct replay_range range = {
			.has_from = true,
			.delay_ns = begun_ns - rig->packets[i].header.time,
		};
		struct replay *replay;
		struct sent sent;

		if (rig->packets[i].header.type != PACKET_DATA)
			continue;
		assert_int_equal(replay_rig_open(history, &range, &as_it_lies, &replay, &place), 0);
		sent = send_until(replay, REPLAY_RESTS);
		assert_int_equal(sent.outcome, REPLAY_RESTS);
		assert_in_range(sent.count, bytes_until(rig, rig->packets[i].header.time),
				bytes_until(rig, clock_wall_ns() - range.delay_ns));
		free(sent.bytes);
		replay_free(replay);
	}
	assert_true(list_is_empty(&history->delays));
	history_close(&history);
}

static void it_ends_by_time(void **state)
{
	struct history_rig *rig = *state;
	struct stream_place place;
	struct history *history;
	struct replay *replay;
	struct sent sent;

	rig->params.max_file_bytes = 1 << 20;
	history = recorded(rig, 3 << 20);
	for (size_t i = 0; i < rig->count; i += 1 + rig->count / 10) {
		struct replay_range range = {
			.has_from = true,
			.until_ns = rig->packets[i].header.time,
		};
		size_t end;

		if (rig->packets[i].header.type != PACKET_DATA)
			continue;
		end = first_later(rig, range.until_ns);
		assert_int_equal(replay_rig_open(history, &range, &as_it_lies, &replay, &place), 0);
		sent = send_all(replay);
		assert_int_equal(sent.outcome, end < rig->count ? REPLAY_OVER : REPLAY_AT_END);
		check(rig, &sent, 0, end);
		replay_free(replay);
	}
	history_close(&history);
}

static void it_sends_no_faster_than_it_may(void **state)
{
	// A tenth of a second's worth, or a block, which is owed then.
	static const struct {
		enum format format;
		uint64_t rate;
		uint64_t least, most;
		bool rests; // for a second at least
	} rows[] = {
		{FORMAT_FRAMED, 1000, 100, 101, false},
		{FORMAT_FRAMED, 1, 1, 1, true},
		{FORMAT_HTTP, 1000, 100, 1 << 18, true},
	};
	struct history_rig *rig = *state;
	struct history *history = recorded(rig, 1 << 20);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct replay_range range = {.has_from = true, .rate = rows[i].rate};
		const struct replay_format format = {.encoder = encoder_of(rows[i].format)};
		struct replay_progress first = {0}, second = {0};
		struct stream_place place;
		struct replay *replay;
		int ends[2];

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			0);
		assert_int_equal(replay_rig_open(history, &range, &format, &replay, &place), 0);
		assert_int_equal(replay_of_history.send(replay, ends[0], &first), REPLAY_MORE);
		assert_in_range(first.sent, rows[i].least, rows[i].most);
		if (rows[i].rests) {
			assert_int_equal(replay_of_history.send(replay, ends[0], &second),
					 REPLAY_RESTS);
			assert_int_equal(second.sent, 0);
		}
		replay_free(replay);
		fd_close(&ends[0]);
		fd_close(&ends[1]);
	}
	history_close(&history);
}

static void what_is_not_there_is_told(void **state)
{
	struct history_rig *rig = *state;
	struct replay_range range = {.has_from = true};
	struct stream_place place;
	struct history *history;
	struct replay *replay;

	rig->next_seq = 1000;
	history = recorded(rig, 1 << 20);
	range.sequence = 999;
	assert_int_equal(replay_rig_open(history, &range, &as_it_lies, &replay, &place), -ERANGE);
	range.sequence = rig->next_seq + 1;
	assert_int_equal(replay_rig_open(history, &range, &as_it_lies, &replay, &place), -EAGAIN);
	range.session = HISTORY_RIG_SESSION + 1;
	assert_int_equal(replay_rig_open(history, &range, &as_it_lies, &replay, &place), -EAGAIN);
	range = (struct replay_range){.has_from = true, .sequence = rig->next_seq};
	assert_int_equal(replay_rig_open(history, &range, &as_it_lies, &replay, &place), 0);
	assert_int_equal(place.session, HISTORY_RIG_SESSION);
	assert_int_equal(place.sequence, rig->next_seq);
	replay_free(replay);
	history_close(&history);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, history_rig_begin, history_rig_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_sends_what_was_written),      TEST(it_begins_with_the_oldest_if_asked),
		TEST(what_is_too_young_waits),        TEST(it_ends_by_time),
		TEST(it_sends_no_faster_than_it_may), TEST(what_is_not_there_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
