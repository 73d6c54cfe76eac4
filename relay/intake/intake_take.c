// SPDX-License-Identifier: MIT
/* Which way the next bytes go, and the last ones. */
#include <errno.h>

#include "intake/intake_memory.h"
#include "intake/intake_relay.h"
#include "intake/intake_unseen.h"

enum {
	LONG_MESSAGE_SEGMENTS = 8, /* compact would need more pipes than it is worth */
};

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

	if (intake->params.framing.kind == FRAMING_RELAY)
		return intake_take_relay(intake, source, ret_err);
	intake->came_ns = source->came_ns;
	engine = intake_choose(intake, source, engine_class((size_t)intake->mean_bytes));
	if (framing_is_out_of_sync(&intake->scan) ||
	    (engine == ENGINE_SPLICE && !can_stay_unseen(intake, source)))
		engine = ENGINE_COPY;
	if (engine == ENGINE_SPLICE && intake_rest_to_pipe(intake)) {
		result = intake_take_unseen(intake, source, ret_err);
		if (result != INTAKE_EMPTY)
			return result;
		/* Readable, and yet nothing to splice: urgent data (MSG_OOB) holds tcp_splice_read
		 * up until somebody receives. */
		is_urgent = true;
	}
	/* Splice has been ruled out for now; and a message that fills many pipes is copied at once.
	 */
	if (engine == ENGINE_SPLICE ||
	    intake_memory_bytes(intake) > LONG_MESSAGE_SEGMENTS * intake->params.segment_bytes)
		engine = ENGINE_COPY;
	if (intake->rest_count && intake_rest_to_memory(intake) < 0) {
		*ret_err = ENOMEM;
		return INTAKE_END;
	}
	result = intake_take_memory(intake, source, engine, ret_err);
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
		(void)intake_put_pipes(intake, &packet);
	else
		(void)intake_put_memory(intake, &packet, ENGINE_COPY);
	return true;
}
