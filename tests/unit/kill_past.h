// SPDX-License-Identifier: MIT
/* For subscribers that are sent a stream as out of files, in a process that is killed. */
#pragma once

#include "tests/unit/feed_rig.h"

#define KILL_PAST_RATE 4711 // that it says it has

extern const struct subscriber_replay kill_past;

// An owner for it, at the begin of the stream, which must stay.  Ends the process without memory.
void *kill_past_new(const struct rig_stream *stream);
