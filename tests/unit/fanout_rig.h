// SPDX-License-Identifier: MIT
/*
 * What the tests of a fan-out without a feed share: a fan-out with one raw rendition, and what it
 * asks and tells whoever feeds it.
 *
 * Every function fails the running test when something is not as it should be.
 */
#ifndef TESTS_UNIT_FANOUT_RIG_H
#define TESTS_UNIT_FANOUT_RIG_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

#include "fanout/fanout.h"
#include "fanout/rendition.h"
#include "fanout/subscriber.h"

enum {
	RING_BYTES = 256 * 1024,
	SEGMENT_BYTES = 64 * 1024,
	PACKET_BYTES = 1000,
	TURNS_MAX = 100,
};

struct fanout_rig {
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

/* For cmocka's setup and teardown: *state is a struct fanout_rig. */
int fanout_rig_set_up(void **state);
int fanout_rig_tear_down(void **state);

/* Joins a subscriber of the raw rendition; returns the reader's end.  fanout_rig_join(): number
 * 1. */
int fanout_rig_join_with(struct fanout_rig *rig, const struct subscriber_params *params);
int fanout_rig_join(struct fanout_rig *rig, enum on_slow on_slow);

/* Number 1. */
struct subscriber *fanout_rig_subscriber(const struct fanout_rig *rig);

/* One packet into the ring, as whoever feeds it does.  The fan-out is not busy. */
void fanout_rig_put_packet(struct fanout_rig *rig);

/* Takes what there is; returns how many bytes. */
size_t fanout_rig_read_all(int fd);

/* Packets until number 1's socket is full. */
void fanout_rig_block(struct fanout_rig *rig);

#endif
