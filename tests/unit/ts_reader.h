// SPDX-License-Identifier: MIT
/*
 * Reads a transport stream as an intake does: what is not whole stays, and comes again where packets
 * have to be looked for.  Bytes lie in allocations of just their size, so that a sanitizer build
 * shows any look at a byte that is not there.  What a scan must never do fails an assert(3).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "packet/framing.h"

enum {
	TS_READER_ROOM = 8192,
};

extern const struct framing_params ts_reader_params;

struct ts_reader {
	struct framing_scan scan;
	uint8_t rest[TS_READER_ROOM];
	size_t rest_bytes, walked;   // of the rest, so much is walked
	uint8_t got[TS_READER_ROOM]; // that is whole
	size_t got_bytes;
	struct {
		size_t at; // in got
		enum media_start media_start;
	} starts[TS_READER_ROOM / TS_PACKET_BYTES]; // of walks that began with one
	size_t start_count;
	uint64_t passed;
	unsigned losses;
	enum framing_fault fault;
};

// At the start of a source, of TS_READER_ROOM bytes at most.
void ts_reader_init(struct ts_reader *reader);

void ts_reader_take(struct ts_reader *reader, const uint8_t *bytes, size_t count);

// All of it, in such pieces, up to a fault.  The source ends behind the last one.
void ts_reader_read(struct ts_reader *reader, const uint8_t *bytes, size_t count, size_t piece);
