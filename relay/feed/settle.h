// SPDX-License-Identifier: MIT
/* Bringing a feed to rest, before it is handed over. */
#pragma once

struct feed;

/* With all loops standing still: what is under way reaches the rings of the branches, what they
 * send back comes home, and every branch is either awake or asleep.  What is on its way to a
 * combination stays there: it is not handed over, and gets it if all goes on here. */
void crossing_settle(struct feed *home);
