// SPDX-License-Identifier: MIT
/*
 * The feeds of a process that died, and those of its subscribers whose place is known: read from
 * its records (feed/feed_kept.h, ring/ring_kept.h) into what an orderly hand-over would have
 * left.
 *
 * Rings of a feed need not have come equally far: one got a packet that another one was about to
 * get.  The sequence goes on behind the one that has come farthest, in all of them.
 */
#pragma once

#include "base/compiler.h"
#include "continuity/kept_fds.h"
#include "serve/handover.h"

/* `map`: the region, whose head has been checked; it and the descriptors that are taken out of
 * `fds` are referred to by *ret from then on.  What cannot be read is left out, with a line in the
 * log.  0 or -ENOMEM, *ret is to be closed in both cases. */
must_check int crash_feeds_read(const uint8_t *map, struct kept_fds *fds, struct handover *ret);
