// SPDX-License-Identifier: MIT
/*
 * Intake through memory: every byte is seen once.  For the copy engine the sink copies what it is
 * given; for compact the bytes are put into pipes here, once for all subscribers.
 */
#include "intake/intake_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "pipe/compact.h"

enum {
	READ_MIN = 16 * 1024,      /* room for one read, at least */
	LONG_MESSAGE_SEGMENTS = 8, /* compact would need more pipes than it is worth */
	ROOM_KEPT_SEGMENTS = 4,    /* more room than that goes after so many short packets */
	SHORT_PACKETS = 1024,
};

/* Makes `room` bytes free behind the rest. */
static bool reserve(struct intake_memory *memory, size_t room, size_t usual)
{
	size_t rest = memory->end - memory->start;
	size_t want = size_max(rest + room, usual);

	if (memory->room - memory->end >= room)
		return true;
	if (want > memory->room) {
		uint8_t *bytes;

		/* Growing by doubling keeps a long message from being copied again and again. */
		want = size_max(want, rest > usual ? 2 * memory->room : 0);
		bytes = malloc(want);
		if (!bytes)
			return false;
		if (rest)
			memcpy(bytes, memory->bytes + memory->start, rest);
		free(memory->bytes);
		memory->bytes = bytes;
		memory->room = want;
	} else if (rest) {
		memmove(memory->bytes, memory->bytes + memory->start, rest);
	}
	memory->start = 0;
	memory->end = rest;
	return true;
}

enum intake_result intake_read(struct intake *intake, const struct source *source, size_t max,
			       size_t *ret_bytes, int *ret_err)
{
	struct intake_memory *memory = &intake->memory;
	ssize_t got;

	*ret_bytes = 0;
	if (!reserve(memory, max, intake->params.segment_bytes)) {
		*ret_err = ENOMEM;
		return INTAKE_END;
	}
	got = intake_receive(intake, source, memory->bytes + memory->end, max);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return INTAKE_EMPTY;
	if (got <= 0) {
		*ret_err = got < 0 ? errno : 0;
		return INTAKE_END;
	}
	memory->end += (size_t)got;
	*ret_bytes = (size_t)got;
	return INTAKE_TOOK;
}

static bool must_compact(const struct intake *intake, size_t length)
{
	return length && length <= LONG_MESSAGE_SEGMENTS * intake->params.segment_bytes &&
	       intake->pipes->has_pipes &&
	       engine_choose(&intake->choice, length, false) == ENGINE_COMPACT;
}

/* Puts the bytes into payload->pipes, too.  When that cannot be done, they are copied. */
static void make_dense(struct intake *intake, struct payload *payload, size_t length)
{
	payload->count = compact_bytes(intake->pipes, payload->bytes, length, payload->pipes,
				       INTAKE_PIPES_MAX);
	if (!payload->count) {
		intake->metrics->engine_fallbacks++;
		return;
	}
	payload->kind = PAYLOAD_PIPES;
	payload->engine = ENGINE_COMPACT;
	payload->last_bytes = payload->pipes[payload->count - 1].held_bytes;
}

/* The room for one long message is not kept for ever. */
static void give_room_back(struct intake_memory *memory, size_t length, size_t usual)
{
	memory->short_packets = length <= usual ? memory->short_packets + 1 : 0;
	if (memory->short_packets < SHORT_PACKETS || memory->room <= ROOM_KEPT_SEGMENTS * usual)
		return;
	free(memory->bytes);
	*memory = (struct intake_memory){0};
}

bool intake_put_memory(struct intake *intake, struct packet *packet)
{
	struct intake_memory *memory = &intake->memory;
	struct pipe pipes[INTAKE_PIPES_MAX];
	struct payload payload = {
		.kind = PAYLOAD_COPY,
		.engine = ENGINE_COPY,
		.bytes = memory->bytes + memory->start,
		.pipes = pipes,
	};
	bool is_new;

	memory->start += packet->length;
	if (must_compact(intake, packet->length))
		make_dense(intake, &payload, packet->length);
	engine_note_packet(&intake->choice, packet->length);
	is_new = intake->sink.put_packet(intake->sink.owner, packet, &payload);
	for (size_t i = 0; i < payload.count; i++)
		pipe_pool_put_drained(&intake->pipes->pool, &pipes[i]);
	if (memory->start == memory->end) {
		memory->start = memory->end = 0;
		give_room_back(memory, packet->length, intake->params.segment_bytes);
	}
	return is_new;
}

/* How much to read: a packet's worth; of a long message more, so that it is not read in driblets.
 * Where a frame has to be looked for, each byte may cost as much as a frame, so the loop gets its
 * turn earlier. */
static size_t bytes_to_read(const struct intake *intake, const struct source *source)
{
	const struct framing_row *row = framing_row(intake->params.framing.kind);
	size_t max = intake->params.segment_bytes;
	size_t rest = intake_memory_bytes(intake);
	size_t bytes = rest + READ_MIN < max ? max - rest : max;

	if (row->is_searched && row->sees_all)
		bytes = READ_MIN;
	return source->max_bytes ? size_min(bytes, source->max_bytes) : bytes;
}

/* Publishes what is whole of the rest, of which all before `walked` has been walked. */
static enum intake_result put_whole(struct intake *intake, size_t walked, int *ret_err)
{
	while (walked < intake->memory.end) {
		size_t left = intake->memory.end - walked;
		struct framing_walk walk;

		framing_walk(&intake->scan, intake->memory.bytes + walked, left, left, &walk);
		if (walk.fault != FRAMING_OK)
			return intake_fault(intake, walk.fault, ret_err);
		if (!walk.messages)
			break;
		walked += walk.walked_bytes;
		const size_t behind = walk.walked_bytes - walk.whole_bytes;
		const size_t length = walked - behind - intake->memory.start;
		struct packet packet = intake_cut(intake, walk.messages, length);

		packet.media_start = walk.media_start;
		/* This moves nothing but start, and both to 0 when all is published. */
		(void)intake_put_memory(intake, &packet);
		if (intake->memory.end == 0)
			break;
	}
	return INTAKE_TOOK;
}

/* Looks for messages in the rest, and publishes them, until no more are found. */
static enum intake_result find_messages(struct intake *intake, int *ret_err)
{
	struct intake_memory *memory = &intake->memory;
	enum intake_result result = INTAKE_TOOK;

	while (result == INTAKE_TOOK && framing_is_out_of_sync(&intake->scan)) {
		enum framing_fault fault;
		size_t passed = framing_find_sync(&intake->scan, memory->bytes + memory->start,
						  intake_memory_bytes(intake), &fault);

		memory->start += passed;
		intake->metrics->unsynced_bytes += passed;
		if (fault != FRAMING_OK)
			return intake_fault(intake, fault, ret_err);
		if (framing_is_out_of_sync(&intake->scan))
			break;
		result = put_whole(intake, memory->start, ret_err);
	}
	return result;
}

enum intake_result intake_take_memory(struct intake *intake, const struct source *source,
				      int *ret_err)
{
	size_t got;
	enum intake_result result =
		intake_read(intake, source, bytes_to_read(intake, source), &got, ret_err);

	if (result == INTAKE_TOOK && !framing_is_out_of_sync(&intake->scan))
		result = put_whole(intake, intake->memory.end - got, ret_err);
	return result == INTAKE_TOOK ? find_messages(intake, ret_err) : result;
}
