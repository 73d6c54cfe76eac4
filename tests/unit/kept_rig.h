// SPDX-License-Identifier: MIT
/* Kept structs with any values that their .def allows. */
#pragma once

#include "continuity/kept_struct.h"
#include "tests/unit/rig_random.h"

// Each member but descriptors; an object of zeros or of earlier values.
void kept_rig_fill(const struct kept_table *table, void *object, uint64_t *random);

// The first member in which the two differ, as its `what`; NULL: there is none.
const char *kept_rig_difference(const struct kept_table *table, const void *left,
				const void *right);
