// SPDX-License-Identifier: MIT
/*
 * A feed that runs in a process of its own with a region and is killed at any moment, with its
 * publisher, its subscribers, and what is left of it.
 *
 *   death_live() --> death_collect() --> reading what it left --> death_bury() --> death_end()
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/crash_record.h"
#include "tests/unit/feed_rig.h"

enum {
	DEATH_SUBSCRIBERS = 10,
	DEATH_DESCRIPTORS = 512, // it has no number as high as this
	DEATH_RINGS = 2,
};

struct death_peer {
	int feed_fd, fd;
	bool is_framed, is_tcp;
};

// What a process has, and what is left of it.
struct death {
	struct feed_params params;
	struct crash_record record;
	struct rig_stream stream;
	struct death_peer peers[DEATH_SUBSCRIBERS];
	int publisher_fd, source_fd;
	size_t published;
	bool is_ours[DEATH_DESCRIPTORS]; // open before; all others are its
	struct rig_reader readers[DEATH_SUBSCRIBERS];
	int rings[DEATH_RINGS]; // copies of the memfds of its rings
	size_t ring_slots[DEATH_RINGS];
	uint8_t *region; // a private copy
	uint64_t random;
};

// Half of the stream is on its way when it dies.  To be set before: params, random.
void death_live(struct death *death);

// As the keeper does: what is open, and that all end by reset.  And copies of what may be changed.
void death_collect(struct death *death);

// Of a region.
const struct part_record *death_part(const uint8_t *region);

// Its own descriptors are gone with it.
void death_bury(struct death *death);

// Nothing is left.
void death_end(struct death *death);
