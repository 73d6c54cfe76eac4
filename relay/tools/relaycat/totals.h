// SPDX-License-Identifier: MIT
/* What relaycat tells of a stream: each second, and at its end.  Only what the stream can show: of
 * raw bytes nobody knows packets, latency, or what is missing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/relaycat/latency.h"
#include "tools/relaycat/packet_check.h"
#include "tools/shared/progress.h"

struct totals {
	const struct packet_check *check; // borrowed; NULL: the stream is raw
	bool knows_messages;              // always so where the stream is framed
	uint64_t messages, bytes, errors;
};

/* "packets=3 messages=3 bytes=111 gaps=0 missed=0 errors=0", and the line goes on; of raw bytes
 * "bytes=111 errors=0".  latency: of all messages, on a line before it; NULL: nobody wants it. */
void totals_print(const struct totals *totals, const struct latency *latency, FILE *to);

/* A line for the second past: "720 B/s  19 messages/s  latency p50=51us ..."; of raw bytes
 * "720 B/s". */
void totals_print_second(const struct totals *totals, const struct progress_rates *rates,
			 const struct latency *latency, FILE *to);
