// SPDX-License-Identifier: MIT
/* Totals, rates and the one line on the terminal that shows them, once a second.
 *
 * The line is on standard error and replaces itself; progress_clear() takes it away before
 * anything else is written there.  Time is the caller's: monotonic nanoseconds. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

struct progress {
	uint64_t start_ns;
	uint64_t last_ns; // of the last rates
	uint64_t last_bytes;
	uint64_t last_messages;
	bool is_drawn; // the line is on the terminal
};

struct progress_rates {
	uint64_t bytes_per_s;
	uint64_t messages_per_s;
};

void progress_init(struct progress *progress, uint64_t now_ns);

/* A second has gone by since the last rates were taken. */
bool progress_is_due(const struct progress *progress, uint64_t now_ns);

/* Milliseconds until then, rounded up. */
int progress_wait_ms(const struct progress *progress, uint64_t now_ns);

/* The rates since the last call, given the totals of now. */
struct progress_rates progress_take_rates(struct progress *progress, uint64_t now_ns,
					  uint64_t bytes, uint64_t messages);

/* Replaces the line; what does not fit on the terminal's width is cut off. */
void progress_draw(struct progress *progress, const char *fmt, ...) printf_like(2, 3);
void progress_clear(struct progress *progress);

/* "3.07 GB": decimal units, for eyes only.  Returns buf; NUM_PRINT_BYTES is enough. */
const char *progress_print_bytes(char *buf, uint64_t bytes);
