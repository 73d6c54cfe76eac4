// SPDX-License-Identifier: MIT
/*
 * The engines, and the choice between them by measurement.
 *
 * For each size class (log2 of the packet length of late) the choice knows the cost per delivered
 * byte of each engine that can serve, and uses the cheapest.  Costs are measured in windows of
 * packets, over whole fan-out passes.  What disturbs a window only ever makes it dearer, so the
 * least of the last few windows is what an engine costs.  The other engines are tried again in
 * short runs; the worse one proved, the rarer.  A run begins with a warm-up, because an engine's
 * cost shows only once the ring holds what it made itself: pages and pipes that an engine before it
 * left behind are freed at the expense of whoever comes next.
 *
 * It reads no clock: the feed measures and reports.
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
	ENGINE_CLASS_COUNT = 27, /* packets up to 64 MiB and more */
	ENGINE_WINDOW = 16,      /* packets that make one measurement, at most */
	ENGINE_RECENT = 4,       /* measurements of which the least counts */
};

struct engine_cost {
	double cost; /* ns per delivered byte: the least of late, 0 = not known yet */
	double recent[ENGINE_RECENT]; /* costs of its last windows, in a circle */
	uint32_t windows;             /* measured so far                               */
	uint32_t runs;                /* private: on trial */
	uint32_t interval;            /* packets between two runs of it                */
	uint32_t due;                 /* packets still to go until the next            */
};

struct engine_class {
	struct engine_cost engines[ENGINE_COUNT];
	enum engine best;
	enum engine running;          /* that the window is about              */
	uint32_t run_packets;         /* of the run so far                     */
	uint32_t run_windows;         /* of it that were measured         */
	uint64_t run_ns;              /* of the warm-up, then of the window    */
	bool is_warm;                 /* from here on packets are measured     */
	uint32_t filled;              /* of the window                         */
	double window[ENGINE_WINDOW]; /* costs of packets, in ns a byte        */
};

struct engine_choice {
	bool is_fixed;          /* ro: engine = splice | compact | copy            */
	enum engine fixed;      /* ro */
	bool can[ENGINE_COUNT]; /* rw: false once the kernel refused it            */
	size_t ring_bytes;      /* rw: what has to be replaced until a run is warm */
	struct engine_class classes[ENGINE_CLASS_COUNT];
};

/* `engine` NULL: auto. */
void engine_choice_init(struct engine_choice *choice, const enum engine *engine, size_t ring_bytes);

/* The class of a packet of `bytes`. */
unsigned engine_class(size_t bytes);

/* The engine for the next packet, which is expected to be in `size_class`.  Copy can always serve.
 */
enum engine engine_choose(struct engine_choice *choice, unsigned size_class);

/* A packet that was expected in `size_class` was carried by `engine`: `bytes` were delivered in
 * `ns`. */
void engine_report(struct engine_choice *choice, unsigned size_class, enum engine engine,
		   uint64_t bytes, uint64_t ns);

const char *engine_name(enum engine engine);
