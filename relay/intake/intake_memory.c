// SPDX-License-Identifier: MIT
/*
 * Intake through memory: for the copy engine into a buffer of its own, for compact into pages of
 * the gift arena, which are written once and then belong to the kernel.  Every byte is seen once.
 */
#include "intake/intake_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"

enum {
	PAGE_BYTES = 4096,
	ARENA_BYTES = 8 << 20,
	READ_MIN = 16 * 1024, /* room for one read, at least */
};

/* The most that one packet may have.  With compact, header and payload must fit the slots of one
 * pipe, and payload that does not begin at a page needs one more. */
static size_t packet_bytes_max(const struct intake *intake, enum engine engine)
{
	size_t bytes = intake->params.segment_bytes;

	return engine == ENGINE_COMPACT ? bytes - (size_t)3 * PAGE_BYTES : bytes;
}

/* Makes `room` bytes free behind the rest in the own buffer. */
static bool reserve_own(struct intake_memory *memory, size_t room, size_t usual)
{
	size_t rest = memory->end - memory->start;
	size_t want = size_max(rest + room, usual);

	if (!memory->is_arena && memory->room - memory->end >= room)
		return true;
	if (want > memory->own_room) {
		uint8_t *bytes;

		/* Growing by doubling keeps a long message from being copied again and again. */
		want = size_max(want, rest > usual ? 2 * memory->own_room : 0);
		bytes = malloc(want);
		if (!bytes)
			return false;
		if (rest)
			memcpy(bytes, memory->bytes + memory->start, rest);
		free(memory->own_bytes);
		memory->own_bytes = bytes;
		memory->own_room = want;
	} else if (rest) {
		memmove(memory->own_bytes, memory->bytes + memory->start, rest);
	}
	memory->bytes = memory->own_bytes;
	memory->room = memory->own_room;
	memory->start = 0;
	memory->end = rest;
	memory->is_arena = false;
	return true;
}

/* Makes `room` bytes free behind the rest in the arena, where the rest then lies, too. */
static bool reserve_arena(struct intake_memory *memory, size_t room)
{
	size_t rest = memory->end - memory->start;
	size_t free_bytes = 0;
	uint8_t *bytes;

	if (!memory->has_arena) {
		if (gift_arena_init(&memory->arena, ARENA_BYTES) < 0)
			return false;
		memory->has_arena = true;
	}
	/* A mapping that is used up is replaced and the rest copied: of a long message by doubling.
	 */
	bytes = gift_arena_reserve(&memory->arena, rest ? memory->bytes + memory->start : NULL,
				   rest, size_max(room, rest > ARENA_BYTES / 4 ? rest : 0),
				   &free_bytes);
	if (!bytes)
		return false;
	gift_arena_commit(&memory->arena, rest);
	memory->bytes = bytes;
	memory->start = 0;
	memory->end = rest;
	memory->room = rest + free_bytes;
	memory->is_arena = true;
	return true;
}

static bool reserve(struct intake *intake, enum engine engine, size_t room)
{
	struct intake_memory *memory = &intake->memory;

	if (engine == ENGINE_COMPACT)
		return reserve_arena(memory, room);
	return reserve_own(memory, room, intake->params.segment_bytes);
}

enum intake_result intake_read(struct intake *intake, const struct source *source,
			       enum engine engine, size_t max, size_t *ret_bytes, int *ret_err)
{
	struct intake_memory *memory = &intake->memory;
	ssize_t got;

	*ret_bytes = 0;
	if (!reserve(intake, engine, max)) {
		*ret_err = ENOMEM;
		return INTAKE_END;
	}
	got = TEMP_FAILURE_RETRY(read(source->fd, memory->bytes + memory->end, max));
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return INTAKE_EMPTY;
	if (got <= 0) {
		*ret_err = got < 0 ? errno : 0;
		return INTAKE_END;
	}
	if (engine == ENGINE_COMPACT)
		gift_arena_commit(&memory->arena, (size_t)got);
	memory->end += (size_t)got;
	*ret_bytes = (size_t)got;
	intake->taken_bytes += (size_t)got;
	return INTAKE_TOOK;
}

bool intake_put_memory(struct intake *intake, struct packet *packet, enum engine engine)
{
	struct intake_memory *memory = &intake->memory;
	/* What came by way of the own buffer must not be gifted: the buffer is used again. */
	bool is_gift = engine == ENGINE_COMPACT && memory->is_arena;
	struct payload payload = {
		.kind = is_gift ? PAYLOAD_GIFT : PAYLOAD_COPY,
		.engine = engine,
		.size_class = intake->size_class,
		.bytes = memory->bytes + memory->start,
	};
	bool is_new;

	memory->start += packet->length;
	is_new = intake->sink.put_packet(intake->sink.owner, packet, &payload);
	if (!memory->is_arena && memory->start == memory->end)
		memory->start = memory->end = 0;
	return is_new;
}

/* How much to read: a packet's worth; of a long message more, so that it is not read in driblets.
 */
static size_t bytes_to_read(const struct intake *intake, const struct source *source,
			    enum engine engine)
{
	size_t max = packet_bytes_max(intake, engine);
	size_t rest = intake_memory_bytes(intake);
	size_t bytes = rest + READ_MIN < max ? max - rest : intake->params.segment_bytes;

	return source->max_bytes ? size_min(bytes, source->max_bytes) : bytes;
}

enum intake_result intake_take_memory(struct intake *intake, const struct source *source,
				      enum engine engine, int *ret_err)
{
	size_t walked, got;
	enum intake_result result = intake_read(
		intake, source, engine, bytes_to_read(intake, source, engine), &got, ret_err);

	if (result != INTAKE_TOOK)
		return result;
	walked = intake->memory.end - got;
	while (walked < intake->memory.end) {
		size_t left = intake->memory.end - walked;
		struct framing_walk walk;

		framing_walk(&intake->scan, intake->memory.bytes + walked, left, left, &walk);
		if (walk.fault != FRAMING_OK)
			return intake_fault(walk.fault, ret_err);
		if (!walk.messages)
			break;
		walked += walk.walked_bytes;
		const size_t behind = walk.walked_bytes - walk.whole_bytes;
		const size_t length = walked - behind - intake->memory.start;
		struct packet packet = intake_cut(intake, walk.messages, length);

		/* This moves nothing but start, and both to 0 when all is published. */
		(void)intake_put_memory(intake, &packet, engine);
		if (intake->memory.end == 0)
			break;
	}
	return INTAKE_TOOK;
}
