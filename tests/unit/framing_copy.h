// SPDX-License-Identifier: MIT
/* A walk over bytes in an allocation of just their size, so that a sanitizer sees a
 * look beyond them. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "packet/framing.h"

static inline void walk_copy(struct framing_scan *scan, const uint8_t *bytes, size_t visible,
			     size_t all, struct framing_walk *ret_walk)
{
	uint8_t *copy = malloc(size_max(visible, 1));

	assert_non_null(copy);
	memcpy(copy, bytes, visible);
	framing_walk(scan, copy, visible, all, ret_walk);
	free(copy);
}
