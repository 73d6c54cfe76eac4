// SPDX-License-Identifier: MIT
/* Where relaypub's messages come from: files, made-up prices, filler, or the position-coded stream.
 *
 * A source gives bodies only; what goes around them is the delimiter's business, and when they are
 * due the publisher's. */
#pragma once

#include "base/compiler.h"
#include "base/errmsg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MESSAGE_SOURCE_DEMO_BYTES = 128, // a demo message is shorter
	MESSAGE_SOURCE_SYMBOLS = 8,
};

enum message_source_kind {
	MESSAGE_SOURCE_FILES,
	MESSAGE_SOURCE_DEMO,
	MESSAGE_SOURCE_FILL,
	MESSAGE_SOURCE_POSITIONS,
};

struct message_source_params {
	enum message_source_kind kind;
	uint64_t size;  // of a message; files and demo: the most
	uint64_t seed;  // of positions
	char **files;   // the caller's; "-" is standard input
	int file_count; // 0: standard input
};

struct message_source {
	struct message_source_params params;
	uint64_t sequence; // of the next message
	uint64_t offset;   // of the next byte, in positions
	uint64_t random;
	uint32_t cents[MESSAGE_SOURCE_SYMBOLS];
	int file_at; // the file after the open one
	int fd;      // the open file or -1
};

void message_source_init(struct message_source *source, const struct message_source_params *params);
void message_source_fini(struct message_source *source);

/* What to poll(2) before message_source_next() so that it does not block: opens the next file if
 * none is open, and sets *ret_fd to it, or to -1 when there is nothing to wait for.  0, or -errno
 * with the reason. */
must_check int message_source_open(struct message_source *source, int *ret_fd,
				   struct errmsg *error);

/* Writes the next message, at most params.size bytes, and sets *ret_size; 0 is the end.  `wall_ns`
 * is the time that a demo message tells.  0, -EAGAIN, -EINTR, or -errno with the reason. */
must_check int message_source_next(struct message_source *source, uint64_t wall_ns, uint8_t *out,
				   size_t *ret_size, struct errmsg *error);
