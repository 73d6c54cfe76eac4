// SPDX-License-Identifier: MIT
/*
 * Writes the lines of the log in a thread of its own.
 *
 * Standard error may be a pipe that nobody reads, a terminal that is stopped with ^S, or a file on
 * a disk that hangs. The descriptor is shared with other processes, so it cannot be made
 * non-blocking. Only this thread waits for it. Who logs puts a line into a queue of LOG_QUEUE_BYTES
 * and goes on.
 *
 * A line that finds no room is dropped and counted, and so is one that cannot be written. The next
 * line that is written is preceded by one that says how many are missing there.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum {
	LOG_QUEUE_BYTES = 4 << 20, /* the pages are used only as lines wait */
	LOG_TEXT_BYTES = 16384 + 128,
};

struct log_line {
	int priority;          /* syslog(3) */
	uint32_t prefix_bytes; /* of bytes: what stands before the text */
	uint32_t bytes;        /* without a line break at the end */
	uint64_t lost_before;  /* the writer's */
	char text[LOG_TEXT_BYTES];
};

/* What the writer asks of its owner. Both are called in its thread, without the lock. */
struct log_output {
	/* Writes one line, and may wait. False: it is lost. */
	bool (*write)(struct log_line *line);

	/* Makes the line that says that so many are missing. */
	void (*print_lost)(struct log_line *ret, uint64_t lost);
};

/* All zero but the output is one that has not been started. */
struct log_writer {
	const struct log_output *output;
	pthread_mutex_t lock;
	pthread_cond_t more, idle;
	bool is_running, is_writing;
	uint64_t start, end; /* of what waits; the place in queue is the rest of LOG_QUEUE_BYTES */
	uint64_t lost;       /* since the last line that waits */
	uint64_t lost_total;
	uint8_t queue[LOG_QUEUE_BYTES];
};

#define LOG_WRITER_INIT(log_output)                                                                \
	{                                                                                          \
		.output = (log_output), .lock = PTHREAD_MUTEX_INITIALIZER,                         \
		.more = PTHREAD_COND_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER                 \
	}

/* Starts the thread, which ends with the process: 0, or -errno and nothing has changed. */
int log_writer_start(struct log_writer *writer) must_check;

/* Takes a copy of the line, or counts it as lost. False: there is no thread, write it yourself. */
bool log_writer_put(struct log_writer *writer, const struct log_line *line);

/* Waits until all lines are written, for timeout_ms at most. */
void log_writer_flush(struct log_writer *writer, uint64_t timeout_ms);

/* Lines that were lost so far. */
uint64_t log_writer_lost(struct log_writer *writer);
