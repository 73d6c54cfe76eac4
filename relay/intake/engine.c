// SPDX-License-Identifier: MIT
/*
 * The choice of the engine by measured cost.  In each class one engine runs at a time, the best one
 * or one on trial, and fills the window; a full window is a measurement and the occasion to think
 * again.
 */
#include "intake/engine.h"

#include <string.h>

#include "base/compiler.h"

enum {
	WARM_UP_MAX = 64,       /* packets */
	WARM_UP_NS = 100000000, /* a packet for very many subscribers needs no more than this */
	WINDOW_MIN = 3,         /* packets */
	WINDOW_NS = 50000000,   /* this is enough as well */
	RUN_WINDOWS = 2,        /* measured in each run of an engine on trial */
	RUN_SHARE = 50,         /* a run of n packets comes after 50 n others, or more rarely */
	FIRST_SHARE = 4,        /* but the second one after 4 n, */
	SHARE_GROWTH = 3,       /* the third after 12 n, and so on */
	INTERVAL_GROWTH = 64,   /* at most: 64 times as rarely */
};

static const double CLOSE_TO_BEST = 1.2;     /* times its cost; what is dearer is tried rarely  */
static const double OUTLIER = 3.0;           /* medians; a packet over this counts as this      */
static const double BETTER_TO_SWITCH = 0.97; /* of the best's cost, so that equals do not flap  */

const char *engine_name(enum engine engine)
{
	static const char *const names[] = {"copy", "splice", "compact"};

	return names[engine];
}

void engine_choice_init(struct engine_choice *choice, const enum engine *engine, size_t ring_bytes)
{
	*choice = (struct engine_choice){.is_fixed = engine != NULL, .ring_bytes = ring_bytes};
	if (engine)
		choice->fixed = *engine;
	for (int i = 0; i < ENGINE_COUNT; i++)
		choice->can[i] = true;
}

unsigned engine_class(size_t bytes)
{
	unsigned log2 = bytes ? 63 - (unsigned)__builtin_clzll(bytes) : 0;

	return log2 < ENGINE_CLASS_COUNT ? log2 : ENGINE_CLASS_COUNT - 1;
}

/* True once the ring holds nothing but what the engine made, within reason. */
static bool is_warm(const struct engine_choice *choice, const struct engine_class *class,
		    unsigned size_class)
{
	size_t packets = size_min(choice->ring_bytes >> size_class, WARM_UP_MAX);

	return class->run_packets > packets || class->run_ns > WARM_UP_NS;
}

static void run(struct engine_class *class, enum engine engine)
{
	class->running = engine;
	class->is_warm = false;
	class->run_packets = 0;
	class->run_windows = 0;
	class->run_ns = 0;
	class->filled = 0;
}

enum engine engine_choose(struct engine_choice *choice, unsigned size_class)
{
	struct engine_class *class = &choice->classes[size_class];

	if (choice->is_fixed)
		return choice->can[choice->fixed] ? choice->fixed : ENGINE_COPY;
	if (!choice->can[class->running]) {
		if (!choice->can[class->best])
			class->best = ENGINE_COPY;
		run(class, class->best);
	}
	return class->running;
}

static void sort(double *values, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		double value = values[i];
		size_t at = i;

		for (; at > 0 && values[at - 1] > value; at--)
			values[at] = values[at - 1];
		values[at] = value;
	}
}

/* The mean, since what happens now and then has to be paid as well; but a packet during which
 * somebody else had the processor must not decide. */
static double window_cost(const struct engine_class *class)
{
	double sorted[ENGINE_WINDOW], sum = 0;

	memcpy(sorted, class->window, sizeof(sorted));
	sort(sorted, class->filled);
	for (size_t i = 0; i < class->filled; i++) {
		double most = sorted[class->filled / 2] * OUTLIER;

		sum += sorted[i] < most ? sorted[i] : most;
	}
	return sum / class->filled;
}

static void choose_best(const struct engine_choice *choice, struct engine_class *class)
{
	for (int i = 0; i < ENGINE_COUNT; i++) {
		const struct engine_cost *measured = &class->engines[i];

		if (measured->windows && choice->can[i] &&
		    measured->cost < class->engines[class->best].cost * BETTER_TO_SWITCH)
			class->best = (enum engine)i;
	}
}

/* In the beginning sockets and their buffers still grow, and what was measured is soon out of date.
 */
static uint32_t share_of_runs(struct engine_cost *measured)
{
	uint32_t share = FIRST_SHARE;

	for (uint32_t i = 0; i < measured->runs && share < RUN_SHARE; i++)
		share *= SHARE_GROWTH;
	measured->runs++;
	return share < RUN_SHARE ? share : RUN_SHARE;
}

/* The worse an engine proved, the longer until its next run. */
static void plan_next_run(const struct engine_class *class, struct engine_cost *measured)
{
	uint32_t share = share_of_runs(measured);
	uint32_t shortest = class->run_packets * share;

	if (share < RUN_SHARE || measured->cost <= class->engines[class->best].cost * CLOSE_TO_BEST)
		measured->interval = shortest;
	else if (!measured->interval)
		measured->interval = shortest * 2;
	else if (measured->interval < shortest * INTERVAL_GROWTH)
		measured->interval *= 2;
	measured->due = measured->interval;
}

/* An engine whose time for a run has come; the best one when there is none. */
static enum engine next_run(const struct engine_choice *choice, const struct engine_class *class)
{
	for (int i = 0; i < ENGINE_COUNT; i++) {
		if ((enum engine)i != class->best && choice->can[i] && !class->engines[i].due)
			return (enum engine)i;
	}
	return class->best;
}

static void note_cost(struct engine_cost *measured, double cost)
{
	uint32_t known;

	measured->recent[measured->windows++ % ENGINE_RECENT] = cost;
	known = measured->windows < ENGINE_RECENT ? measured->windows : ENGINE_RECENT;
	for (uint32_t i = 0; i < known; i++)
		cost = measured->recent[i] < cost ? measured->recent[i] : cost;
	measured->cost = cost;
}

static void end_window(struct engine_choice *choice, struct engine_class *class)
{
	struct engine_cost *measured = &class->engines[class->running];
	enum engine next;

	note_cost(measured, window_cost(class));
	class->run_windows++;
	class->filled = 0;
	if (class->running != class->best && class->run_windows < RUN_WINDOWS)
		return;
	choose_best(choice, class);
	if (class->running != class->best)
		plan_next_run(class, measured);
	next = next_run(choice, class);
	if (next != class->running)
		run(class, next);
}

void engine_report(struct engine_choice *choice, unsigned size_class, enum engine engine,
		   uint64_t bytes, uint64_t ns)
{
	struct engine_class *class = &choice->classes[size_class];

	if (choice->is_fixed)
		return;
	for (int i = 0; i < ENGINE_COUNT; i++) {
		if (class->engines[i].due)
			class->engines[i].due--;
	}
	if (engine != class->running || !bytes)
		return;
	class->run_packets++;
	class->run_ns += ns;
	if (!class->is_warm) {
		class->is_warm = is_warm(choice, class, size_class);
		if (class->is_warm)
			class->run_ns = 0; /* from here on: of the window */
		return;
	}
	class->window[class->filled++] = (double)ns / (double)bytes;
	if (class->filled < ENGINE_WINDOW &&
	    (class->filled < WINDOW_MIN || class->run_ns < WINDOW_NS))
		return;
	class->run_ns = 0;
	end_window(choice, class);
}
