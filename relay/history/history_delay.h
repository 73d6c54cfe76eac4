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

#include <stdint.h>

#include "base/compiler.h"
#include "base/list.h"
#include "history/history_reader.h"

struct history_delay {
	struct list_node node; /* private: in history->delays */
	/* ro: nothing from here on may be had yet; it may stand within a message.  Closed: nothing is
	 * recorded yet. */
	struct history_reader end;
	uint64_t delay_ns;  /* ro */
	unsigned readers;   /* private */
	uint64_t looked_ns; /* private: monotonic */
};

/* Of this history with this delay, as of now.  0, -ENOMEM, or what history_delay_look() returns. */
must_check int history_delay_open(struct history *history, uint64_t delay_ns,
				  struct history_delay **ret);

/* Time has passed: moves the end on, some ten times a second at most.  It never goes back, whatever
 * the clock does.  0 or -errno as history_reader_open_behind(), and the end has not moved then. */
must_check int history_delay_look(struct history_delay *delay);

/* For each history_delay_open().  Clears the pointer; NULL inside is fine. */
void history_delay_close(struct history_delay **delay);
