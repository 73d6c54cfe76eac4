// SPDX-License-Identifier: MIT
/*
 * An intake without a feed: a publisher that writes into a socket, and a sink that keeps what it is
 * given.  Every function fails the running test when something is not as it should be.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake/intake.h"

enum {
	INTAKE_RIG_ROOM = 1 << 20,
	INTAKE_RIG_COPY_BELOW = 8192, // with engine = auto
	INTAKE_RIG_COMPACT_READERS = 3,
};

struct intake_rig {
	struct intake intake;
	struct pipe_set pipes;
	struct metrics metrics;
	struct source source;
	int publisher_fd;
	bool refuses; // the sink has had everything before

	// What the sink got.
	struct packet last;
	enum payload_kind kind;
	enum engine engine;
	unsigned carried[ENGINE_COUNT]; // packets, by engine
	unsigned packets, news;
	uint8_t bytes[INTAKE_RIG_ROOM];
	size_t length;
};

// ENGINE_COUNT is auto.
struct intake_rig *intake_rig_open(enum framing_kind framing, enum engine engine);
void intake_rig_close(struct intake_rig *rig);

// Writes the bytes, and takes once.
enum intake_result intake_rig_take(struct intake_rig *rig, const void *bytes, size_t length);

// The same until there is no more.
void intake_rig_take_all(struct intake_rig *rig, const uint8_t *bytes, size_t length);
