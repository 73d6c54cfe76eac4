// SPDX-License-Identifier: MIT
/* The same for replays. */
#include "tests/unit/replay_rig.c"
