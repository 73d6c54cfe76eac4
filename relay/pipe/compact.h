// SPDX-License-Identifier: MIT
/* Compacting: bytes in memory become dense slots of pipes, copied once for all who read them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "pipe/pipe_set.h"

/* Copies `length` > 0 bytes into pipes of the set, each filled as far as its slots reach: through
 * the set's socket pair, and where that does not work by write(2).  Returns how many of pipes[0 ..
 * max) hold them; they go back to the pool.  0: it can be done neither way, or not with so many
 * pipes.  Then none is taken. */
must_check size_t compact_bytes(struct pipe_set *set, const uint8_t *bytes, size_t length,
				struct pipe *pipes, size_t max);
