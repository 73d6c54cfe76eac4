// SPDX-License-Identifier: MIT
/* Replays in every format but framed: the same bytes as packet by packet, however little the socket
 * takes; and gaps, where the format can tell them or not.  Another process goes on in the
 * middle of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "history/history.h"
#include "tests/unit/replay_rig.h"

static const struct framing_params no_framing = {.kind = FRAMING_NONE};

static void check(struct history_rig *rig, struct history *history, enum format format,
		  bool passes_gaps)
{
	const struct replay_format wanted = {
		.encoder = encoder_of(format),
		.framing = &no_framing,
		.passes_gaps = passes_gaps,
	};
	const struct replay_range all = {.has_from = true};
	struct replay_rig_sent sent, expected;
	struct stream_place place;
	struct replay *replay;
	int ends[2];

	replay_rig_open_pair(ends);
	assert_int_equal(replay_rig_open(history, &all, &wanted, &replay, &place), 0);
	replay_rig_send_all(replay, ends, &sent);
	replay_rig_drop_begin(&wanted, &sent);
	replay_rig_encode(rig, &wanted, &expected);
	assert_int_equal(sent.outcome, expected.outcome);
	assert_int_equal(sent.missed, expected.missed);
	assert_int_equal(sent.count, expected.count);
	assert_memory_equal(sent.bytes, expected.bytes, sent.count);
	assert_false(replay_of_history.is_inside(replay));
	if (sent.outcome == REPLAY_AT_END)
		assert_int_equal(sent.place.sequence, rig->next_seq);
	replay_free(replay);
	free(sent.bytes);
	free(expected.bytes);
}

static void it_is_as_packet_by_packet(void **state)
{
	struct history_rig *rig = *state;
	struct history_found found;
	struct history *history;

	rig->params.max_file_bytes = 1 << 30;
	history_rig_add(rig, 1 << 20);
	history_rig_record(rig);
	history = history_rig_open(rig, &found);
	for (int i = 0; i < FORMAT_COUNT; i++) {
		if (i == FORMAT_FRAMED)
			continue;
		check(rig, history, (enum format)i, true);
		check(rig, history, (enum format)i, false);
	}
	history_close(&history);
}

// --- another process goes on

struct handed {
	struct history *history;
	struct replay_format format;
	struct replay *replay;
	int ends[2];
	struct replay_rig_sent got;
};

// One call, and all that came of it.  Returns how many bytes the socket took.
static size_t send_once(struct handed *handed)
{
	struct replay_progress progress = {0};
	struct replay_rig_sent *got = &handed->got;
	size_t before = got->count;
	ssize_t bytes;

	got->outcome = replay_of_history.send(handed->replay, handed->ends[0], &progress);
	got->missed += progress.missed;
	while ((bytes = recv(handed->ends[1], got->bytes + got->count,
			     REPLAY_RIG_BYTES - got->count, 0)) > 0)
		got->count += (size_t)bytes;
	assert_int_equal(got->count - before, progress.sent);
	assert_true(got->outcome != REPLAY_FAILED);
	return progress.sent;
}

// Nothing waits for the disk before the next call.
static void check_nothing_is_open(struct history *history)
{
	struct list_node *node;

	list_for_each (&history->files, node)
		assert_int_equal(history_file_at(node)->fd, -1);
}

// The next process knows either where it is, or where it was before the call, and what the socket
// has got since.
static void hand_over(struct handed *handed, const struct kept_replay *before, size_t sent,
		      bool is_crash)
{
	struct kept_replay kept = *before;

	if (is_crash)
		kept.place.sent += sent;
	else
		replay_of_history.capture(handed->replay, &kept);
	replay_free(handed->replay);
	assert_int_equal(replay_resume(handed->history, &kept, &handed->format, &handed->replay),
			 0);
	check_nothing_is_open(handed->history);
}

static void send_in_steps(struct handed *handed, const struct replay_rig_sent *expected,
			  unsigned each)
{
	const struct replay_range all = {.has_from = true};
	struct stream_place place;

	handed->got = (struct replay_rig_sent){.bytes = malloc(REPLAY_RIG_BYTES)};
	replay_rig_open_pair(handed->ends);
	assert_int_equal(
		replay_rig_open(handed->history, &all, &handed->format, &handed->replay, &place),
		0);
	for (unsigned step = 1; handed->got.outcome != REPLAY_AT_END; step++) {
		struct kept_replay before;
		size_t sent;

		replay_of_history.capture(handed->replay, &before);
		sent = send_once(handed);
		assert_memory_equal(handed->got.bytes + handed->got.count - sent,
				    expected->bytes + handed->got.count - sent, sent);
		// A gap that cannot be told has ended it.
		if (handed->got.outcome == REPLAY_GONE)
			break;
		if (step % each == 0)
			hand_over(handed, &before, sent, step / each % 2);
		assert_true(step < 100000);
	}
	assert_int_equal(handed->got.count, expected->count);
	assert_int_equal(handed->got.outcome, expected->outcome);
	assert_false(handed->got.outcome == REPLAY_AT_END &&
		     replay_of_history.is_inside(handed->replay));
	replay_free(handed->replay);
	fd_close(&handed->ends[0]);
	fd_close(&handed->ends[1]);
	free(handed->got.bytes);
}

static void send_whole(struct history *history, const struct replay_format *format,
		       struct replay_rig_sent *ret)
{
	const struct replay_range all = {.has_from = true};
	struct stream_place place;
	struct replay *replay;
	int ends[2];

	replay_rig_open_pair(ends);
	assert_int_equal(replay_rig_open(history, &all, format, &replay, &place), 0);
	replay_rig_send_all(replay, ends, ret);
	replay_free(replay);
}

static void another_process_goes_on_at_the_next_byte(void **state)
{
	struct history_rig *rig = *state;
	struct history_found found;
	struct handed handed;

	rig->params.max_file_bytes = 150000;
	history_rig_add(rig, 1 << 19);
	history_rig_record(rig);
	handed.history = history_rig_open(rig, &found);
	assert_true(found.files > 2);
	for (int i = 0; i < 2 * FORMAT_COUNT; i++) {
		struct replay_rig_sent expected;

		handed.format = (struct replay_format){encoder_of((enum format)(i / 2)),
						       &no_framing, i % 2};
		send_whole(handed.history, &handed.format, &expected);
		send_in_steps(&handed, &expected, 1);
		send_in_steps(&handed, &expected, 7);
		free(expected.bytes);
	}
	history_close(&handed.history);
}

// Bytes that are not there, and those of another folder, are not made up.
static void a_place_that_is_not_there_is_refused(void **state)
{
	struct history_rig *rig = *state;
	const struct replay_range all = {.has_from = true};
	const struct replay_format format = {encoder_of(FORMAT_RAW), &no_framing, true};
	struct kept_replay kept, wrong;
	struct history_found found;
	struct stream_place place;
	struct handed handed = {.format = format, .got = {.bytes = NULL}};

	history_rig_add(rig, 1 << 18);
	history_rig_record(rig);
	handed.history = history_rig_open(rig, &found);
	assert_int_equal(replay_rig_open(handed.history, &all, &format, &handed.replay, &place), 0);
	replay_of_history.capture(handed.replay, &kept);
	replay_free(handed.replay);
	wrong = kept;
	wrong.inode++;
	assert_int_equal(replay_resume(handed.history, &wrong, &format, &handed.replay), -ERANGE);
	wrong = kept;
	wrong.device++;
	assert_int_equal(replay_resume(handed.history, &wrong, &format, &handed.replay), -ERANGE);
	wrong = kept;
	wrong.place.file += 1000;
	assert_int_equal(replay_resume(handed.history, &wrong, &format, &handed.replay), -ERANGE);
	wrong = kept;
	wrong.place.offset = UINT64_MAX;
	assert_int_equal(replay_resume(handed.history, &wrong, &format, &handed.replay), -ERANGE);
	// Only the bytes of packets can say that there are not so many.
	wrong = kept;
	wrong.place.sent = UINT64_MAX;
	assert_int_equal(replay_resume(handed.history, &wrong, &format, &handed.replay), 0);
	replay_rig_open_pair(handed.ends);
	replay_rig_send_all(handed.replay, handed.ends, &handed.got);
	assert_int_equal(handed.got.outcome, REPLAY_FAILED);
	assert_int_equal(handed.got.err, EBADMSG);
	assert_int_equal(handed.got.count, 0);
	free(handed.got.bytes);
	replay_free(handed.replay);
	// That its file has gone shows when it is opened.
	assert_int_equal(replay_resume(handed.history, &kept, &handed.format, &handed.replay), 0);
	assert_int_equal(history_folder_unlink(handed.history->folder.fd, kept.place.file), 0);
	replay_rig_open_pair(handed.ends);
	replay_rig_send_all(handed.replay, handed.ends, &handed.got);
	assert_int_equal(handed.got.outcome, REPLAY_GONE);
	assert_int_equal(handed.got.count, 0);
	free(handed.got.bytes);
	replay_free(handed.replay);
	history_close(&handed.history);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, history_rig_begin, history_rig_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_as_packet_by_packet),
		TEST(another_process_goes_on_at_the_next_byte),
		TEST(a_place_that_is_not_there_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
