// SPDX-License-Identifier: MIT
/*
 * What the tests of replays share: all that one sends, into a socket with little room; and what
 * each format makes of a stream, packet by packet.
 *
 * Every function fails the running test when something is not as it should be.
 */
#ifndef TESTS_UNIT_REPLAY_RIG_H
#define TESTS_UNIT_REPLAY_RIG_H

#include "history/replay.h"
#include "tests/unit/history_rig.h"

enum {
	REPLAY_RIG_BYTES = 4 * HISTORY_RIG_STREAM_BYTES,
};

struct replay_rig_sent {
	uint8_t *bytes;
	size_t count;
	uint64_t missed;
	enum replay_outcome outcome; // the last one
	struct stream_place place;
	int err;
};

/* A replay of what the range says, looked up at once.  ret_place: of the first packet.  0,
 * or as replay_find_start(). */
must_check int replay_rig_open(struct history *history, const struct replay_range *range,
			       const struct replay_format *format, struct replay **ret,
			       struct stream_place *ret_place);

/* A socket pair for it: ret[0] is the replay's. */
void replay_rig_open_pair(int ret[2]);

/* Until it is at the end, over, or has failed.  ret->bytes is the caller's. */
void replay_rig_send_all(struct replay *replay, int ends[2], struct replay_rig_sent *ret);

/* The stream in the format, which is not framed, without heartbeats, but where its unit is framed.
 * stops_at_gap: only what comes before a gap that cannot be told.  ret->outcome: how it ends. */
void replay_rig_encode(const struct history_rig *rig, const struct replay_format *format,
		       struct replay_rig_sent *ret);

/* The heartbeat that the file begins with is left out, where the format tells it. */
void replay_rig_drop_begin(const struct replay_format *format, struct replay_rig_sent *sent);

#endif
