// SPDX-License-Identifier: MIT
/*
 * What the next process has to know when this one dies without a word (SIGKILL, SIGSEGV, the
 * watchdog): one region of shared memory (a memfd), which the keeper (daemon/keeper.h) gives to the
 * service manager together with all descriptors.  daemon/crash_read.h reads it.
 *
 * Whatever moment relay dies at, the region says what was before a step or what was after it, for
 * all stores of a dead process are there, in their order.  Nothing is locked: each part has one
 * writer.  What commits a step is an atomic, stored last (release).
 *
 *   struct crash_head      the control thread; died_ns, fd_count and fds[]: the keeper
 *   listeners[0], [1]      the control thread: what it has opened to be asked for (listening
 * sockets, formats of HTTP) as a stream, in turns parts[]                feeds in workers: each its
 * worker subscribers[]          by the number of their descriptor: the worker where they are
 *   inputs[]               likewise
 *
 * A descriptor is known by its number in the dead process; what must not be mistaken for another
 * one that got its number is written down with its socket cookie (SO_COOKIE, socket(7)) too.
 *
 * The region is sparse: what has never been written costs no memory.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/state_stream.h"
#include "feed/feed_kept.h"
#include "serve/handover.h"

#define CRASH_MAGIC "RLYCRSH" /* with its zero byte: 8 */

enum {
	/* Raised with every change of what is in the region, or of what it means. */
	CRASH_SCHEMA = 2,
};

/* `count` elements of `each_bytes`, aligned to 64 bytes, from `offset` on. */
struct crash_array {
	uint64_t offset, each_bytes, count;
};

struct crash_head {
	char magic[8];
	uint64_t schema;
	uint64_t bytes; /* of the region */
	uint64_t workers;
	struct crash_array fds;          /* int32_t: the number that each one in the bag had */
	struct crash_array listeners[2]; /* uint8_t: a stream, crash_listeners_transfer() */
	struct crash_array parts;
	struct crash_array subscribers;
	struct crash_array inputs;

	/* From ready on until an orderly end begins: only then there is anything to resume. */
	_Atomic uint32_t is_armed;
	_Atomic uint32_t is_done; /* ends in order, or hands over: nothing is to be resumed */
	/* The process before this one died as well, and this one took its state. */
	_Atomic uint32_t was_resumed;
	_Atomic uint64_t armed_ns; /* monotonic */

	_Atomic uint32_t listeners_current; /* which of the two holds */
	_Atomic uint64_t listeners_bytes[2];

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
	uint64_t input_bytes;            /* likewise */
};

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

/* Relay is ready, with so many workers.  was_resumed: it goes on from the state of a process that
 * died. */
void crash_record_arm(struct crash_record *record, unsigned workers, bool was_resumed);

/* The tables that feeds write themselves into. */
struct feed_records crash_record_feeds(const struct crash_record *record);

/* An orderly end begins. */
void crash_record_set_done(struct crash_record *record);

/* The listening sockets, and the formats that each listener with format = http has open, as they
 * are now; to be called after each change.  Until then what was said before holds, which does no
 * harm: a socket that is gone is known by its cookie.  Logs an error when they cannot be written
 * down: then none of them is kept. */
void crash_record_set_listeners(struct crash_record *record, const struct service *service,
				const struct config *config);

/* True when subscribers would go on if relay died now: it is ready, does not end, and is steady. */
bool crash_record_is_kept(const struct crash_record *record);

/* ---- for crash_read.c, too ---- */

/* A process that was resumed and dies (`died_ns`, monotonic) within a second of being ready may die
 * of what it was given: that is not resumed once more. */
bool crash_head_is_steady(const struct crash_head *head, uint64_t died_ns);

/* One listening socket in the region. */
struct crash_socket {
	struct handed_socket handed; /* fd: the number in the process that died */
	uint64_t cookie;
};

struct crash_listeners {
	struct crash_socket *sockets; /* owned */
	size_t socket_count;
	struct handed_http *https; /* owned; names and formats only */
	size_t http_count;
};

/* Written to, or read from; to be freed in both cases. */
void crash_listeners_transfer(struct state_stream *stream, struct crash_listeners *listeners);
void crash_listeners_free(struct crash_listeners *listeners);
