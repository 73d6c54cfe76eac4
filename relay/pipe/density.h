// SPDX-License-Identifier: MIT
/* How densely bytes lie in a pipe, which no call of the kernel says. */
#pragma once

#include <stddef.h>

#include "base/compiler.h"
#include "pipe/pipe_set.h"

/* Bytes a slot in the first `bytes` (at most from->held_bytes) of a pipe of the set, by its first
 * four slots: as much is duplicated as goes into a pipe of that size.  Bytes that lie in four slots
 * or fewer count as one.  0: it cannot be seen (no pipe, or tee is refused). */
must_check size_t density_look(struct pipe_set *set, struct pipe *from, size_t bytes);
