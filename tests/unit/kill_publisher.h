// SPDX-License-Identifier: MIT
/* The publisher of a feed that was killed: does its record say what its socket shows? */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fanout/subscriber_kept.h"

// True when it goes on.  Then `fd` is its TCP socket, of which as many bytes have been taken as are
// in the raw ring of the home, which ends at end_pos: none is lost, and none would come twice.
bool kill_check_publisher(const struct part_record *part, int fd, uint64_t end_pos);
