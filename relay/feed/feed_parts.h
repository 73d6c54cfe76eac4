// SPDX-License-Identifier: MIT
/* What the files of a feed call of one another; for feed/ only. */
#pragma once

#include "feed/feed.h"

/* ---- feed.c, for a branch ---- */

/* It has been told where the sequence stands: whoever waits begins. */
void feed_wake(struct feed *branch);

/* It is told no more: gives up rings and pipes.  False: somebody waits, and nothing has changed. */
bool feed_sleep(struct feed *branch);

/* Its home has lost the source. */
void feed_close_for_lost_source(struct feed *branch);

/* ---- take.c ---- */

/* A packet is in the rings: it is served.  start_ns: monotonic, when the work on it began. */
void feed_serve_packet(struct feed *feed, uint64_t start_ns);

/* ---- fanout_events.c ---- */

/* What the fan-out of this feed asks and tells. */
struct fanout_events feed_fanout_events(struct feed *feed);
