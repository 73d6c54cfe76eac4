// SPDX-License-Identifier: MIT
/* The choice of the engine by what is known of a packet. */
#include "intake/engine.h"

enum {
	LOOK_EVERY = 8, /* packets that are in the ingest pipe anyway */
	LOOK_EVERY_IN_MEMORY =
		64, /* packets that come through memory: a look takes one out of its way */
	COST_BYTES = 256 << 20, /* of late: the last so many delivered, and as many before */
};

static const double PACKET_WEIGHT = 1.0 / 8; /* of the newest packet in the mean */
static const double LOOK_WEIGHT = 1.0 / 4;   /* of the newest look */

const char *engine_name(enum engine engine)
{
	static const char *const names[] = {"copy", "splice", "compact"};

	return names[engine];
}

void engine_choice_init(struct engine_choice *choice, const enum engine *engine,
			const struct engine_thresholds *thresholds)
{
	*choice = (struct engine_choice){
		.is_fixed = engine != NULL,
		.fixed = engine ? *engine : ENGINE_COPY,
		.thresholds = *thresholds,
	};
}

void engine_forget_source(struct engine_choice *choice)
{
	choice->slot_bytes = 0;
	choice->until_look = 0;
}

/* What is not known counts as dense: it is seen then. */
static bool is_loose(const struct engine_choice *choice)
{
	return choice->slot_bytes > 0 && choice->slot_bytes < ENGINE_DENSE_BYTES;
}

static bool is_crowd(const struct engine_choice *choice)
{
	return choice->readers / ENGINE_CROWD >= choice->thresholds.compact_readers;
}

static enum engine compact_or_copy(const struct engine_choice *choice)
{
	return choice->readers >= choice->thresholds.compact_readers ? ENGINE_COMPACT : ENGINE_COPY;
}

enum engine engine_expect(const struct engine_choice *choice, size_t bytes)
{
	if (choice->is_copy_only)
		return ENGINE_COPY;
	if (choice->is_fixed)
		return choice->fixed;
	if (bytes < choice->thresholds.copy_below)
		return ENGINE_COPY;
	if (is_crowd(choice) || (is_loose(choice) && choice->until_look))
		return compact_or_copy(choice);
	return ENGINE_SPLICE;
}

enum engine engine_choose(const struct engine_choice *choice, size_t bytes, bool in_pipes)
{
	if (choice->is_copy_only)
		return ENGINE_COPY;
	if (choice->is_fixed)
		return choice->fixed == ENGINE_SPLICE && !in_pipes ? ENGINE_COPY : choice->fixed;
	if (bytes < choice->thresholds.copy_below)
		return ENGINE_COPY;
	if (in_pipes && !is_loose(choice) && !is_crowd(choice))
		return ENGINE_SPLICE;
	return compact_or_copy(choice);
}

bool engine_wants_look(const struct engine_choice *choice, size_t bytes)
{
	return !choice->is_fixed && !choice->until_look && bytes >= choice->thresholds.copy_below;
}

void engine_note_slots(struct engine_choice *choice, size_t slot_bytes)
{
	double now = (double)slot_bytes;

	choice->slot_bytes = choice->slot_bytes > 0
				     ? choice->slot_bytes + (now - choice->slot_bytes) * LOOK_WEIGHT
				     : now;
	choice->until_look = is_loose(choice) ? LOOK_EVERY_IN_MEMORY : LOOK_EVERY;
}

void engine_note_packet(struct engine_choice *choice, size_t bytes)
{
	double now = (double)bytes;

	choice->mean_bytes =
		choice->mean_bytes > 0
			? choice->mean_bytes + (now - choice->mean_bytes) * PACKET_WEIGHT
			: now;
	if (choice->until_look)
		choice->until_look--;
}

void engine_note_cost(struct engine_choice *choice, enum engine engine, uint64_t bytes, uint64_t ns)
{
	struct engine_cost *cost = &choice->costs[engine];

	if (!bytes)
		return;
	if (cost->bytes > COST_BYTES) {
		cost->bytes /= 2;
		cost->ns /= 2;
	}
	cost->bytes += bytes;
	cost->ns += ns;
}

uint64_t engine_cost_ps(const struct engine_choice *choice, enum engine engine)
{
	const struct engine_cost *cost = &choice->costs[engine];

	return cost->bytes ? (uint64_t)((double)cost->ns * 1000 / (double)cost->bytes) : 0;
}
