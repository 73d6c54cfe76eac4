// SPDX-License-Identifier: MIT
/* Which way the next bytes go, and the last ones. */
#include <errno.h>

#include "intake/intake_memory.h"
#include "intake/intake_relay.h"
#include "intake/intake_unseen.h"

/* Boundaries are found without seeing every byte: by arithmetic, or by a look at the queue. */
static bool can_stay_unseen(const struct intake *intake, const struct source *source)
{
	enum framing_kind kind = intake->params.framing.kind;

	return source->is_socket || kind == FRAMING_NONE || kind == FRAMING_FIXED;
}

enum intake_result intake_take(struct intake *intake, const struct source *source, int *ret_err)
{
	enum intake_result result;
	enum engine engine;
	bool is_urgent = false;

	intake->take_end = source->max_bytes ? intake->taken_bytes + source->max_bytes : UINT64_MAX;
	if (intake->params.framing.kind == FRAMING_RELAY)
		return intake_take_relay(intake, source, ret_err);
	intake->came_ns = source->came_ns;
	engine = intake_expect(intake, source, (size_t)intake->choice.mean_bytes);
	if (engine == ENGINE_SPLICE && !framing_is_out_of_sync(&intake->scan) &&
	    can_stay_unseen(intake, source) && intake_rest_to_pipe(intake)) {
		result = intake_take_unseen(intake, source, ret_err);
		if (result != INTAKE_EMPTY)
			return result;
		/* Readable, and yet nothing to splice: urgent data (MSG_OOB) holds tcp_splice_read
		 * up until somebody receives. */
		is_urgent = true;
	}
	if (intake->rest_count && intake_rest_to_memory(intake) < 0) {
		*ret_err = ENOMEM;
		return INTAKE_END;
	}
	result = intake_take_memory(intake, source, ret_err);
	intake->metrics->urgent_reads += is_urgent && result == INTAKE_TOOK;
	return result;
}

bool intake_finish(struct intake *intake, bool has_ended)
{
	struct packet packet;
	bool is_in_pipes = intake_pipe_bytes(intake) > 0;

	if (!framing_finish(&intake->scan, has_ended))
		return false;
	packet = intake_cut(intake, 1, intake_pipe_bytes(intake) + intake_memory_bytes(intake));
	packet.media_start = intake->scan.media_start;
	if (is_in_pipes)
		return intake_put_pipes(intake, &packet) >= 0;
	(void)intake_put_memory(intake, &packet);
	return true;
}
