// SPDX-License-Identifier: MIT
/*
 * How far a history may be read with a delay: up to the first packet that came later than so long
 * ago.
 *
 *   r = history_delay_open(history, delay_ns, &delay);
 *   ...
 *   r = history_delay_look(delay);
 *   history_reader_is_before(&reader, &delay->end) ? it may read on : it waits
 *
 * All readers with the same delay share one, so looking costs the same for one and for thousands.
 * In the reading thread of the history only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "history/history_reader.h"

struct replay_read;

struct history_delay {
	struct list_node node; /* private: in history->delays */
	/* ro: nothing from here on may be had yet; it may stand within a message.  Closed: nothing
	 * is recorded yet, or the disk has not said where. */
	struct history_reader end;
	uint64_t delay_ns;        /* ro */
	unsigned readers;         /* private */
	uint64_t looked_ns;       /* private: monotonic */
	struct replay_read *read; /* private: owned */
	bool is_looking;          /* private: the disk is being asked */
	int error;                /* private: of looking, not told yet: -errno */
};

/* Of this history with this delay.  Where its end is, is not looked up yet.  0 or -ENOMEM. */
must_check int history_delay_open(struct history *history, uint64_t delay_ns,
				  struct history_delay **ret);

/* Time has passed: the end is moved on, some ten times a second at most, as soon as the disk has
 * said where it is.  It never goes back, whatever the clock does.  0; or -errno once where that has
 * failed, and the end has not moved. */
must_check int history_delay_look(struct history_delay *delay);

/* For each history_delay_open().  Clears the pointer; NULL inside is fine. */
void history_delay_close(struct history_delay **delay);
