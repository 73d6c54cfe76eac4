// SPDX-License-Identifier: MIT
/*
 * The engines, and the rule that chooses between them.
 *
 *   bytes of a packet    readers    how it lies in the ingest pipe    engine
 *   below copy_below     -          -                                 copy
 *   copy_below or more   a crowd    -                                 compact
 *                        fewer      densely                           splice
 *                        many       loosely                           compact
 *                        few        loosely                           copy
 *
 * Densely means ENGINE_DENSE_BYTES a slot or more, many means compact_readers or more, and a crowd
 * is ENGINE_CROWD times as many: a segment that is compacted has fewer slots than one that came,
 * however densely, and each reader pays for the slots.  All that the rule asks is known when a
 * packet is cut.  Before that, what is known of the packets of late says how the next bytes are
 * taken in.  A way that turns out to be the wrong one costs a copy once a feed.
 *
 * It reads no clock and makes no call: intake/ tells it what it sees, the feed what it measures.
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
	/* A slot costs the same however few bytes it has.  With half of this, compacting for some
	 * readers is already cheaper (a card leaves 1.5 KB, loopback 16 KiB and more). */
	ENGINE_DENSE_BYTES = 8 * 1024,
	/* So many times compact_readers pay for compacting what lies densely. */
	ENGINE_CROWD = 8,
};

/* Options of the feed, or measured (engine_measure.h). */
struct engine_thresholds {
	uint64_t copy_below;      /* bytes of a packet */
	uint64_t compact_readers; /* subscribers       */
};

/* What serving by an engine has cost of late, as information: nothing is chosen by it. */
struct engine_cost {
	uint64_t bytes; /* delivered */
	uint64_t ns;
};

struct engine_choice {
	bool is_fixed;                       /* ro: engine = splice | compact | copy */
	enum engine fixed;                   /* ro */
	struct engine_thresholds thresholds; /* ro */
	bool is_copy_only;                   /* rw: the kernel refuses what pipes need */
	uint64_t readers;                    /* rw: subscribers now, in all workers */
	double mean_bytes;                   /* ro: of the packets of late; 0: none yet */
	double slot_bytes;                   /* ro: in the ingest pipe of late; 0: not known */
	unsigned until_look; /* private: packets until the slots are looked at again */
	struct engine_cost costs[ENGINE_COUNT]; /* ro */
};

/* `engine` NULL: auto, by the thresholds. */
void engine_choice_init(struct engine_choice *choice, const enum engine *engine,
			const struct engine_thresholds *thresholds);

/* Another source: its bytes may lie in another way. */
void engine_forget_source(struct engine_choice *choice);

/* By which engine to take in bytes, of which a packet of about `bytes` will be cut.  SPLICE is also
 * the way to see how they lie. */
enum engine engine_expect(const struct engine_choice *choice, size_t bytes);

/* Which engine carries a packet of `bytes` that has been cut.  in_pipes: it lies in the ingest
 * pipe; else it is in memory, and SPLICE is not among the answers. */
enum engine engine_choose(const struct engine_choice *choice, size_t bytes, bool in_pipes);

/* Is it time to look how a packet of `bytes` lies in the ingest pipe? */
bool engine_wants_look(const struct engine_choice *choice, size_t bytes);

/* The look showed so many bytes a slot. */
void engine_note_slots(struct engine_choice *choice, size_t slot_bytes);

/* A packet has been cut. */
void engine_note_packet(struct engine_choice *choice, size_t bytes);

/* `bytes` were delivered in `ns`, of packets that `engine` carried. */
void engine_note_cost(struct engine_choice *choice, enum engine engine, uint64_t bytes,
		      uint64_t ns);

/* Picoseconds a delivered byte, of late; 0: nothing was delivered so. */
uint64_t engine_cost_ps(const struct engine_choice *choice, enum engine engine);

const char *engine_name(enum engine engine);
