// SPDX-License-Identifier: MIT
/* The histories of the unit tests, compiled once more for the fault tests: a suite links its own
 * files only. */
#include "tests/unit/history_rig.c"
#include "tests/unit/rig_random.c"
