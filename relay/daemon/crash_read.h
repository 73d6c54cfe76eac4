// SPDX-License-Identifier: MIT
/*
 * What a process that died has left (daemon/crash_record.h), read as a struct handover: from there
 * on all goes as after an orderly hand-over.  Nothing in the region is believed before it has been
 * checked: lengths, indexes, and which descriptor is which.
 *
 * All that nobody takes is closed: publishers, connections of operators, pipes, subscribers that
 * cannot go on.  Those that are connected end by reset: the keeper has seen to that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/errmsg.h"
#include "continuity/kept_fds.h"
#include "serve/handover.h"

/* Does the state of a bag, mapped, come from a process that died? */
bool crash_is_record(const uint8_t *map, size_t bytes);

/* 0: *ret is what is known, points into the map, and has what was taken out of `fds`, of which only
 * the descriptors are given, not yet their numbers.  -errno with a message: *ret has nothing, and
 * all that was in `fds`, taken or not, is the caller's. */
must_check int crash_read(uint8_t *map, size_t bytes, struct kept_fds *fds, struct handover *ret,
			  struct errmsg *err);
