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
#include "serve/handover.h"

/* What came in the bag, by the number that it had in the process that died. */
struct crash_fds {
	const int32_t *numbers; /* ascending */
	int *fds;               /* -1: taken */
	size_t count;
};

/* The number here of a descriptor of the dead process, which is the caller's from now on; -1: it is
 * not there, or has been taken.  One that is connected is closed in the ordinary way again, and not
 * by reset.  `owner` is a struct crash_fds. */
int crash_fds_take(void *owner, int number);

/* The same, without taking it. */
int crash_fds_look(const struct crash_fds *fds, int number);

/* Does the state of a bag, mapped, come from a process that died? */
bool crash_is_record(const uint8_t *map, size_t bytes);

/* 0: *ret is what is known, points into the map, and has all of the descriptors that were in `fds`;
 * what it does not have has been closed.  -errno with a message: what `fds` still has is open. */
must_check int crash_read(uint8_t *map, size_t bytes, int *fds, size_t fd_count,
			  struct handover *ret, struct errmsg *err);
