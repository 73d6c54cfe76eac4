// SPDX-License-Identifier: MIT
/*
 * What the next process has to know of feeds and subscribers when this one dies without a word
 * (SIGKILL, SIGSEGV): tables in memory that outlives it.
 *
 *   parts[]        a feed in one worker (its home or a branch), with the formats it has there
 *   subscribers[]  by the number of their descriptor
 *
 * Each element has one writer, the loop that owns the thing, and nothing is locked.  Whatever
 * moment the process dies at, an element says what was before a step or what was after it, or that
 * a thing is unknown: the stores of a dead process are all there, in their order, and an atomic
 * that is stored last (release) commits.  All that a subscriber's bytes depend on has a sum; what
 * has counted (part_counts) has none.  What bytes are in a ring is ring/ring_kept.h, parts are
 * feed/feed_kept.h; reading subscribers is subscriber_resume.h.
 *
 *   join --> LOST --> SETTLED <--> BUSY (while it is served) --> FREE (before its socket is closed)
 *
 * While a subscriber gets anything but the bytes of its ring in order (a note, a skip), and while
 * its input takes what it has sent, it is LOST until it is settled again.  Who is sent what the
 * ring does not have any more gets the bytes of files in order instead.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "continuity/farewell.h"
#include "continuity/kept_struct.h"
#include "continuity/kept_sum.h"
#include "fanout/subscriber.h"
#include "ring/ring_state.h"
#include "table/format.h"
#include "table/metrics.h"

struct fanout;

enum {
	RECORD_NAME_BYTES = 65,            /* of a feed, a listener or a format */
	RECORD_FORMATS_MAX = FORMAT_COUNT, /* of a feed: it may have all of them at once */
	RECORD_NOTES_BYTES = 128,          /* a newcomer's in the framed format fit */
};

struct rendition_record {
#define KEPT_DEF "fanout/rendition_record.def"
#include "continuity/kept_members.def"
};

/* Of a part.  It is taken from all workers at once, and described then. */
enum part_record_state {
	RECORD_PART_FREE,
	RECORD_PART_USED,
	RECORD_PART_TAKEN, /* not described yet */
};

/* What a feed has counted in one worker. */
struct part_counts {
	struct metrics metrics;
	uint64_t closed[CLOSE_REASON_COUNT];
	uint64_t source_ends[CLOSE_REASON_COUNT];
	uint64_t skipped_by[SLOW_CAUSE_COUNT];
	uint64_t closed_slow_by[SLOW_CAUSE_COUNT];
};

/* Changed by writing the other one of two, which differs from it in the sequence at most. */
struct part_now {
#define KEPT_DEF "fanout/part_now.def"
#include "continuity/kept_members.def"
};

struct part_record {
#define KEPT_DEF "fanout/part_record.def"
#include "continuity/kept_members.def"
	struct part_now now[2];
	struct part_counts
		counts;     /* as they were last noted; delivered_messages: of all who ever read */
	uint64_t own_count; /* of those that had joined by then, relay's own */
	/* Of a home: peers that did not become subscribers, by reason.  The control
	 * thread writes this. */
	uint64_t refused[CLOSE_REASON_COUNT];
	struct rendition_record renditions[RECORD_FORMATS_MAX];
} __attribute__((aligned(64)));

/* In one word with the number of the place that holds (0 or 1) and with its sum, so that all change
 * at once.  Each differs from each in four bits: one that has become wrong is none of them. */
enum subscriber_record_state {
	RECORD_FREE = 0,       /* nobody, or somebody who cannot go on */
	RECORD_SETTLED = 0x33, /* stands at its place */
	RECORD_BUSY = 0x55,    /* stood at its place; since then got bytes from there on, only */
	RECORD_LOST = 0x0f,    /* nothing is known of where it stands */
};

enum {
	RECORD_PLACE_SHIFT = 8,
	RECORD_SUM_SHIFT = 9,
	RECORD_STATE_MASK = (1 << RECORD_PLACE_SHIFT) - 1,
};

/* Where a subscriber stands, and how many bytes its socket has got so far. */
struct recorded_place {
	union {
		struct cursor_state cursor;
		struct replay_place files; /* with is_replaying */
	};
	uint64_t sent_bytes; /* since it joined, notes included */
};

/* What a subscriber is, wherever it stands. */
struct subscriber_kept {
#define KEPT_DEF "fanout/subscriber_kept.def"
#include "continuity/kept_members.def"
	struct token_bucket input_bucket; /* what it may still send */
	struct peer_address peer;
	struct kept_replay from_files;
};

/* In `kept` only what is one word is written while it is not LOST. */
struct subscriber_record {
#define KEPT_DEF "fanout/subscriber_record.def"
#include "continuity/kept_members.def"
	struct subscriber_kept kept;
	uint8_t notes[RECORD_NOTES_BYTES];
	_Alignas(64) struct recorded_place places[2]; /* a cache line each */
};

_Static_assert(sizeof(struct recorded_place) == 64, "a cache line");

/* The tables as this process has them in its memory; they outlive all feeds. */
enum {
	RECORD_PARTS_MAX = 4096,
	RECORD_DESCRIPTORS_MAX = 4 << 20,
};

struct feed_records {
	struct part_record *parts;
	size_t part_count;
	_Atomic size_t parts_taken; /* of these */
	_Atomic size_t next_part;   /* where to look for a free one first */
	struct subscriber_record *subscribers;
	size_t subscriber_count; /* descriptors with higher numbers have no record */
};

extern const struct kept_table rendition_record_table, part_record_table, subscriber_record_table,
	subscriber_kept_table, part_now_table;
extern const struct kept_names kept_close_reasons, kept_slow_causes;

/* ---- sums ---- */

static inline uint64_t rendition_record_sum(const struct rendition_record *record)
{
	return kept_sum((uint32_t)record->ring_fd, record->format, sizeof(record->format));
}

static inline uint64_t part_record_sum(const struct part_record *record)
{
	return kept_sum((uint64_t)record->worker << 32 | record->is_home, record->feed,
			sizeof(record->feed));
}

/* 0 says that the publisher is in the middle of something; so one of 2^64 cannot go on. */
static inline uint64_t part_source_sum(const struct part_record *record)
{
	uint64_t sum = kept_sum_add(1, record->source_cookie, record->source_fixed_bytes);

	return kept_sum_add(sum, (uint32_t)record->source_fd, record->source_framing);
}

static inline uint64_t part_now_sum(const struct part_now *now, uint32_t version)
{
	uint64_t sum = kept_sum_add(version, now->next_seq, now->file_offset);

	return kept_sum_add(sum, (uint64_t)now->session << 32 | (uint32_t)now->file_fd,
			    (uint64_t)now->is_awake << 16 | (uint64_t)now->is_source_up << 8 |
				    now->is_torn);
}

/* Of what is written while it is LOST, but for notes.  What is one word and may change later has no
 * sum: its bytes do not depend on that. */
uint64_t subscriber_record_sum(const struct subscriber_record *record);

static inline uint64_t subscriber_notes_sum(const struct subscriber_record *record)
{
	return kept_sum(record->kept.note_bytes, record->notes, record->kept.note_bytes);
}

/* `number`: of the place. */
static inline uint32_t subscriber_record_word(const struct subscriber_record *record,
					      enum subscriber_record_state state, uint32_t number)
{
	uint64_t sum = kept_sum(number, &record->places[number], sizeof(record->places[number]));

	return (uint32_t)(state | number << RECORD_PLACE_SHIFT | sum << RECORD_SUM_SHIFT);
}

static inline uint32_t subscriber_record_place(uint32_t word)
{
	return word >> RECORD_PLACE_SHIFT & 1;
}

/* Another process is to close it, as subscriber_close() would: with its last words, or by reset.
 * Nothing here has changed.  0 or -ENOMEM. */
must_check int subscriber_capture_farewell(const struct subscriber *subscriber,
					   enum close_reason reason, struct farewells *ret);

/* Describes the subscriber, but for the listener and the address that it counts for. */
void subscriber_capture(const struct subscriber *subscriber, struct subscriber_kept *ret);

/* ---- all of these do nothing for a subscriber without a record ---- */

/* The subscriber, whose socket is open and has got nothing yet but what was sent before it joined,
 * has a record from now on, if there is one for its descriptor.  It is LOST, and remains so as long
 * as its input may not go on. */
void subscriber_record_open(struct subscriber *subscriber);

/* Before its socket is closed. */
void subscriber_record_close(struct subscriber *subscriber);

/* Before and after it is served. */
void subscriber_record_begin(struct subscriber *subscriber);
void subscriber_record_settle(struct subscriber *subscriber);

/* Before it gets something else than the bytes of its ring. */
void subscriber_record_lose(struct subscriber *subscriber);

/* What does not change when it is served has changed; it is LOST until it is settled. */
void subscriber_record_describe(struct subscriber *subscriber);

/* Before its input takes bytes out of the socket, and after it has: settled, too. */
void subscriber_record_begin_input(struct subscriber *subscriber);
void subscriber_record_end_input(struct subscriber *subscriber);

/* What it has sent has been counted; it has sent FIN; its user_timeout_ms has changed. */
void subscriber_record_note_input(struct subscriber *subscriber);

/* Somebody has joined the feed, or has been closed: it is counted at once, since nothing else would
 * tell of who comes and goes between two notes. */
void subscriber_record_note_accounts(const struct fanout *fanout);

/* Where the address of a subscriber is counted, whose descriptor nobody serves yet.  `records` may
 * be NULL. */
void subscriber_record_set_place(const struct feed_records *records, int fd, const char *listener,
				 uint64_t peer_key);
