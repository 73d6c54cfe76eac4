// SPDX-License-Identifier: MIT
/*
 * Reads a stream whose messages have to be looked for, as an intake does: what is not whole stays,
 * and comes again where they are looked for.  Bytes lie in allocations of just their size, so
 * that a sanitizer build shows any look at a byte that is not there.  What a scan must never do
 * fails an assert(3).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "packet/framing.h"

enum {
	SYNC_READER_ROOM = 8192,
};

// Of such a kind of framing.
struct framing_params sync_reader_params(enum framing_kind kind);

struct sync_reader {
	struct framing_params params;
	struct framing_scan scan;
	uint8_t rest[SYNC_READER_ROOM];
	size_t rest_bytes, walked;     // of the rest, so much is walked
	uint8_t got[SYNC_READER_ROOM]; // that is whole
	size_t got_bytes;
	struct {
		size_t at; // in got
		enum media_start media_start;
	} starts[SYNC_READER_ROOM / TS_PACKET_BYTES]; // of walks that began with one
	size_t start_count;
	uint32_t messages;
	uint64_t passed;
	unsigned losses;
	enum framing_fault fault;
};

// At the start of a source, of SYNC_READER_ROOM bytes at most.
void sync_reader_init(struct sync_reader *reader, enum framing_kind kind);

void sync_reader_take(struct sync_reader *reader, const uint8_t *bytes, size_t count);

// All of it, in such pieces, up to a fault.  The source ends behind the last one.
void sync_reader_read(struct sync_reader *reader, enum framing_kind kind, const uint8_t *bytes,
		      size_t count, size_t piece);
