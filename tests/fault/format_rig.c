// SPDX-License-Identifier: MIT
/* The readers of web formats of the unit tests, compiled once more for the fault tests. */
#include "tests/unit/format_rig.c"
