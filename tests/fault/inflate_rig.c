// SPDX-License-Identifier: MIT
/* Inflating, compiled once more for the fault tests. */
#include "tests/unit/inflate_rig.c"
