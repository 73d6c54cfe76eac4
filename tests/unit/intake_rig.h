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
	INTAKE_RIG_ROOM = 64 * 1024,
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
	unsigned packets, news;
	uint8_t bytes[INTAKE_RIG_ROOM];
	size_t length;
};

struct intake_rig *intake_rig_open(enum framing_kind framing, enum engine engine);
void intake_rig_close(struct intake_rig *rig);

// Writes the bytes, and takes once.
enum intake_result intake_rig_take(struct intake_rig *rig, const void *bytes, size_t length);

// The same until there is no more.
void intake_rig_take_all(struct intake_rig *rig, const uint8_t *bytes, size_t length);
