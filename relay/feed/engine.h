// SPDX-License-Identifier: MIT
/*
 * The engines, and the choice between them by measurement.
 *
 * For each size class (log2 of a packet's length) the choice keeps the cost per delivered byte of
 * each engine that can serve, as an exponential mean over whole fan-out passes, and uses the
 * cheapest.  The others are tried again in short runs; the worse one proved, the rarer (a bounded
 * share of the packets). It reads no clock: the feed measures and reports.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum engine {
	ENGINE_COPY,
	ENGINE_SPLICE,
	ENGINE_COMPACT,
	ENGINE_COUNT
};

enum {
	ENGINE_CLASS_COUNT = 27
}; /* packets up to 64 MiB */

struct engine_record {
	double cost;       /* ns per delivered byte, 0 = not measured yet   */
	uint32_t samples;  /* passes measured                               */
	uint32_t interval; /* packets until it is tried again               */
	uint32_t due;      /* packets still to go until then                */
};

struct engine_class {
	struct engine_record engines[ENGINE_COUNT];
	enum engine best;
	enum engine trial;   /* engine of the run under way               */
	uint32_t trial_left; /* packets left of that run; 0 = none        */
};

struct engine_choice {
	bool is_fixed;          /* ro: engine = splice | compact | copy       */
	enum engine fixed;      /* ro */
	bool can[ENGINE_COUNT]; /* rw: false once the kernel refused it     */
	struct engine_class classes[ENGINE_CLASS_COUNT];
};

/* `engine` NULL: auto. */
void engine_choice_init(struct engine_choice *choice, const enum engine *engine);

/* The class of a packet of `bytes`. */
unsigned engine_class(size_t bytes);

/* The engine for the next packet, which is expected to be in `size_class`.  Copy can always serve.
 */
enum engine engine_choose(struct engine_choice *choice, unsigned size_class);

/* A pass delivered `bytes` of a packet of `size_class` in `ns`. */
void engine_report(struct engine_choice *choice, unsigned size_class, enum engine engine,
		   uint64_t bytes, uint64_t ns);

const char *engine_name(enum engine engine);
