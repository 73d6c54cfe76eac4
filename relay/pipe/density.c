// SPDX-License-Identifier: MIT
/* Looking at the first slots of a pipe by tee. */
#include "pipe/density.h"

#include "pipe/pipe_io.h"

enum {
	LOOK_SLOTS = 4
};

size_t density_look(struct pipe_set *set, struct pipe *from, size_t bytes)
{
	struct pipe *look = &set->look_pipe;
	size_t seen = 0, dropped;
	enum pipe_io outcome;
	int err;

	if (!pipe_is_open(look) && pipe_open(look, LOOK_SLOTS) < 0)
		return 0;
	set->metrics->tee_calls++;
	outcome = pipe_tee(from, look, bytes, &seen, &err);
	if (outcome == PIPE_IO_REFUSED)
		pipe_set_note_refusal(set, REFUSAL_TEE);
	if (outcome != PIPE_IO_OK)
		return 0;
	if (pipe_discard(look, set->pool.null_fd, seen, &dropped, &err) != PIPE_IO_OK)
		pipe_close(look);
	return seen < bytes ? seen / LOOK_SLOTS : seen;
}
