// SPDX-License-Identifier: MIT
/* The feed of the unit tests, compiled once more for the fault tests: a suite links its own files
 * only. */
#include "tests/unit/feed_rig.c"
