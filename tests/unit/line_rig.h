// SPDX-License-Identifier: MIT
/*
 * A real feed of lines that say their own number, for tests.  Every function fails the running test
 * when something is not as it should be.
 */
#pragma once

#include "tests/unit/feed_rig.h"

enum {
	LINE_BYTES = 100
};

// Numbered from `first` on; malloc'ed.
uint8_t *line_rig_make(unsigned first, unsigned count);

// Publishes them, and all of them are taken.
void line_rig_publish(struct feed_rig *rig, unsigned first, unsigned count);

// Opens the feed; feed_rig_close() closes it.
void line_rig_open(struct feed_rig *rig, enum engine engine, size_t ring_bytes);

// A subscriber that may send 100 bytes; `buffer` of its socket, 0: as they are.  Returns the
// reader's number.
size_t line_rig_join(struct feed_rig *rig, bool framed, bool over_tcp, int buffer,
		     enum on_slow on_slow);

// The time that feed_tick() takes.
uint64_t line_rig_now_ms(void);

// Metrics of the feed, once those that hold at any time have been checked.
struct metrics line_rig_metrics(const struct feed_rig *rig);
