// SPDX-License-Identifier: MIT
/* Numbers that look random, and are the same for the same seed (xorshift; Marsaglia 2003).  The
 * state is never 0. */
#ifndef TESTS_UNIT_RIG_RANDOM_H
#define TESTS_UNIT_RIG_RANDOM_H

#include <stdint.h>

uint64_t rig_random(uint64_t *state);
uint64_t rig_random_below(uint64_t *state, uint64_t limit);

#endif
