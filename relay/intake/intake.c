// SPDX-License-Identifier: MIT
/*
 * Intake: which way the next bytes take, and the rest that goes from one way to the other.
 */
#include "intake/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "feed/crossing.h"
#include "feed/feed.h"
#include "pipe/pipe_io.h"

enum {
	REST_TO_PIPE_MAX = 64 * 1024, /* a longer rest stays where it is until its message ends */
	LONG_MESSAGE_SEGMENTS = 8,    /* compact would need more pipes than it is worth */
};

void intake_init(struct intake *intake, const struct framing_params *framing)
{
	*intake = (struct intake){.mean_bytes = 0};
	framing_scan_init(&intake->scan, framing);
}

void intake_change(struct intake *intake, const struct framing_params *framing)
{
	intake->scan.params.max_message = framing->max_message;
}

size_t intake_pipe_bytes(const struct intake *intake)
{
	size_t bytes = 0;

	for (size_t i = 0; i < intake->pipe_count; i++)
		bytes += intake->pipes[i].held_bytes;
	return bytes;
}

size_t intake_memory_bytes(const struct intake *intake)
{
	return intake->memory.end - intake->memory.start;
}

bool intake_is_empty(const struct intake *intake)
{
	return framing_is_between(&intake->scan) && intake->relay.head_bytes == 0 &&
	       intake_pipe_bytes(intake) == 0 && intake_memory_bytes(intake) == 0;
}

static void drop_pipes(struct feed *feed)
{
	struct intake *intake = &feed->intake;

	while (intake->pipe_count)
		pipe_pool_put_drained(&feed->pipes.pool, &intake->pipes[--intake->pipe_count]);
}

uint64_t intake_reset(struct feed *feed)
{
	struct intake *intake = &feed->intake;
	uint64_t rest =
		intake->relay.head_bytes + intake_pipe_bytes(intake) + intake_memory_bytes(intake);
	const struct framing_params framing = intake->scan.params;

	drop_pipes(feed);
	intake->memory.start = intake->memory.end;
	intake->relay.head_bytes = 0;
	intake->splice_refused = false;
	framing_scan_init(&intake->scan, &framing);
	return rest;
}

void intake_fini(struct feed *feed)
{
	struct intake_memory *memory = &feed->intake.memory;

	drop_pipes(feed);
	free(memory->own_bytes);
	if (memory->has_arena)
		gift_arena_fini(&memory->arena);
	*memory = (struct intake_memory){0};
}

int intake_rest_to_memory(struct feed *feed)
{
	struct intake *intake = &feed->intake;
	struct intake_memory *memory = &intake->memory;
	size_t bytes = intake_pipe_bytes(intake);
	uint8_t *own = memory->own_bytes;

	/* Memory has no rest when the pipes have one. */
	if (bytes > memory->own_room) {
		own = realloc(own, bytes);
		if (!own)
			return -ENOMEM;
		memory->own_bytes = own;
		memory->own_room = bytes;
	}
	memory->bytes = own;
	memory->room = memory->own_room;
	memory->is_arena = false;
	memory->start = memory->end = 0;
	for (size_t i = 0; i < intake->pipe_count; i++) {
		struct pipe *pipe = &intake->pipes[i];

		while (pipe->held_bytes) {
			size_t got = 0;
			int err = 0;

			if (pipe_read(pipe, own + memory->end, pipe->held_bytes, &got, &err) !=
			    PIPE_IO_OK)
				return -EIO;
			memory->end += got;
		}
	}
	drop_pipes(feed);
	return 0;
}

bool intake_rest_to_pipe(struct feed *feed)
{
	struct intake *intake = &feed->intake;
	struct intake_memory *memory = &intake->memory;
	size_t bytes = intake_memory_bytes(intake);
	size_t put = 0;
	int err = 0;

	if (bytes == 0)
		return true;
	if (bytes > REST_TO_PIPE_MAX || bytes > feed->params.segment_bytes / 2 ||
	    pipe_pool_get(&feed->pipes.pool, &intake->pipes[0]) < 0)
		return false;
	intake->pipe_count = 1;
	if (pipe_write(&intake->pipes[0], memory->bytes + memory->start, bytes, &put, &err) !=
		    PIPE_IO_OK ||
	    put != bytes) {
		drop_pipes(feed);
		return false;
	}
	memory->start = memory->end;
	return true;
}

enum engine intake_choose(struct feed *feed, unsigned size_class)
{
	enum engine engine = engine_choose(&feed->choice, size_class);

	feed->pass.size_class = size_class;
	if (!feed->pipes.has_pipes || (engine == ENGINE_SPLICE && feed->intake.splice_refused))
		return ENGINE_COPY;
	return engine;
}

/* Boundaries are found without seeing every byte: by arithmetic, or by a look at the queue. */
static bool can_stay_unseen(const struct feed *feed, const struct source *source)
{
	enum framing_kind kind = feed->params.framing.kind;

	return source->is_socket || kind == FRAMING_NONE || kind == FRAMING_FIXED;
}

void intake_note_length(struct intake *intake, size_t bytes)
{
	/* The mean of late, so that one odd packet, or one engine's way of cutting packets, does
	 * not change the class. */
	intake->mean_bytes += ((double)bytes - intake->mean_bytes) / 8;
}

struct packet intake_next_packet(struct feed *feed, uint32_t messages, size_t bytes)
{
	/* With the bytes in hand: a branch that asked before they were sent gets them. */
	crossing_answer(feed);

	const struct packet packet = {
		.type = PACKET_DATA,
		.count = (uint16_t)messages,
		.session = feed->session,
		.first_seq = feed->next_seq,
		.time_ns = clock_wall_ns(),
		.length = bytes,
		.starts_message = true,
	};

	feed->next_seq += messages;
	intake_note_length(&feed->intake, bytes);
	return packet;
}

enum intake_result intake_fault(enum framing_fault fault, int *ret_err)
{
	switch (fault) {
	case FRAMING_OK:
	case FRAMING_TOO_LONG:
		*ret_err = CLOSE_TOO_LONG;
		break;
	case FRAMING_BAD_MAGIC:
		*ret_err = CLOSE_BAD_MAGIC;
		break;
	case FRAMING_BAD_HEADER:
		*ret_err = CLOSE_BAD_HEADER;
		break;
	}
	return INTAKE_FAULT;
}

enum intake_result intake_take(struct feed *feed, const struct source *source, int *ret_err)
{
	struct intake *intake = &feed->intake;
	enum intake_result result;
	enum engine engine;
	bool is_urgent = false;

	if (feed->params.framing.kind == FRAMING_RELAY)
		return intake_take_relay(feed, source, ret_err);
	engine = intake_choose(feed, engine_class((size_t)intake->mean_bytes));
	if (engine == ENGINE_SPLICE && !can_stay_unseen(feed, source))
		engine = ENGINE_COPY;
	if (engine == ENGINE_SPLICE && intake_rest_to_pipe(feed)) {
		result = intake_take_unseen(feed, source, ret_err);
		if (result != INTAKE_EMPTY)
			return result;
		/* Readable, and yet nothing to splice: urgent data (MSG_OOB) holds tcp_splice_read
		 * up until somebody receives. */
		is_urgent = true;
	}
	/* Splice has been ruled out for now; and a message that fills many pipes is copied at once.
	 */
	if (engine == ENGINE_SPLICE ||
	    intake_memory_bytes(intake) > LONG_MESSAGE_SEGMENTS * feed->params.segment_bytes)
		engine = ENGINE_COPY;
	if (intake->pipe_count && intake_rest_to_memory(feed) < 0) {
		*ret_err = ENOMEM;
		return INTAKE_END;
	}
	result = intake_take_memory(feed, source, engine, ret_err);
	feed->metrics.urgent_reads += is_urgent && result == INTAKE_TOOK;
	return result;
}
