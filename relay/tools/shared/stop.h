// SPDX-License-Identifier: MIT
/* Whether the person at the keyboard (or a supervisor) asked the program to end.
 *
 * The first SIGINT or SIGTERM sets a flag and interrupts the call that waits; a second one of the
 * same kind kills, so that a program stuck in a write can still be ended.  When to look at the
 * flag is left to the program: at least once for every wait, and no wait longer than a second. */
#pragma once

#include <stdbool.h>

/* Takes SIGINT and SIGTERM, and ignores SIGPIPE so that a reader that left shows as EPIPE. */
void stop_install(void);

bool stop_is_requested(void);
