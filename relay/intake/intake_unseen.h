// SPDX-License-Identifier: MIT
/* Intake by splice; for intake/ only. */
#pragma once

#include "intake/intake.h"

enum intake_result intake_take_unseen(struct intake *intake, const struct source *source,
				      int *ret_err);

/* Splices up to `max` bytes behind the rest in pipes.  *ret_full: there is no room, and the first
 * pipe cannot be had or the call is refused; the rest must go to memory or to one more pipe. */
enum intake_result intake_splice(struct intake *intake, const struct source *source, size_t max,
				 size_t *ret_bytes, bool *ret_full, int *ret_err);

/* One more pipe; false when there is none to be had. */
bool intake_add_pipe(struct intake *intake);

/* Gives the sink the first packet->length bytes of the rest in pipes: as they lie, or by way of
 * memory if splice is not the engine for them.  Returns 1; 0 when the sink returned false (see
 * packet_sink); -EIO when a pipe did not give its bytes: the source has to end. */
int intake_put_pipes(struct intake *intake, struct packet *packet) must_check;
