// SPDX-License-Identifier: MIT
/* The choice of the engine by measured cost. */
#include "feed/engine.h"

enum {
	TRIAL_PACKETS = 8, /* a run; its first pass is not counted: caches and pools warm up */
	TRIAL_INTERVAL =
		400, /* packets between two trials of an engine that is close to the best */
	TRIAL_INTERVAL_MAX = 25600,
};

static const double WEIGHT_OF_NEW = 0.125;   /* of a sample in the mean                        */
static const double CLOSE_TO_BEST = 1.3;     /* times the cost of the best                     */
static const double OUTLIER = 4.0;           /* a sample over this many means counts as this   */
static const double BETTER_TO_SWITCH = 0.97; /* of the best's cost, so that equals do not flap */

const char *engine_name(enum engine engine)
{
	static const char *const names[] = {"copy", "splice", "compact"};

	return names[engine];
}

void engine_choice_init(struct engine_choice *choice, const enum engine *engine)
{
	*choice = (struct engine_choice){.is_fixed = engine != NULL};
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

/* The engine whose time for a run has come; the best one when there is none. */
static enum engine next_trial(const struct engine_choice *choice, const struct engine_class *class)
{
	for (int i = 0; i < ENGINE_COUNT; i++) {
		if ((enum engine)i != class->best && choice->can[i] && !class->engines[i].due)
			return (enum engine)i;
	}
	return class->best;
}

enum engine engine_choose(struct engine_choice *choice, unsigned size_class)
{
	struct engine_class *class = &choice->classes[size_class];

	if (choice->is_fixed)
		return choice->can[choice->fixed] ? choice->fixed : ENGINE_COPY;
	if (!choice->can[class->best])
		class->best = ENGINE_COPY;
	/* The best must be known before anything can be compared with it. */
	if (class->engines[class->best].samples < TRIAL_PACKETS)
		return class->best;
	if (!class->trial_left) {
		class->trial = next_trial(choice, class);
		if (class->trial == class->best)
			return class->best;
		class->trial_left = TRIAL_PACKETS;
	}
	return choice->can[class->trial] ? class->trial : class->best;
}

static void choose_best(struct engine_choice *choice, struct engine_class *class)
{
	double best = class->engines[class->best].cost;

	for (int i = 0; i < ENGINE_COUNT; i++) {
		struct engine_record *record = &class->engines[i];

		if (record->samples < TRIAL_PACKETS - 1 || !choice->can[i])
			continue;
		if (record->cost < best * BETTER_TO_SWITCH) {
			class->best = (enum engine)i;
			best = record->cost;
		}
	}
}

/* The worse an engine proved, the longer until its next trial. */
static void plan_next_trial(const struct engine_class *class, struct engine_record *record)
{
	if (record->cost <= class->engines[class->best].cost * CLOSE_TO_BEST)
		record->interval = TRIAL_INTERVAL;
	else if (record->interval < TRIAL_INTERVAL_MAX)
		record->interval = record->interval ? record->interval * 2 : TRIAL_INTERVAL * 2;
	record->due = record->interval;
}

static void add_sample(struct engine_record *record, double cost)
{
	if (record->samples == 0) {
		record->cost = cost;
	} else {
		if (cost > record->cost * OUTLIER)
			cost = record->cost * OUTLIER;
		record->cost += (cost - record->cost) * WEIGHT_OF_NEW;
	}
	if (record->samples < UINT32_MAX)
		record->samples++;
}

/* Counts the packet in every plan: of the run under way, and of those to come. */
static void count_packet(struct engine_class *class)
{
	for (int i = 0; i < ENGINE_COUNT; i++) {
		if (class->engines[i].due)
			class->engines[i].due--;
	}
	if (!class->trial_left || --class->trial_left)
		return;
	if (class->trial != class->best)
		plan_next_trial(class, &class->engines[class->trial]);
}

void engine_report(struct engine_choice *choice, unsigned size_class, enum engine engine,
		   uint64_t bytes, uint64_t ns)
{
	struct engine_class *class = &choice->classes[size_class];
	bool is_warm_up = class->trial_left == TRIAL_PACKETS;

	if (choice->is_fixed)
		return;
	if (bytes && !is_warm_up) {
		add_sample(&class->engines[engine], (double)ns / (double)bytes);
		choose_best(choice, class);
	}
	count_packet(class);
}
