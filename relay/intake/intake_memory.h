// SPDX-License-Identifier: MIT
/* Intake through memory; for intake/ only. */
#pragma once

#include "intake/intake.h"

enum intake_result intake_take_memory(struct intake *intake, const struct source *source,
				      int *ret_err);

/* Reads up to `max` bytes behind the rest in memory.  *ret_err is ENOMEM when there is no room. */
enum intake_result intake_read(struct intake *intake, const struct source *source, size_t max,
			       size_t *ret_bytes, int *ret_err);

/* Gives the sink the first packet->length bytes of the rest in memory: as they are, or compacted.
 * False: see packet_sink. */
bool intake_put_memory(struct intake *intake, struct packet *packet);
