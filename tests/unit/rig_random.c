// SPDX-License-Identifier: MIT
/* Random numbers of the tests. */
#include "tests/unit/rig_random.h"

uint64_t rig_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

uint64_t rig_random_below(uint64_t *state, uint64_t limit)
{
	return (rig_random(state) >> 11) % limit;
}
