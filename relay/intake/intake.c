// SPDX-License-Identifier: MIT
/* What stays of an unfinished message, and how it goes from one way to the other. */
#include "intake/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "net/peer_socket.h"
#include "pipe/pipe_io.h"
#include "table/close_reason.h"

enum {
	REST_TO_PIPE_MAX = 64 * 1024, /* a longer rest stays where it is until its message ends */
};

static void init_choice(struct intake *intake)
{
	const struct intake_params *params = &intake->params;

	engine_choice_init(&intake->choice, params->is_auto ? NULL : &params->engine,
			   &params->thresholds);
}

void intake_init(struct intake *intake, const struct intake_params *params,
		 const struct packet_sink *sink, struct pipe_set *pipes, struct metrics *metrics)
{
	*intake = (struct intake){
		.params = *params,
		.sink = *sink,
		.pipes = pipes,
		.metrics = metrics,
	};
	framing_scan_init(&intake->scan, &params->framing);
	init_choice(intake);
}

void intake_change(struct intake *intake, const struct intake_params *params)
{
	struct framing_params *framing = &intake->params.framing;
	bool is_same = params->is_auto == intake->params.is_auto &&
		       params->engine == intake->params.engine;

	framing->max_message = params->framing.max_message;
	framing->ends_with_source = params->framing.ends_with_source;
	intake->params.is_auto = params->is_auto;
	intake->params.engine = params->engine;
	intake->params.thresholds = params->thresholds;
	intake->scan.params = *framing;
	if (!is_same)
		init_choice(intake);
	intake->choice.thresholds = params->thresholds;
}

size_t intake_pipe_bytes(const struct intake *intake)
{
	size_t bytes = 0;

	for (size_t i = 0; i < intake->rest_count; i++)
		bytes += intake->rest[i].held_bytes;
	return bytes;
}

size_t intake_memory_bytes(const struct intake *intake)
{
	return intake->memory.end - intake->memory.start;
}

bool intake_is_between(const struct intake *intake)
{
	return framing_is_between(&intake->scan) && intake->relay.head_bytes == 0 &&
	       !intake_relay_has_packet(&intake->relay);
}

bool intake_is_empty(const struct intake *intake)
{
	return intake_is_between(intake) && intake_pipe_bytes(intake) == 0 &&
	       intake_memory_bytes(intake) == 0;
}

static void drop_pipes(struct intake *intake)
{
	while (intake->rest_count)
		pipe_pool_put_drained(&intake->pipes->pool, &intake->rest[--intake->rest_count]);
}

void intake_drop_rest(struct intake *intake)
{
	drop_pipes(intake);
	intake->memory.start = intake->memory.end;
}

uint64_t intake_reset(struct intake *intake)
{
	uint64_t rest =
		intake->relay.head_bytes + intake_pipe_bytes(intake) + intake_memory_bytes(intake);
	const struct framing_params framing = intake->scan.params;

	intake_drop_rest(intake);
	free(intake->memory.bytes); /* nobody is there to need it */
	intake->memory = (struct intake_memory){0};
	intake->relay = (struct intake_relay){0};
	intake->splice_refused = false;
	engine_forget_source(&intake->choice);
	framing_scan_init(&intake->scan, &framing);
	return rest;
}

void intake_fini(struct intake *intake)
{
	drop_pipes(intake);
	free(intake->memory.bytes);
	intake->memory = (struct intake_memory){0};
}

int intake_rest_to_memory(struct intake *intake)
{
	struct intake_memory *memory = &intake->memory;
	size_t bytes = intake_pipe_bytes(intake);

	/* Memory has no rest when the pipes have one. */
	if (bytes > memory->room) {
		uint8_t *more = realloc(memory->bytes, bytes);

		if (!more)
			return -ENOMEM;
		memory->bytes = more;
		memory->room = bytes;
	}
	memory->start = memory->end = 0;
	for (size_t i = 0; i < intake->rest_count; i++) {
		struct pipe *pipe = &intake->rest[i];

		while (pipe->held_bytes) {
			size_t got = 0;
			int err = 0;

			if (pipe_read(pipe, memory->bytes + memory->end, pipe->held_bytes, &got,
				      &err) != PIPE_IO_OK)
				return -EIO;
			memory->end += got;
		}
	}
	drop_pipes(intake);
	return 0;
}

bool intake_rest_to_pipe(struct intake *intake)
{
	struct intake_memory *memory = &intake->memory;
	size_t bytes = intake_memory_bytes(intake);
	size_t put = 0;
	int err = 0;

	if (bytes == 0)
		return true;
	if (bytes > REST_TO_PIPE_MAX || bytes > intake->params.segment_bytes / 2 ||
	    pipe_pool_get(&intake->pipes->pool, &intake->rest[0]) < 0)
		return false;
	intake->rest_count = 1;
	if (pipe_write(&intake->rest[0], memory->bytes + memory->start, bytes, &put, &err) !=
		    PIPE_IO_OK ||
	    put != bytes) {
		drop_pipes(intake);
		return false;
	}
	memory->start = memory->end;
	return true;
}

size_t intake_allowed(const struct intake *intake, size_t count)
{
	return (size_t)u64_min(count, intake->take_end - intake->taken_bytes);
}

static ssize_t take_given(struct given_bytes *given, void *bytes, size_t count)
{
	count = size_min(count, given->count);
	if (!count) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(bytes, given->bytes, count);
	given->bytes += count;
	given->count -= count;
	return (ssize_t)count;
}

ssize_t intake_receive(struct intake *intake, const struct source *source, void *bytes,
		       size_t count)
{
	struct source_body *body = source->body;
	ssize_t got;

	count = intake_allowed(intake, count);
	if (count == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (source->given)
		got = take_given(source->given, bytes, count);
	else if (body)
		got = body->functions->read(body, source->fd, bytes, count);
	else if (source->is_socket)
		got = peer_socket_receive(source->fd, bytes, count, 0);
	else
		got = TEMP_FAILURE_RETRY(read(source->fd, bytes, count));
	intake->taken_bytes += got > 0 ? (size_t)got : 0;
	return got;
}

enum engine intake_expect(const struct intake *intake, const struct source *source, size_t bytes)
{
	enum engine engine = engine_expect(&intake->choice, bytes);

	if (!intake->pipes->has_pipes ||
	    (engine == ENGINE_SPLICE &&
	     (intake->splice_refused || source->is_seen || source->body)))
		return ENGINE_COPY;
	return engine;
}

void intake_refuse_pipes(struct intake *intake)
{
	intake->choice.is_copy_only = true;
}

struct packet intake_cut(struct intake *intake, uint32_t messages, size_t bytes)
{
	uint64_t came_ns = intake->came_ns;

	intake->came_ns = 0;
	return (struct packet){
		.type = PACKET_DATA,
		.count = (uint16_t)messages,
		.length = bytes,
		.time_ns = came_ns,
	};
}

enum intake_result intake_fault(struct intake *intake, enum framing_fault fault, int *ret_err)
{
	const struct framing_params framing = intake->scan.params;

	switch (fault) {
	case FRAMING_NO_SYNC:
		framing_scan_init(&intake->scan, &framing);
		intake->metrics->sync_losses++;
		return INTAKE_TOOK;
	case FRAMING_TS_192:
		*ret_err = CLOSE_TS_192;
		break;
	case FRAMING_TS_204:
		*ret_err = CLOSE_TS_204;
		break;
	case FRAMING_OK:
	case FRAMING_TOO_LONG:
		*ret_err = CLOSE_TOO_LONG;
		break;
	case FRAMING_BAD_COUNT:
		*ret_err = CLOSE_BAD_COUNT;
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
