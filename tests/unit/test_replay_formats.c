// SPDX-License-Identifier: MIT
/* Replays in every format but framed: the same bytes as packet by packet, however little the socket
 * takes; and gaps, where the format can tell them or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

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
	assert_int_equal(replay_open(history, &all, &wanted, &replay, &place), 0);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, history_rig_begin, history_rig_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_is_as_packet_by_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
