// SPDX-License-Identifier: MIT
/*
 * What the next process has to know when this one dies without a word (SIGKILL, SIGSEGV, the
 * watchdog).  It lies in one region of shared memory, a memfd.  The keeper (daemon/keeper.h) gives
 * the region and all descriptors to the service manager.  The next process reads it by
 * daemon/crash_read.h.
 *
 * Whatever moment relay dies at, the region says what was before a step or what was after it.  The
 * stores of a dead process are all there, in their order.  Nothing is locked, because each part of
 * the region has one writer.  An atomic commits each step; it is stored last (release).  Sums tell
 * where a bit has become another one (continuity/kept_sum.h).
 *
 *   part of the region   its writer          what is in it
 *   struct crash_head    the control thread  where the arrays are, and whether they count
 *                        the keeper          died_ns, fd_count and fds[]
 *   listeners[0], [1]    the control thread  listening sockets, as a stream; in turns, so that one
 *                                            of them always holds
 *   counts[]             the control thread  what listeners have counted
 *   parts[]              each its worker     a feed in one worker
 *   subscribers[]        each its worker     by the number of the descriptor
 *
 * A descriptor is known by its number in the process that died.  Another one may have got its
 * number since.  Where that would do harm, its socket cookie is written down too (SO_COOKIE,
 * socket(7)).
 *
 * The region is sparse: what has never been written costs no memory.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "continuity/kept_sum.h"
#include "continuity/state_stream.h"
#include "feed/feed_kept.h"
#include "serve/handover.h"

#define CRASH_MAGIC "RLYCRSH" /* with its zero byte: 8 */

/* `count` elements of `each_bytes`, aligned to 64 bytes, from `offset` on. */
struct crash_array {
	uint64_t offset, each_bytes, count;
};

struct crash_head {
	char magic[8];
	uint64_t schema; /* crash_schema() */
	uint64_t bytes;  /* of the region */
	uint64_t workers;
	struct crash_array fds;          /* int32_t: the number that each one in the bag had */
	struct crash_array listeners[2]; /* uint8_t: a stream, crash_listeners_transfer() */
	struct crash_array counts;       /* struct listener_record */
	struct crash_array parts;        /* struct part_record */
	struct crash_array subscribers;  /* struct subscriber_record */
	uint64_t sum;                    /* crash_head_sum(): of all before it */

	_Atomic uint32_t is_armed; /* relay is ready: before, there is nothing to resume */
	_Atomic uint32_t is_done;  /* an orderly end has begun: nothing is to be resumed */
	/* The process before this one died as well, and this one took its state. */
	_Atomic uint32_t was_resumed;
	_Atomic uint64_t armed_ns; /* monotonic */

	_Atomic uint64_t listeners_version; /* a kept_stamp(): listeners[version % 2] holds */
	uint64_t listeners_bytes[2];
	uint64_t listeners_sum[2]; /* of these bytes */

	_Atomic uint64_t fds_sum;  /* crash_fds_sum(); by the keeper */
	_Atomic uint64_t fd_count; /* in the bag, of fds[]; stored by the keeper, last of all */
	_Atomic uint64_t died_ns;  /* monotonic; by the keeper */
};

struct crash_record {
	int fd; /* -1: none */
	uint8_t *map;
	size_t bytes;
};

#define CRASH_RECORD_NONE ((struct crash_record){.fd = -1})

/* How much room there is to be. */
struct crash_room {
	uint64_t fd_limit; /* no descriptor has this number or a higher one */
	uint64_t workers;
	uint64_t part_bytes, part_count; /* of one, and how many */
	uint64_t subscriber_bytes;       /* of one; there is one for each descriptor */
};

/* Of the region.  Another one cannot be read: its structs, counters or close reasons are others. */
uint32_t crash_schema(void);

/* Makes a region, which says that there is nothing to resume.  0; -errno, and *ret is none. */
must_check int crash_record_open(struct crash_record *ret, const struct crash_room *room);

/* Unmaps and closes.  Idempotent. */
void crash_record_close(struct crash_record *record);

static inline struct crash_head *crash_record_head(const struct crash_record *record)
{
	return (struct crash_head *)(void *)record->map;
}

/* The element `index` of an array of the head, which must have it. */
static inline void *crash_record_at(const struct crash_record *record,
				    const struct crash_array *array, uint64_t index)
{
	return record->map + array->offset + index * array->each_bytes;
}

/* All below: from the control thread, and nothing is done without a region. */

/* Relay is ready, with so many workers.  was_resumed: it goes on from what a process left that
 * died. */
void crash_record_arm(struct crash_record *record, unsigned workers, bool was_resumed);

/* The tables that feeds and listeners write themselves into. */
struct feed_records crash_record_feeds(const struct crash_record *record);
struct listener_record *crash_record_counts(const struct crash_record *record);

/* An orderly end begins. */
void crash_record_set_done(struct crash_record *record);

/* Writes down the listening sockets and the configuration in effect, which is kept in `kept`.  To
 * be called after each change.  Until then what was written before holds.  That does no harm: a
 * socket that is gone is known by its cookie, and the file of the configuration before stays open
 * until then.  If they cannot be written, an error is logged, and none of them is kept. */
void crash_record_set_listeners(struct crash_record *record, const struct service *service,
				const struct config *config, const struct kept_config *kept);

/* True when subscribers would go on if relay died now: it is ready, steady, and does not end. */
bool crash_record_is_kept(const struct crash_record *record);

/* ---- for crash_read.c, too ---- */

static inline uint64_t crash_head_sum(const struct crash_head *head)
{
	return kept_sum(0, head, offsetof(struct crash_head, sum));
}

/* True where it has structs of ours, which lie on cache lines.  It must be in the region, at
 * `map`. */
static inline bool crash_array_is_table(const struct crash_array *array, const uint8_t *map,
					size_t each_bytes)
{
	return array->each_bytes == each_bytes && (uintptr_t)(map + array->offset) % 64 == 0;
}

/* Of the numbers of descriptors. */
static inline uint64_t crash_fds_sum(const int32_t *numbers, uint64_t count)
{
	return kept_sum(0, numbers, count * sizeof(*numbers));
}

/* False: what the process was given may be what it dies of, so it is not resumed once more.  That
 * is so when it was resumed itself, and dies (`died_ns`, monotonic) within a second of being
 * ready. */
bool crash_head_is_steady(const struct crash_head *head, uint64_t died_ns);

/* What can be asked for.  Descriptors are the numbers that they have in the process that died. */
struct crash_listeners {
	struct kept_config config;
	struct handed_socket *sockets; /* owned */
	size_t socket_count;
};

/* Into the region, in place of those before.  NULL, or too many: none of them is kept,
 * which is logged. */
void crash_record_write_listeners(struct crash_record *record, struct crash_listeners *listeners);

/* Out of the region; *ret is to be freed.  NULL, or what is wrong with them. */
const char *crash_listeners_read(uint8_t *map, struct crash_listeners *ret);
void crash_listeners_free(struct crash_listeners *listeners);
